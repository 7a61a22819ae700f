//! The one place where the state changes: an arm for each action, an arm for each event.

use std::path::PathBuf;
use std::sync::Arc;

use super::actions::Action;
use super::files::{FileEvent, Files};
use super::maps::{MapView, MatrixView};
use super::state::{CanvasView, PathDialog, PathKind, Pending, Persisted, State};
use crate::analysis::maps::Query;
use crate::checkpoint::folder::Folder;
use crate::data::picture::Picture;
use crate::device::{DeviceChoice, DtypeChoice};
use crate::engine::demo;
use crate::engine::protocol::{Command, Event, Job};
use crate::engine::session::ModelSource;
use crate::engine::worker::Engine;
use crate::render::overlay::ShownImage;
use crate::trace::Trace;

/// Lists of removed images kept for undo.
const MAX_UNDO: usize = 20;

/// State with what can act on the world.
pub struct Controller {
    /// What the window knows.
    pub state: State,
    /// The worker.
    pub engine: Engine,
    /// Disk and dialogs.
    pub files: Files,
    /// Where models go.
    pub device: DeviceChoice,
    /// Their element type.
    pub dtype: DtypeChoice,
    /// The checkpoint on its way.
    pub loading: Option<ModelSource>,
}

impl Controller {
    /// Applies a wish of the user.
    pub fn apply(&mut self, action: Action, ctx: &egui::Context) {
        let state = &mut self.state;
        match action {
            Action::OpenPathDialog(kind) => {
                state.path_dialog = Some(PathDialog { kind, text: String::new() });
            }
            Action::EditPath(text) => {
                if let Some(dialog) = &mut state.path_dialog {
                    dialog.text = text;
                }
            }
            Action::TakePath => {
                if let Some(dialog) = state.path_dialog.take() {
                    let path = PathBuf::from(dialog.text.trim());
                    self.take_paths(dialog.kind, vec![path]);
                }
            }
            Action::ClosePathDialog => state.path_dialog = None,
            Action::Browse(kind) => {
                let recent = match kind {
                    PathKind::Model => state.persisted.recent_models.first(),
                    PathKind::Adapter => state.persisted.recent_adapters.first(),
                    PathKind::Images => None,
                };
                self.files.browse(kind, recent.and_then(|path| path.parent()));
            }
            Action::LoadModel(path) => match Folder::open(&path) {
                Ok(folder) => self.load(folder, None),
                Err(problem) => state.notify(problem.to_string()),
            },
            Action::LoadDemo => self.load(demo::model(), Some(demo::adapter())),
            Action::SetAdapter(None) => self.send_adapter(None),
            Action::SetAdapter(Some(path)) => match Folder::open(&path) {
                Ok(folder) => self.send_adapter(Some(folder)),
                Err(problem) => state.notify(problem.to_string()),
            },
            Action::ReadImages(paths) => self.files.read_images(paths),
            Action::Paste => ctx.send_viewport_cmd(egui::ViewportCommand::RequestPaste),
            Action::RemoveImage(_) | Action::MoveImage(..) | Action::ClearImages | Action::UndoImages => {
                self.apply_to_images(&action);
            }
            Action::SetPrompt(prompt) => state.persisted.prompt = prompt,
            Action::FocusQuestion => state.focus_question = true,
            Action::Ask => self.ask(),
            Action::Cancel => {
                if self.engine.is_busy() {
                    self.engine.cancel();
                } else {
                    state.notices.clear();
                }
            }
            Action::SetMask(mask) => {
                state.persisted.mask = mask;
                self.ask_again();
            }
            Action::SetLatents(on) => {
                state.persisted.latents_on = on;
                self.ask_again();
            }
            Action::SetMaxNewTokens(n) => state.persisted.max_new_tokens = n,
            Action::SelectQuery(query) => state.query = query,
            Action::StepQuery(step) => {
                if let Some(maps) = &state.maps {
                    let place = maps.index_of(state.query) as isize + step;
                    state.query = maps.queries[place.rem_euclid(maps.queries.len() as isize) as usize];
                }
            }
            Action::Select(selection) => {
                state.selection = selection;
                state.persisted.aggregation = selection.aggregation;
            }
            Action::SetScalar(scalar) => state.persisted.scalar = scalar,
            Action::SetStyle(style) => state.persisted.style = style,
            Action::SetNormalisation(normalisation) => {
                state.persisted.normalisation = normalisation;
            }
            Action::SetCanvas(view) => state.canvas = view,
            Action::Hover(hovered) => state.hovered = hovered,
            Action::SetTheme(theme) => {
                state.persisted.theme = theme;
                ctx.set_theme(theme);
            }
            Action::ToggleHelp => state.help_open = !state.help_open,
            Action::DismissNotice(index) => {
                if index < state.notices.len() {
                    state.notices.remove(index);
                }
            }
        }
    }

