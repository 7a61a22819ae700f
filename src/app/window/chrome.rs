//! The window itself: its panes, its dialogs, what it says.

use crate::app::hub::actions::WindowAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::state::PathDialog;
use crate::app::parts::tiling::Tiling;
use crate::app::rooms::models::shelf;

/// Does what is asked.
pub fn apply(controller: &mut Controller, action: WindowAction, ctx: &egui::Context) {
    let state = &mut controller.state;
    let ui = &mut state.ui;
    match action {
        WindowAction::SetTheme(theme) => {
            state.kept.theme = theme;
            ctx.set_theme(theme);
        }
        WindowAction::SetLayout(layout) => state.kept.layout = *layout,
        WindowAction::UsePreset(preset) => {
            state.kept.layout = Tiling::of(preset);
            controller.ask_missing();
        }
        WindowAction::ShowPane(pane, shown) => {
            state.kept.layout.show(pane, shown);
            controller.ask_missing();
        }
        WindowAction::ToggleBrowser => shelf::toggle_browser(controller),
        WindowAction::ToggleHelp => ui.help_open = !ui.help_open,
        WindowAction::StepPane(step) => step_pane(controller, step, ctx),
        WindowAction::PaneFocused(pane) => ui.focused_pane = pane,
        WindowAction::WordsRead => state.kept.words_read = true,
        WindowAction::SearchActions(search) => ui.action_search = search,
        WindowAction::DismissNotice(index) => {
            if index < ui.notices.len() {
                ui.notices.remove(index);
            }
        }
        WindowAction::FocusQuestion => ui.focus_question = true,
        WindowAction::QuestionFocused => ui.focus_question = false,
        WindowAction::OpenPathDialog(kind) => {
            let text = kind.suggestion(&state.kept.written_in);
            ui.path_dialog = Some(PathDialog::new(kind, text));
        }
        WindowAction::EditPath(text) => {
            if let Some(dialog) = &mut ui.path_dialog {
                dialog.completions.clear();
                dialog.text.clone_from(&text);
                controller.files.complete(text);
            }
        }
        WindowAction::ClosePathDialog => ui.path_dialog = None,
    }
}

/// Gives the next pane in sight the focus, or the one before; one behind others comes to the front.
fn step_pane(controller: &mut Controller, step: isize, ctx: &egui::Context) {
    let state = &mut controller.state;
    let panes = state.kept.layout.shown();
    let place = state.ui.focused_pane.and_then(|own| panes.iter().position(|pane| *pane == own));
    let next = place.map_or(if step > 0 { 0 } else { -1 }, |place| place as isize + step);
    if let Some(pane) = panes.get(next.rem_euclid(panes.len().max(1) as isize) as usize) {
        state.ui.focused_pane = Some(*pane);
        state.kept.layout.show(*pane, true);
        ctx.memory_mut(|memory| memory.request_focus(pane.id()));
    }
}
