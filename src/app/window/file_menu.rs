//! What is taken away and brought back: sessions, figures, traces, the clipboard.

use egui::Ui;

use crate::app::hub::actions::{Action, Actions, FileAction, WindowAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::State;

/// Draws the menu.
pub fn file_menu_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.menu_button("File", |ui| {
        let mut entry = |ui: &mut Ui, name: &str, does: &str, why_not: Option<&str>, action: Action| {
            let button = ui
                .add_enabled(why_not.is_none(), egui::Button::new(name).shortcut_text(hint(ui.ctx(), does)));
            if button.on_disabled_hover_text(why_not.unwrap_or_default()).clicked() {
                actions.push(action);
                ui.close();
            }
        };
        let dialog = |kind| WindowAction::OpenPathDialog(kind).into();
        entry(ui, "Open session…", does::OPEN_SESSION, None, dialog(PathKind::OpenSession));
        entry(ui, "Reopen the last session", does::REOPEN, None, FileAction::Reopen.into());
        let no_runs = state.runs.listed().is_empty().then_some("There are no runs to save yet");
        entry(ui, "Save session", does::SAVE_SESSION, no_runs, FileAction::SaveSession.into());
        entry(ui, "Save session as…", does::SAVE_SESSION_AS, no_runs, dialog(PathKind::SaveSession));
        if let Some(path) = &state.ui.session {
            ui.weak(format!("Kept in {}", path.display()));
        }
        ui.separator();
        let no_maps = state.panes.map.in_sight().is_none().then_some("Ask first: there are no maps yet");
        entry(ui, "Save figure…", does::SAVE_FIGURE, no_maps, dialog(PathKind::Figure));
        entry(ui, "Copy the map", does::COPY_MAP, no_maps, FileAction::CopyMap.into());
        let no_run = state.shown_run().is_none().then_some("Ask first: there is no run yet");
        entry(ui, "Export the trace…", "", no_run, dialog(PathKind::Trace));
        entry(ui, "Copy as a livr command", does::COPY_COMMAND, None, FileAction::CopyCommand.into());
        ui.separator();
        if ui.button("Quit").clicked() {
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
    });
}