    fn apply_to_images(&mut self, action: &Action) {
        let mut images = self.state.images.clone();
        match *action {
            Action::UndoImages => {
                let Some(earlier) = self.state.removed_images.pop() else { return };
                self.state.images = earlier;
                self.images_changed();
                return;
            }
            Action::RemoveImage(index) if index < images.len() => {
                images.remove(index);
            }
            Action::MoveImage(index, later) => {
                let other = if later { index + 1 } else { index.wrapping_sub(1) };
                if other >= images.len() {
                    return;
                }
                images.swap(index, other);
            }
            Action::ClearImages => images.clear(),
            _ => return,
        }
        self.keep_for_undo();
        self.state.images = images;
        self.images_changed();
    }

    /// Loads a checkpoint; the one in use stays until that has worked.
    pub fn load(&mut self, folder: Folder, adapter: Option<Folder>) {
        self.state.model.start();
        let source = ModelSource { folder, device: self.device, dtype: self.dtype };
        self.loading = Some(source.clone());
        self.engine.send(Command::LoadModel { source, adapter });
    }

    fn send_adapter(&mut self, folder: Option<Folder>) {
        if let Some(source) = self.loading.clone() {
            // The model it is for is still on its way: both together.
            self.engine.send(Command::LoadModel { source, adapter: folder });
            return;
        }
        if self.state.model.latest().is_none() {
            self.state.notify("Open a model first, then its adapter");
            return;
        }
        self.state.model.start();
        self.engine.send(Command::SetAdapter { folder });
    }

    /// Takes paths from a dialog or a drop: folders are models or adapters, files are images.
    pub fn take_paths(&mut self, kind: PathKind, paths: Vec<PathBuf>) {
        match kind {
            PathKind::Images => self.files.read_images(paths),
            PathKind::Model | PathKind::Adapter => {
                for path in paths {
                    match Folder::open(&path) {
                        Ok(folder) if kind == PathKind::Model => self.load(folder, None),
                        Ok(folder) => self.send_adapter(Some(folder)),
                        Err(problem) => self.state.notify(problem.to_string()),
                    }
                }
            }
        }
    }

    /// Sorts what was dropped on the window.
    pub fn take_dropped(&mut self, paths: Vec<PathBuf>) {
        let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
        if !files.is_empty() {
            self.files.read_images(files);
        }
        // The model first, so that an adapter dropped with it goes on it.
        let (models, adapters): (Vec<_>, Vec<_>) =
            folders.into_iter().partition(|folder| folder.join("config.json").is_file());
        for (kind, folder) in models
            .into_iter()
            .map(|folder| (PathKind::Model, folder))
            .chain(adapters.into_iter().map(|folder| (PathKind::Adapter, folder)))
        {
            self.take_paths(kind, vec![folder]);
        }
    }

    /// Adds an image to those in the canvas.
    pub fn add_image(&mut self, picture: Arc<Picture>) {
        self.keep_for_undo();
        self.state.images.push(ShownImage::new(picture));
        self.images_changed();
    }

    fn keep_for_undo(&mut self) {
        let state = &mut self.state;
        state.removed_images.push(state.images.clone());
        let excess = state.removed_images.len().saturating_sub(MAX_UNDO);
        state.removed_images.drain(..excess);
    }

    fn images_changed(&mut self) {
        self.state.canvas = CanvasView::default();
        self.state.hovered = None;
    }

    fn ask(&mut self) {
        let state = &mut self.state;
        if state.model.latest().is_none() {
            state.ask_when_ready = state.model.is_waiting();
            if !state.ask_when_ready {
                state.notify("Open a model first");
            }
            return;
        }
        let prompt = state.persisted.prompt.clone();
        state.persisted.remember_question(&prompt);
        state.trace.start();
        state.partial_answer.clear();
        state.asked_images = state.images.clone();
        let command = Command::CaptureTrace { sample: state.sample(), settings: state.settings() };
        self.engine.send(command);
    }

