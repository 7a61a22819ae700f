//! Verbs that several rooms need: models are opened, questions asked, answers given up.

use super::controller::Controller;
use crate::app::parts::runs::Asked;
use crate::engine::ids::{ModelId, Request};
use crate::engine::protocol::{Command, Purpose};

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
        let question = state.kept.question.clone();
        state.kept.remember_question(&question);
        state.runs.waiting.clear();
        self.ask_request(request, false);
    }

    /// Asks; `aside` of what is in sight, where the controls describe something else.
    pub fn ask_request(&mut self, request: Request, aside: bool) {
        self.state.ui.said = None;
        let runs = &mut self.state.runs;
        runs.problem = None;
        runs.asked = Some(Asked::new(request.clone(), aside));
        let keep = self.state.kept.keep.clone();
        self.send(Command::CaptureTrace { request: Box::new(request), keep });
    }

    /// After a change of the controls: the answer in sight, or on its way, once more.
    pub fn ask_again(&mut self) {
        if self.state.shown_run().is_some() || self.state.runs.asked.is_some() {
            self.ask();
        }
    }
}
