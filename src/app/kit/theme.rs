//! Every colour and size the window uses, for light and dark.

use super::fonts;
use egui::{Color32, CornerRadius, FontId, Stroke, TextStyle, Theme, Visuals};

/// Space between things that belong together.
pub const GAP: f32 = 6.0;
/// Space between things that do not.
pub const SECTION_GAP: f32 = 12.0;
/// Where windows open: the menus stay in sight.
pub const BELOW_THE_BAR: [f32; 2] = [24.0, 46.0];
/// What is left of the colour of maps that are not of what the controls describe.
pub const DIMMED: f32 = 0.35;

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
    /// Text.
    pub text: Color32,
    /// Text of less weight.
    pub weak: Color32,
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
            text: Color32::from_rgb(222, 226, 232),
            weak: Color32::from_rgb(150, 157, 168),
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
            text: Color32::from_rgb(28, 32, 38),
            weak: Color32::from_rgb(92, 98, 108),
        }
    }
}

/// What egui draws with.
fn visuals(theme: Theme) -> Visuals {
    let mut visuals = theme.default_visuals();
    let palette = palette(&visuals);
    visuals.selection.bg_fill = palette.accent;
    visuals.selection.stroke = Stroke::new(1.0, palette.on_accent);
    visuals.weak_text_color = Some(palette.weak);
    // A caret that blinks has the whole window drawn twice a second.
    visuals.text_cursor.blink = false;
    visuals.hyperlink_color = palette.accent;
    // Not overridden: text on what is selected has a colour of its own.
    let widgets = &mut visuals.widgets;
    for widget in [
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
        &mut widgets.noninteractive,
    ] {
        widget.corner_radius = CornerRadius::same(4);
        widget.fg_stroke.color = palette.text;
    }
    if theme == Theme::Dark {
        visuals.panel_fill = Color32::from_rgb(26, 29, 34);
        visuals.window_fill = Color32::from_rgb(30, 33, 39);
    }
    visuals
}

/// Sets up fonts and visuals of both themes.
pub fn install(ctx: &egui::Context) {
    fonts::install(ctx);
    for theme in [Theme::Dark, Theme::Light] {
        ctx.set_visuals_of(theme, visuals(theme));
        ctx.style_mut_of(theme, |style| {
            style.text_styles.insert(TextStyle::Heading, FontId::proportional(17.0));
            style.text_styles.insert(TextStyle::Body, FontId::proportional(13.5));
            style.text_styles.insert(TextStyle::Button, FontId::proportional(13.5));
            style.spacing.item_spacing = egui::vec2(GAP, GAP);
            style.spacing.button_padding = egui::vec2(8.0, 4.0);
            // Seen before the pointer finds them: they say that there is more.
            let scroll = &mut style.spacing.scroll;
            (scroll.dormant_handle_opacity, scroll.dormant_background_opacity) = (0.55, 0.25);
            // They have a place of their own: nothing lies below them.
            scroll.floating_allocated_width = 7.0;
            // As high as buttons: labels beside them stand in their middle.
            style.spacing.interact_size.y = 23.0;
        });
    }
}

#[cfg(test)]
mod tests {
    use egui::Rgba;

    use super::*;

    /// Contrast of WCAG 2: 1 for the same colour, 21 for black on white.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |colour: Color32| {
            let linear = Rgba::from(colour);
            0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b()
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_text_can_be_read() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 0.01);
        for theme in [Theme::Dark, Theme::Light] {
            let visuals = visuals(theme);
            let palette = palette(&visuals);
            let mut pairs = vec![
                ("selected", visuals.selection.stroke.color, visuals.selection.bg_fill),
                ("problem", palette.on_problem, palette.problem),
                ("accent", palette.on_accent, palette.accent),
                ("typed", visuals.widgets.inactive.text_color(), visuals.text_edit_bg_color()),
                ("hint", visuals.weak_text_color(), visuals.text_edit_bg_color()),
                ("on the canvas", visuals.weak_text_color(), palette.canvas),
            ];
            for (name, ground) in [("panel", visuals.panel_fill), ("window", visuals.window_fill)] {
                let texts = [
                    visuals.text_color(),
                    visuals.weak_text_color(),
                    visuals.hyperlink_color,
                    palette.accent,
                    palette.warning,
                    palette.right,
                ];
                pairs.extend(texts.map(|text| (name, text, ground)));
            }
            let widgets = &visuals.widgets;
            for widget in [&widgets.inactive, &widgets.hovered, &widgets.active, &widgets.open] {
                pairs.push(("widget", widget.text_color(), widget.weak_bg_fill));
                pairs.push(("filled widget", widget.text_color(), widget.bg_fill));
            }
            for (name, text, ground) in pairs {
                let found = contrast(text, ground);
                assert!(found >= 4.5, "{theme:?}, {name}: {found:.2} of {text:?} on {ground:?}");
            }
        }
    }
}
