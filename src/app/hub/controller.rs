//! The state with what can act on the world: the engine, the disk, threads. What changes it is in `handle`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::keyboard;
use super::preferences::Preferences;
use super::state::State;
use crate::app::parts::as_read::size_in;
use crate::app::parts::background::Background;
use crate::app::parts::tiling::Pane;
use crate::app::session::{Saving, Session, SessionPlace, folder_of};
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::atomic::Hold;
use crate::engine::Engine;
use crate::engine::ids::{Run, RunId};
use crate::engine::jobs::Jobs;
use crate::engine::protocol::Command;
use crate::engine::shelf::HubCache;

/// Changes the state, and nobody else does.
pub struct Controller {
    /// What the window knows.
    pub state: State,
    pub engine: Box<dyn Engine>,
    pub jobs: Jobs,
    pub files: Files,
    pub background: Background,
    /// Where models go.
    pub device: DeviceChoice,
    /// Their element type.
    pub dtype: DtypeChoice,
    /// Where hidden states are kept, a folder for each order.
    pub states_in: PathBuf,
    /// Where answers to data sets are kept; nowhere in a window that remembers nothing.
    pub answers_in: Option<PathBuf>,
    /// Where the session is kept that has no name.
    pub session_place: Option<SessionPlace>,
    /// Of the named session that is kept up to date: no other window writes to it.
    pub session_hold: Option<Hold>,
    /// The session that is being saved under a name.
    pub saving_session: Option<Saving>,
    /// The session as it was kept last.
    pub kept_session: Option<Session>,
    /// Is it on its way into its file?
    pub keeping_session: bool,
    /// When the next layer is due while they play.
    next_layer: f64,
    /// The newest run that the session's file has, or is about to have.
    newest_kept: Option<RunId>,
    /// Where Hugging Face's programs keep models.
    pub hub_cache: Option<HubCache>,
    /// Goes with the window, where states are not to outlive it.
    _states: Option<tempfile::TempDir>,
}

impl Controller {
    /// Begins with what was kept; hidden states go into folders in `states_in`; `wake` is called when there is news.
    pub fn new(
        kept: Preferences,
        engine: Box<dyn Engine>,
        device: DeviceChoice,
        dtype: DtypeChoice,
        states_in: Option<PathBuf>,
        wake: impl Fn() + Send + Sync + Clone + 'static,
    ) -> Self {
        let session_place = states_in.as_deref().and_then(Path::parent).and_then(SessionPlace::take);
        let answers_in = states_in.as_deref().and_then(Path::parent).map(|dir| dir.join("answers"));
        // Without a place of the window's own they go with it.
        let passing = if states_in.is_none() { tempfile::TempDir::new().ok() } else { None };
        let states_in = states_in
            .or_else(|| passing.as_ref().map(|dir| dir.path().to_owned()))
            // A folder of this process: in the shared one others' would be taken for old states.
            .unwrap_or_else(|| std::env::temp_dir().join(format!("livr-states-{}", std::process::id())));
        let mut state = State::new(kept);
        state.runs.set_kept_in(session_place.as_ref().map(|place| folder_of(&place.path())));
        Self {
            state,
            engine,
            jobs: Jobs::default(),
            files: Files::new(wake.clone()),
            background: Background::new(wake),
            device,
            dtype,
            states_in,
            answers_in,
            session_place,
            session_hold: None,
            saving_session: None,
            kept_session: None,
            keeping_session: false,
            hub_cache: None,
            next_layer: 0.0,
            newest_kept: None,
            _states: passing,
        }
    }

    /// Brings the panes up to date with the state.
    pub fn refresh(&mut self) {
        let state = &mut self.state;
        state.describe_now();
        // What was let go to save memory is read back when it is looked at.
        let compared: Vec<RunId> =
            if state.is_comparing() { state.compare.runs().collect() } else { Vec::new() };
        let base = state.runs.base().map(|run| run.id);
        for id in state.panes.map.run.into_iter().chain(base).chain(compared) {
            if let Some(file) = state.runs.begin_reading(id) {
                self.files.read_trace(id, file);
            }
        }
        let is_there = |run: &&Arc<Run>| !state.runs.is_reading(run.id);
        let run = state.panes.map.run.and_then(|id| state.runs.get(id)).filter(is_there).cloned();
        let base = state.runs.base().filter(is_there).cloned();
        state.panes.map.refresh(run.as_ref(), base.as_ref(), &state.kept.view, &self.background);
        if state.is_comparing() {
            state.compare.refresh(&state.runs, &state.kept.view, &self.background);
        }
        if state.kept.layout.is_shown(Pane::Training) {
            state.training.refresh(&state.runs, &state.kept.view, &self.background);
        }
        state.projection.refresh(&state.kept.map, state.kept.theme != egui::ThemePreference::Light);
        self.want_as_read();
    }

    /// Has images resized as the run in sight read them, where that is how they are looked at.
    fn want_as_read(&mut self) {
        let state = &mut self.state;
        let Some(run) = state.shown_run().filter(|_| state.kept.view.as_read).cloned() else { return };
        for (i, image) in run.request.sample.images.iter().enumerate() {
            if let Some(size) = size_in(&run.trace, i).filter(|size| state.as_read.wants(image.id(), *size)) {
                self.files.resize(image.clone(), size);
            }
        }
    }

    /// Lets time pass: layers go by while they play. -> seconds until it wants to be called again.
    pub fn tick(&mut self, now: f64, ctx: &egui::Context) -> Option<f64> {
        let waits = [self.play(now, ctx), self.keep_newest()];
        waits.into_iter().flatten().reduce(f64::min)
    }

    fn play(&mut self, now: f64, ctx: &egui::Context) -> Option<f64> {
        const EACH: f64 = 0.4;
        if !self.state.panes.map.playing {
            self.next_layer = now + EACH;
            return None;
        }
        if now >= self.next_layer && !self.state.panes.map.is_waiting() {
            self.next_layer = now + EACH;
            self.apply(keyboard::step_layer(&self.state, 1), ctx);
            if self.state.kept.view.selection.layer.is_none() {
                self.apply(keyboard::step_layer(&self.state, 1), ctx);
            }
        }
        Some((self.next_layer - now).max(0.02))
    }

    /// An answer goes into the session's file as soon as it is there: a window that is killed loses none.
    fn keep_newest(&mut self) -> Option<f64> {
        const AGAIN: f64 = 0.2;
        let newest = self.state.runs.listed().last().map(|own| own.id).filter(|id| !id.is_partial());
        if newest.is_none() || newest == self.newest_kept {
            return None;
        }
        if self.files.is_busy() || self.keeping_session {
            return Some(AGAIN);
        }
        self.newest_kept = newest;
        self.keep_session();
        None
    }

    /// True when nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        let state = &self.state;
        let is_waiting = state.panes.map.is_waiting()
            || state.compare.is_waiting()
            || state.data.asking
            || state.training.maps.is_waiting();
        !self.jobs.is_busy() && !is_waiting && !self.files.is_busy()
    }

    pub fn send(&mut self, command: Command) {
        let order = self.jobs.start(command);
        self.engine.submit(order);
    }
}
