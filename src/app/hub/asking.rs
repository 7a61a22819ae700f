//! Verbs that several rooms need: models are opened, questions asked, answers given up.

use super::controller::Controller;
use crate::app::parts::runs::Asked;
use crate::ask::{HiddenLayers, HiddenRows};
use crate::engine::ids::{ModelId, Request};
use crate::engine::protocol::{Command, Purpose};
use crate::units::Role;

impl Controller {
    /// Opens a model; the one in use stays until that has worked. An answer in sight is asked for anew, behind it.
    pub fn open(&mut self, model: ModelId) {
        if self.state.ui.engine_died {
            return;
        }
        self.open_quietly(model);
        self.ask_again();
    }

    /// The same, but nothing is asked of it.
    pub fn open_quietly(&mut self, model: ModelId) {
        if !self.state.ui.engine_died {
            self.state.models.opening = Some(model.clone());
            self.send(Command::OpenModel(model));
        }
    }

    /// What is being answered, or waits to be, is not wanted any more.
    pub fn stop_answer(&mut self) {
        let runs = &mut self.state.runs;
        runs.waiting.clear();
        runs.asked = None;
        self.jobs.abandon(Purpose::Answer);
    }

    /// Asks what the controls describe.
    pub fn ask(&mut self) {
        let state = &mut self.state;
        if state.ui.engine_died {
            return;
        }
        let Some(request) = state.described() else {
            state.notify("Open a model first");
            return;
        };
        // Who asks has begun.
        state.kept.words_read = true;
        let question = state.kept.question.clone();
        state.kept.remember_question(&question);
        state.runs.waiting.clear();
        self.ask_request(request, false);
        self.ask_missing();
    }

    /// Asks what of the cells in sight has no answer yet, one after the other, aside of what is in sight.
    pub fn ask_missing(&mut self) {
        self.state.describe_now();
        if self.state.ui.engine_died || !self.state.is_comparing() {
            return;
        }
        let asked = self.state.runs.asked.as_ref().map(|asked| asked.request.clone());
        let missing = self.state.compare.missing().into_iter();
        self.state.runs.waiting = missing.filter(|request| asked.as_ref() != Some(request)).collect();
        if asked.is_none() {
            self.ask_next();
        }
    }

    /// Asks what waits longest.
    pub fn ask_next(&mut self) {
        if let Some(next) = self.state.runs.waiting.pop_front() {
            self.ask_request(next, true);
        }
    }

    /// Asks; `aside` of what is in sight, where the controls describe something else.
    pub fn ask_request(&mut self, request: Request, aside: bool) {
        self.state.ui.said = None;
        let runs = &mut self.state.runs;
        runs.problem = None;
        runs.asked = Some(Asked::new(request.clone(), aside));
        let mut keep = self.state.kept.keep.clone();
        // What latents are compared by, at any layer: little beside their attention rows.
        keep.hidden.get_or_insert(HiddenRows { layers: HiddenLayers::All, roles: vec![Role::Latent] });
        self.send(Command::CaptureTrace { request: Box::new(request), keep });
    }

    /// After a change of the controls: the answer in sight, or on its way, once more.
    pub fn ask_again(&mut self) {
        if self.state.shown_run().is_some() || self.state.runs.asked.is_some() {
            self.ask();
        }
    }
}
