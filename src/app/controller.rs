//! The state with what can act on the world: the engine, the disk, threads. What changes it is in `handle`.

use std::path::PathBuf;

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
    /// Where hidden states are kept, a folder for each order.
    pub(super) states_in: PathBuf,
    /// Goes with the window, where states are not to outlive it.
    _states: Option<tempfile::TempDir>,
}

impl Controller {
    /// Begins with what was kept; hidden states go into folders in `states_in`; `wake` is called when there is news.
    pub fn new(
        kept: Kept,
        engine: Box<dyn Engine>,
        device: DeviceChoice,
        dtype: DtypeChoice,
        states_in: Option<PathBuf>,
        wake: impl Fn() + Send + Sync + Clone + 'static,
    ) -> Self {
        // Without a place of the window's own they go with it.
        let passing = if states_in.is_none() { tempfile::TempDir::new().ok() } else { None };
        let states_in = states_in
            .or_else(|| passing.as_ref().map(|dir| dir.path().to_owned()))
            .unwrap_or_else(std::env::temp_dir);
        Self {
            state: State::new(kept),
            engine,
            jobs: Jobs::default(),
            files: Files::new(wake.clone()),
            background: Background::new(wake),
            device,
            dtype,
            states_in,
            _states: passing,
        }
    }

    /// Brings the panes up to date with the state.
    pub fn refresh(&mut self) {
        let state = &mut self.state;
        let run = state.panes.map.run.and_then(|id| state.runs.get(id)).cloned();
        state.panes.map.refresh(run.as_ref(), &state.kept.view, &self.background);
        state.projection.refresh(&state.kept.map, state.kept.theme != egui::ThemePreference::Light);
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
