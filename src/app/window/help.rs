//! Every key, from the table the window obeys; what was logged last, and a report for whoever mends faults.

use egui::{Grid, Id, KeyboardShortcut, Modal, ScrollArea, Ui};

use crate::app::hub::actions::{Actions, FileAction, ViewAction};
use crate::app::hub::keyboard::{BINDINGS, ELSEWHERE, keys};
use crate::app::hub::state::State;
use crate::logging;

/// Draws the list where it is open.
pub fn help_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if !state.ui.help_open {
        return;
    }
    let modal = Modal::new(Id::unique("help")).show(ui.ctx(), |ui| {
        ui.heading("Keys");
        let height = (ui.ctx().content_rect().height() - 140.0).max(120.0);
        let table = BINDINGS.iter().map(|binding| (binding.shortcut, binding.does));
        let all: Vec<_> = ELSEWHERE.into_iter().chain(table).collect();
        let columns = if ui.ctx().content_rect().width() > 1000.0 { 2 } else { 1 };
        ScrollArea::vertical().max_height(height).show(ui, |ui| {
            ui.horizontal_top(|ui| {
                for (i, part) in all.chunks(all.len().div_ceil(columns)).enumerate() {
                    column_ui(ui, i, part);
                }
            });
        });
        ui.weak("Tab moves between controls. Scroll zooms, drag moves, double-click fits the images; a click chooses a patch, Shift and drag a region.");
        messages_ui(ui);
        ui.horizontal(|ui| {
            let report = ui.button("Copy a report").on_hover_text(
                "What a report of a fault should say: version, system, device, model, and the last messages",
            );
            if report.clicked() {
                actions.push(FileAction::CopyReport);
            }
            if ui.button("Close").clicked() {
                actions.push(ViewAction::ToggleHelp);
            }
        });
    });
    if modal.should_close() && !actions.contains(&ViewAction::ToggleHelp.into()) {
        actions.push(ViewAction::ToggleHelp);
    }
}

/// What was logged last, where anything was.
fn messages_ui(ui: &mut Ui) {
    let lines = logging::recent();
    if lines.is_empty() {
        return;
    }
    ui.separator();
    ui.strong("Last messages");
    ScrollArea::vertical().id_salt("messages").max_height(90.0).stick_to_bottom(true).show(ui, |ui| {
        for line in &lines {
            ui.small(line);
        }
    });
}

fn column_ui(ui: &mut Ui, number: usize, part: &[(KeyboardShortcut, &str)]) {
    Grid::new(("keys", number)).num_columns(2).spacing([20.0, 4.0]).show(ui, |ui| {
        for (shortcut, does) in part {
            ui.monospace(keys(ui.ctx(), shortcut));
            ui.label(*does);
            ui.end_row();
        }
    });
}
