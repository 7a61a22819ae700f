//! Every colour and size the window uses, for light and dark.

use egui::{Color32, CornerRadius, FontId, Stroke, TextStyle, Theme, Visuals};

/// Space between things that belong together.
pub const GAP: f32 = 6.0;
/// Space between things that do not.
pub const SECTION_GAP: f32 = 12.0;
/// What is left of the colour of maps that are not of what the controls describe.
pub const DIMMED: f32 = 0.35;
/// Width of the panel on the right.
pub const SIDE_WIDTH: f32 = 340.0;

/// Colours that egui's own visuals do not have.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    /// Behind images.
    pub canvas: Color32,
    /// Outline of the patch under the pointer.
    pub hover: Color32,
    /// The chosen latent, the main button, a choice's bar.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// Behind something that went wrong.
    pub problem: Color32,
    /// Text on that.
    pub on_problem: Color32,
    /// Text that warns, on the window's own background.
    pub warning: Color32,
    /// Text that says that something is right.
    pub right: Color32,
    /// Behind a bar.
    pub trough: Color32,
}

/// The palette of the theme in use.
pub fn palette(visuals: &Visuals) -> Palette {
    if visuals.dark_mode {
        Palette {
            canvas: Color32::from_rgb(16, 18, 22),
            hover: Color32::WHITE,
            accent: Color32::from_rgb(90, 170, 250),
            on_accent: Color32::from_rgb(8, 20, 36),
            problem: Color32::from_rgb(92, 34, 34),
            on_problem: Color32::from_rgb(255, 226, 220),
            warning: Color32::from_rgb(255, 170, 70),
            right: Color32::from_rgb(110, 210, 120),
            trough: Color32::from_rgb(48, 52, 60),
        }
    } else {
        Palette {
            canvas: Color32::from_rgb(226, 229, 234),
            hover: Color32::BLACK,
            accent: Color32::from_rgb(20, 98, 190),
            on_accent: Color32::WHITE,
            problem: Color32::from_rgb(253, 226, 222),
            on_problem: Color32::from_rgb(120, 20, 12),
            warning: Color32::from_rgb(150, 70, 0),
            right: Color32::from_rgb(20, 110, 40),
            trough: Color32::from_rgb(214, 218, 226),
        }
    }
}

/// Sets up fonts and visuals of both themes.
pub fn install(ctx: &egui::Context) {
    for theme in [Theme::Dark, Theme::Light] {
        let mut visuals = theme.default_visuals();
        let palette = palette(&visuals);
        visuals.selection.bg_fill = palette.accent;
        visuals.selection.stroke = Stroke::new(1.0, palette.on_accent);
        for widget in [
            &mut visuals.widgets.inactive,
            &mut visuals.widgets.hovered,
            &mut visuals.widgets.active,
            &mut visuals.widgets.open,
            &mut visuals.widgets.noninteractive,
        ] {
            widget.corner_radius = CornerRadius::same(4);
        }
        if theme == Theme::Dark {
            visuals.panel_fill = Color32::from_rgb(26, 29, 34);
            visuals.window_fill = Color32::from_rgb(30, 33, 39);
            visuals.override_text_color = Some(Color32::from_rgb(222, 226, 232));
        } else {
            visuals.override_text_color = Some(Color32::from_rgb(28, 32, 38));
        }
        ctx.set_visuals_of(theme, visuals);
        ctx.style_mut_of(theme, |style| {
            style.text_styles.insert(TextStyle::Heading, FontId::proportional(17.0));
            style.text_styles.insert(TextStyle::Body, FontId::proportional(13.5));
            style.text_styles.insert(TextStyle::Button, FontId::proportional(13.5));
            style.spacing.item_spacing = egui::vec2(GAP, GAP);
            style.spacing.button_padding = egui::vec2(8.0, 4.0);
        });
    }
}
