//! A path by hand, or by the system's dialog where there is one.

use egui::{Id, Key, Modal, TextEdit, Ui};

use crate::app::hub::actions::{Actions, JobAction, ViewAction};
use crate::app::hub::path_kind::{PathKind, Wanted};
use crate::app::hub::state::State;
use crate::app::kit::theme::palette;
use crate::app::rooms::maps::figure_form::figure_form_ui;

/// Draws the dialog where it is open.
pub fn path_dialog_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let Some(dialog) = &state.ui.path_dialog else { return };
    let Wanted { title, hint, .. } = dialog.kind.wanted();
    let modal = Modal::new(Id::unique("path dialog")).show(ui.ctx(), |ui| {
        ui.set_width(460.0);
        let heading = ui.heading(title);
        let mut text = dialog.text.clone();
        let edit = ui.add(TextEdit::singleline(&mut text).hint_text(hint).desired_width(f32::INFINITY));
        let edit = edit.labelled_by(heading.id);
        if edit.changed() {
            actions.push(ViewAction::EditPath(text.clone()));
        }
        let enter = edit.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        if !enter && ui.memory(|memory| memory.focused().is_none()) {
            edit.request_focus();
        }
        if let Some(problem) = &dialog.problem {
            ui.colored_label(palette(ui.visuals()).warning, problem);
        }
        if dialog.kind == PathKind::Figure {
            figure_form_ui(ui, state, actions);
        }
        ui.horizontal(|ui| {
            let filled = !text.trim().is_empty();
            if ui
                .add_enabled(
                    filled,
                    egui::Button::new(if dialog.kind.is_written() { "Save" } else { "Open" }),
                )
                .clicked()
                || (enter && filled)
            {
                actions.push(JobAction::TakePath);
            }
            if ui.button("Browse…").clicked() {
                actions.push(JobAction::Browse(dialog.kind));
            }
            if ui.button("Close").clicked() {
                actions.push(ViewAction::ClosePathDialog);
            }
        });
    });
    if modal.should_close() {
        actions.push(ViewAction::ClosePathDialog);
    }
}
