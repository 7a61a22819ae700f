//! The state with what can act on the world: the engine, the disk, threads. What changes it is in `handle`.

use super::background::Background;
use super::files::Files;
use super::kept::Kept;
use super::state::State;
use crate::engine::Engine;
use crate::engine::jobs::Jobs;
use crate::engine::protocol::Command;
use crate::settings::{DeviceChoice, DtypeChoice};

/// Changes the state, and nobody else does.
pub struct Controller {
    /// What the window knows.
    pub state: State,
    pub(super) engine: Box<dyn Engine>,
    pub(super) jobs: Jobs,
    pub(super) files: Files,
    pub(super) background: Background,
    /// Where models go.
    pub(super) device: DeviceChoice,
    /// Their element type.
    pub(super) dtype: DtypeChoice,
}

impl Controller {
    /// Begins with what was kept; `wake` is called when there is news.
    pub fn new(
        kept: Kept,
        engine: Box<dyn Engine>,
        device: DeviceChoice,
        dtype: DtypeChoice,
        wake: impl Fn() + Send + Sync + Clone + 'static,
    ) -> Self {
        Self {
            state: State::new(kept),
            engine,
            jobs: Jobs::default(),
            files: Files::new(wake.clone()),
            background: Background::new(wake),
            device,
            dtype,
        }
    }

    /// Brings the panes up to date with the state.
    pub fn refresh(&mut self) {
        let state = &mut self.state;
        let run = state.panes.map.run.and_then(|id| state.runs.get(id)).cloned();
        state.panes.map.refresh(run.as_ref(), &state.kept.view, &self.background);
    }

    /// True when nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        !self.jobs.is_busy() && !self.state.panes.map.is_waiting() && !self.files.is_busy()
    }

    pub(super) fn send(&mut self, command: Command) {
        let order = self.jobs.start(command);
        self.engine.submit(order);
    }
}
