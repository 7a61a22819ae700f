//! The one way the state changes: a handler file for each kind of action, one each for what the engine and the disk say.

mod dialog;
mod edit;
mod events;
mod exports;
mod files;
mod gallery;
mod images;
mod jobs;
pub mod projection;
mod runs;
mod session;
mod shelf;
mod training;
mod view;

use super::actions::Action;
use super::controller::Controller;

impl Controller {
    /// Applies a wish.
    pub fn apply(&mut self, action: impl Into<Action>, ctx: &egui::Context) {
        match action.into() {
            Action::Edit(action) => edit::apply(self, action),
            Action::View(action) => view::apply(self, action, ctx),
            Action::Job(action) => jobs::apply(self, action),
            Action::Images(action) => images::apply(self, action),
            Action::Train(action) => training::apply(self, action),
            Action::Gallery(action) => gallery::apply(self, action),
            Action::Layout(action) => projection::apply(self, action),
            Action::Run(action) => runs::apply(self, action),
            Action::File(action) => session::apply(self, action, ctx),
        }
    }

    /// Applies what the window begins with: there is nothing before it to go back to.
    pub fn begin(&mut self, actions: Vec<Action>, ctx: &egui::Context) {
        for action in actions {
            self.apply(action, ctx);
        }
        if let Some(asked) = &mut self.state.runs.asked {
            asked.automatic = true;
        }
        self.state.undo.clear();
    }

    /// Takes all news there are, of the engine, the disk and the panes' own work, and brings the panes up to date.
    pub fn drain(&mut self) {
        events::drain(self);
        files::drain(self);
        while let Some(made) = self.background.poll() {
            self.state.panes.map.fill(made);
        }
        self.refresh();
    }
}
