//! A path by hand, or by the system's dialog where there is one.

use egui::{Id, Key, Modal, TextEdit, Ui};

use crate::app::actions::{Actions, JobAction, ViewAction};
use crate::app::state::{PathKind, State};

/// Draws the dialog where it is open.
pub fn path_dialog_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let Some(dialog) = &state.ui.path_dialog else { return };
    let (title, hint) = match dialog.kind {
        PathKind::Model => ("Open model", "Folder with config.json and safetensors"),
        PathKind::Adapter => ("Open adapter", "Folder with adapter_config.json"),
        PathKind::Images => ("Open images", "PNG, JPEG, WebP, BMP, GIF or TIFF file"),
        PathKind::Recipe => ("Choose a recipe", "TOML file"),
        PathKind::MapData => ("Choose a data file", "JSONL or parquet file"),
        PathKind::MapPicture => ("Save the map as a picture", "PNG or SVG file"),
        PathKind::MapTable => ("Save the map as a table", "CSV file"),
        PathKind::RunFolder => ("Choose a folder for the run", "New folder, or that of a run"),
    };
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
        if !edit.has_focus() && !enter {
            edit.request_focus();
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
