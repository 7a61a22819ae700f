//! The one way the state changes: a handler file for each kind of action, one for what the engine says.

mod edit;
mod events;
mod images;
mod jobs;
mod view;

use super::actions::Action;
use super::controller::Controller;

/// Applies a wish.
pub(super) fn apply(controller: &mut Controller, action: Action, ctx: &egui::Context) {
    match action {
        Action::Edit(action) => edit::apply(controller, action),
        Action::View(action) => view::apply(controller, action, ctx),
        Action::Job(action) => jobs::apply(controller, action),
        Action::Images(action) => images::apply(controller, action, ctx),
    }
}

/// Takes all news there are, of the engine, the disk and the panes' own work.
pub(super) fn drain(controller: &mut Controller) {
    events::drain(controller);
    images::drain(controller);
    while let Some(made) = controller.background.poll() {
        controller.state.panes.map.fill(made);
    }
}
