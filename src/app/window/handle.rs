//! The one way the state changes: a handler file for each kind of action, one each for what the engine and the disk say.

use crate::app::hub::actions::Action;
use crate::app::hub::controller::Controller;
use crate::app::parts::background::Computed;
use crate::app::rooms::{ask, compare, data, images, maps, runs, samples, sessions, states, train};
use crate::app::window::{chrome, events, jobs, news};

impl Controller {
    /// Applies a wish.
    pub fn apply(&mut self, action: impl Into<Action>, ctx: &egui::Context) {
        match action.into() {
            Action::Edit(action) => ask::handle::apply(self, action),
            Action::View(action) => maps::handle::apply(self, action),
            Action::Window(action) => chrome::apply(self, action, ctx),
            Action::Job(action) => jobs::apply(self, action),
            Action::Images(action) => images::handle::apply(self, action),
            Action::Train(action) => train::handle::apply(self, action),
            Action::Gallery(action) => samples::handle::apply(self, action),
            Action::Layout(action) => states::handle::apply(self, action),
            Action::Run(action) => runs::handle::apply(self, action),
            Action::Compare(action) => compare::handle::apply(self, action),
            Action::Data(action) => data::handle::apply(self, action),
            Action::File(action) => sessions::handle::apply(self, action, ctx),
        }
    }

    /// Applies what the window begins with: there is nothing before it to go back to.
    pub fn begin(&mut self, actions: Vec<Action>, ctx: &egui::Context) {
        let words_read = self.state.kept.words_read;
        for action in actions {
            self.apply(action, ctx);
        }
        self.state.kept.words_read = words_read;
        if let Some(asked) = &mut self.state.runs.asked {
            asked.automatic = true;
        }
        self.state.undo.clear();
    }

    /// Takes all news there are, of the engine, the disk and the panes' own work, and brings the panes up to date.
    pub fn drain(&mut self) {
        events::drain(self);
        news::drain(self);
        while let Some(made) = self.background.poll() {
            // Whoever waits for rows first gets them.
            if let Some(made) = self.state.panes.map.fill(made)
                && let Computed::Rows(key, rows) = made
            {
                let rows = self.state.compare.fill(key, rows);
                if let Some(rows) = rows.filter(|_| self.state.training.maps.waits_for(&key)) {
                    self.state.training.maps.fill(key, rows);
                }
            }
        }
        data::handle::go_on(self);
        self.refresh();
        let columns = data::handle::columns(&self.state);
        self.state.data.refresh(&self.state.kept.data, &columns);
    }
}
