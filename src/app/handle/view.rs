//! What is seen.

use crate::app::actions::ViewAction;
use crate::app::controller::Controller;
use crate::app::layout::Layout;
use crate::app::state::PathDialog;

pub(super) fn apply(controller: &mut Controller, action: ViewAction, ctx: &egui::Context) {
    let state = &mut controller.state;
    let (pane, view, ui) = (&mut state.panes.map, &mut state.kept.view, &mut state.ui);
    match action {
        ViewAction::SelectQuery(query) => pane.query = query,
        ViewAction::StepQuery(step) => {
            if let Some(in_sight) = pane.in_sight() {
                let queries = &in_sight.rows.queries;
                let place = in_sight.query as isize + step;
                pane.query = queries[place.rem_euclid(queries.len() as isize) as usize];
            }
        }
        ViewAction::Select(selection) => view.selection = selection,
        ViewAction::SetScalar(scalar) => view.scalar = scalar,
        ViewAction::SetStyle(style) => view.style = style,
        ViewAction::SetNormalisation(normalisation) => view.normalisation = normalisation,
        ViewAction::SetCanvas(canvas) => pane.canvas = canvas,
        ViewAction::Hover(hovered) => pane.hovered = hovered,
        ViewAction::SetTheme(theme) => {
            state.kept.theme = theme;
            ctx.set_theme(theme);
        }
        ViewAction::SetLayout(layout) => state.kept.layout = *layout,
        ViewAction::UsePreset(preset) => state.kept.layout = Layout::of(preset),
        ViewAction::ShowPane(pane, shown) => state.kept.layout.show(pane, shown),
        ViewAction::SortMatrix(sorted) => view.matrix_sorted = sorted,
        ViewAction::ToggleHelp => ui.help_open = !ui.help_open,
        ViewAction::DismissNotice(index) => {
            if index < ui.notices.len() {
                ui.notices.remove(index);
            }
        }
        ViewAction::FocusQuestion => ui.focus_question = true,
        ViewAction::QuestionFocused => ui.focus_question = false,
        ViewAction::OpenPathDialog(kind) => {
            ui.path_dialog = Some(PathDialog { kind, text: String::new() });
        }
        ViewAction::EditPath(text) => {
            if let Some(dialog) = &mut ui.path_dialog {
                dialog.text = text;
            }
        }
        ViewAction::ClosePathDialog => ui.path_dialog = None,
    }
}
