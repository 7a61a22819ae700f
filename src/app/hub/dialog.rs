//! The window in which a path is typed.

use crate::app::hub::controller::Controller;
use crate::app::hub::path_kind::PathKind;

impl Controller {
    /// Closes it, where it asks for this.
    pub fn close_dialog(&mut self, kind: PathKind) {
        let dialog = &mut self.state.ui.path_dialog;
        if dialog.as_ref().is_some_and(|dialog| dialog.kind == kind) {
            *dialog = None;
        }
    }

    /// A path that names nothing: said beside what was typed, where it was.
    pub fn unnamed(&mut self, kind: PathKind, problem: String) {
        match &mut self.state.ui.path_dialog {
            Some(dialog) if dialog.kind == kind => dialog.problem = Some(problem),
            _ => self.state.notify(problem),
        }
    }
}
