//! Every key, from the table the window obeys.

use egui::{Grid, Id, Modal, ScrollArea, Ui};

use crate::app::actions::{Actions, ViewAction};
use crate::app::keyboard::{BINDINGS, ELSEWHERE, keys};
use crate::app::state::State;

/// Draws the list where it is open.
pub fn help_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if !state.ui.help_open {
        return;
    }
    let modal = Modal::new(Id::unique("help")).show(ui.ctx(), |ui| {
        ui.heading("Keys");
        let height = (ui.ctx().content_rect().height() - 140.0).max(120.0);
        ScrollArea::vertical().max_height(height).show(ui, |ui| {
            Grid::new("keys").num_columns(2).spacing([24.0, 4.0]).show(ui, |ui| {
                let table = BINDINGS.iter().map(|binding| (binding.shortcut, binding.does));
                for (shortcut, does) in ELSEWHERE.into_iter().chain(table) {
                    ui.monospace(keys(ui.ctx(), &shortcut));
                    ui.label(does);
                    ui.end_row();
                }
            });
        });
        ui.weak("Tab moves between controls. Scroll zooms, drag moves, double-click fits the images.");
        if ui.button("Close").clicked() {
            actions.push(ViewAction::ToggleHelp);
        }
    });
    if modal.should_close() && !actions.contains(&ViewAction::ToggleHelp.into()) {
        actions.push(ViewAction::ToggleHelp);
    }
}
