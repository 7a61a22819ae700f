//! The panes in their tiles.

use egui::containers::menu::{MenuButton, MenuConfig};
use egui::{
    EventFilter, Frame, Margin, PopupCloseBehavior, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui,
    WidgetText,
};
use egui_tiles::{Behavior, SimplificationOptions, Tabs, TileId, Tiles, UiResponse};

use crate::app::hub::actions::{Actions, WindowAction};
use crate::app::hub::state::State;
use crate::app::kit::theme::{GAP, palette};
use crate::app::kit::widgets::name_widget;
use crate::app::parts::tiling::{Pane, Preset, Tiling};
use crate::app::rooms::ask::{answer, question};
use crate::app::rooms::maps::{canvas, latent_strip, matrix, view_options};
use crate::app::rooms::{compare, data, images, runs, states, train};
use crate::render::still::{still, still_rows};

/// Draws all panes; where they were moved, that is asked for.
pub fn workspace_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut layout = state.kept.layout.clone();
    layout.0.ui(&mut Panes { state, actions }, ui);
    if layout != state.kept.layout {
        actions.push(WindowAction::SetLayout(Box::new(layout)));
    }
}

struct Panes<'a> {
    state: &'a State,
    actions: &'a mut Actions,
}

impl Behavior<Pane> for Panes<'_> {
    fn tab_title_for_pane(&mut self, pane: &Pane) -> WidgetText {
        pane.title().into()
    }

    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Pane) -> UiResponse {
        let (state, actions) = (self.state, &mut *self.actions);
        // As a whole it can only have the focus when it was walked to: Tab goes through what is in it.
        let was_walked_to = state.ui.focused_pane == Some(*pane);
        let sense = if was_walked_to { Sense::focusable_noninteractive() } else { Sense::hover() };
        let ground = ui.interact(ui.max_rect(), pane.id(), sense);
        name_widget(ui, &ground, Role::Pane, None, || format!("{} pane", pane.title()));
        let place = ui.max_rect();
        // What follows the pointer has still parts of its own.
        if matches!(pane, Pane::Images | Pane::Compare | Pane::States) {
            content_ui(ui, *pane, state, actions);
        } else {
            still(ui, pane.title(), place, |ui| content_ui(ui, *pane, state, actions));
        }
        if ground.has_focus() {
            // Arrows are the window's; egui's own walk through widgets by Tab.
            let filter =
                EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(pane.id(), filter));
            let stroke = Stroke::new(2.0, palette(ui.visuals()).accent);
            ui.painter().rect_stroke(place.shrink(1.0), 2.0, stroke, StrokeKind::Inside);
        } else if was_walked_to {
            actions.push(WindowAction::PaneFocused(None));
        }
        UiResponse::None
    }

    fn top_bar_right_ui(
        &mut self,
        tiles: &Tiles<Pane>,
        ui: &mut Ui,
        _tile: TileId,
        tabs: &Tabs,
        _scroll_offset: &mut f32,
    ) {
        let active = tabs.active.and_then(|tile| tiles.get_pane(&tile));
        if active == Some(&Pane::Latents) {
            latent_strip::kinds_ui(ui, self.state, self.actions);
        }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
    }

    /// Outlined and tinted where the pane will be, and thinly what it will be part of.
    fn paint_drag_preview(
        &self,
        visuals: &egui::Visuals,
        painter: &egui::Painter,
        parent: Option<egui::Rect>,
        place: egui::Rect,
    ) {
        let accent = palette(visuals).accent;
        if let Some(parent) = parent {
            painter.rect_stroke(parent, 2.0, Stroke::new(1.0, accent), StrokeKind::Inside);
        }
        painter.rect(place, 2.0, accent.gamma_multiply(0.25), Stroke::new(3.0, accent), StrokeKind::Inside);
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        2.0
    }

    /// The ground's own: a bar of another is drawn at the price of as much text.
    fn tab_bar_color(&self, _visuals: &egui::Visuals) -> egui::Color32 {
        egui::Color32::TRANSPARENT
    }
}

fn content_ui(ui: &mut Ui, pane: Pane, state: &State, actions: &mut Actions) {
    Frame::NONE.inner_margin(Margin::same(GAP as i8)).show(ui, |ui| match pane {
        Pane::Images => {
            still_rows(ui, "bar", |ui| images::panel::image_bar_ui(ui, state, actions));
            canvas::canvas_ui(ui, state, actions);
        }
        Pane::Latents => latent_strip::latent_strip_ui(ui, state, actions),
        Pane::Question => scrolled(ui, |ui| question::question_ui(ui, state, actions)),
        Pane::Answer => scrolled(ui, |ui| answer::answer_ui(ui, state, actions)),
        Pane::Map => scrolled(ui, |ui| view_options::view_options_ui(ui, state, actions)),
        Pane::Runs => runs::panel::runs_ui(ui, state, actions),
        Pane::Compare => compare::panel::compare_ui(ui, state, actions),
        Pane::Data => data::panel::data_ui(ui, state, actions),
        Pane::States => states::panel::projection_ui(ui, state, actions),
        Pane::Training => scrolled(ui, |ui| train::panel::training_ui(ui, state, actions)),
        Pane::Matrix => scrolled(ui, |ui| matrix::matrix_ui(ui, state, actions)),
    });
}

fn scrolled(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, content);
}

/// The menu of presets, and of which panes are there.
pub fn layout_menu_ui(ui: &mut Ui, layout: &Tiling, actions: &mut Actions) {
    // Several panes are shown or hidden in one go.
    let config = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
    MenuButton::new("Layout").config(config).ui(ui, |ui| entries_ui(ui, layout, actions));
}

fn entries_ui(ui: &mut Ui, layout: &Tiling, actions: &mut Actions) {
    for preset in Preset::ALL {
        if ui.button(preset.label()).clicked() {
            actions.push(WindowAction::UsePreset(preset));
            ui.close();
        }
    }
    ui.separator();
    for pane in Pane::ALL {
        let mut shown = layout.is_shown(pane);
        if ui.checkbox(&mut shown, format!("Show {}", pane.title().to_lowercase())).changed() {
            actions.push(WindowAction::ShowPane(pane, shown));
        }
    }
}