    /// After a switch: the answer in sight, once more.
    fn ask_again(&mut self) {
        if self.state.trace.latest().is_some() || self.state.trace.is_waiting() {
            self.ask();
        }
    }

    /// Takes all events there are.
    pub fn drain(&mut self) {
        while let Some(event) = self.engine.poll() {
            self.hear(event);
        }
        while let Some(event) = self.files.poll() {
            match event {
                FileEvent::ImageRead(Ok(picture)) => self.add_image(picture),
                FileEvent::ImageRead(Err(problem)) => self.state.notify(problem),
                FileEvent::Picked(kind, paths) => {
                    self.state.path_dialog = None;
                    self.take_paths(kind, paths);
                }
            }
        }
        if !self.engine.is_busy() {
            self.state.progress = None;
        }
    }

    fn hear(&mut self, event: Event) {
        let state = &mut self.state;
        match event {
            Event::Progressed(progress) => state.progress = Some(progress),
            Event::AnswerGrew(answer) => state.partial_answer = answer,
            Event::ModelLoaded(info) => {
                if info.path.is_absolute() {
                    Persisted::remember_folder(&mut state.persisted.recent_models, info.path.clone());
                }
                if let Some(path) = info.adapter_path.clone().filter(|path| path.is_absolute()) {
                    Persisted::remember_folder(&mut state.persisted.recent_adapters, path);
                }
                state.selection.layer = state.selection.layer.filter(|layer| layer.0 < info.num_layers);
                state.selection.head = state.selection.head.filter(|head| head.0 < info.num_heads);
                state.used_bytes = crate::device::used_memory_bytes();
                let again = state.ask_when_ready || state.trace.latest().is_some();
                state.ask_when_ready = false;
                state.model = Pending::Ready(info);
                if self.engine.is_running(Job::Load) {
                    state.model.start();
                } else {
                    self.loading = None;
                }
                if again {
                    self.ask();
                }
            }
            Event::TraceCaptured(trace) => self.show(trace),
            Event::Failed { job, problem } => {
                match job {
                    Job::Load => {
                        state.ask_when_ready = false;
                        self.loading = None;
                        state.model.fail(problem.clone());
                    }
                    Job::Trace => state.trace.fail(problem.clone()),
                }
                state.notify(problem);
            }
            Event::Cancelled(Job::Load) => {
                state.ask_when_ready = false;
                self.loading = None;
                state.model.stop();
            }
            Event::Cancelled(Job::Trace) => state.trace.stop(),
        }
    }

    fn show(&mut self, trace: Arc<Trace>) {
        let state = &mut self.state;
        state.trace_images = std::mem::take(&mut state.asked_images);
        state.query = match state.query {
            Query::Latent(i) if i < trace.num_latents() => Query::Latent(i),
            Query::Answer(i) if i < trace.generated.len() => Query::Answer(i),
            _ if trace.num_latents() > 0 => Query::Latent(0),
            _ => Query::Answer(0),
        };
        state.trace = Pending::Ready(trace);
        state.used_bytes = crate::device::used_memory_bytes();
    }

    /// Makes maps and matrix anew where they are out of date.
    pub fn refresh_maps(&mut self) {
        let state = &mut self.state;
        let Some(trace) = state.trace.latest() else {
            state.maps = None;
            state.matrix = None;
            return;
        };
        // The trace may be of another model than the one in use by now.
        let (num_layers, num_heads) = trace.attention_dims();
        let mut selection = state.selection;
        selection.layer = selection.layer.filter(|layer| layer.0 < num_layers);
        selection.head = selection.head.filter(|head| head.0 < num_heads);
        let normalisation = state.persisted.normalisation;
        if !state.maps.as_ref().is_some_and(|maps| maps.is_of(trace, selection, normalisation)) {
            let earlier = state.maps.take().filter(|maps| maps.is_from(trace, selection));
            state.maps = MapView::new(trace, selection, normalisation, earlier);
        }
        let (query, scalar) = (state.query, state.persisted.scalar);
        if !state.matrix.as_ref().is_some_and(|matrix| matrix.is_of(trace, query, scalar)) {
            state.matrix = Some(MatrixView::new(trace, query, scalar));
        }
    }
}
