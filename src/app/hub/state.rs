//! What the window knows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::preferences::Preferences;
pub use crate::app::hub::path_kind::PathKind;
use crate::app::kit::geometry::{CanvasView, ImageSizes, sizes};
use crate::app::parts::as_read::AsRead;
use crate::app::parts::compare::Compare;
use crate::app::parts::data::DataTable;
use crate::app::parts::map_pane::MapPane;
use crate::app::parts::runs::Runs;
use crate::app::parts::samples::{Gallery, Verdict, verdict};
use crate::app::parts::states::Projection;
use crate::app::parts::tiling::{Pane, Preset, Tiling};
use crate::app::parts::training::Training;
use crate::app::parts::undo::{Draft, TextField, Undo};
use crate::ask::{LatentChoice, PixelBudget};
use crate::data::picture::Picture;
use crate::data::sample::{Sample, choices_in, choices_of_text, text_of_choices};
use crate::engine::demo;
use crate::engine::ids::{ModelId, Request, Run, Source};
use crate::engine::model_info::ModelInfo;
use crate::engine::need::{Lengths, RunNeed};
use crate::engine::shelf::Shelf;
use crate::progress::Progress;

/// The model in use and the one on its way.
#[derive(Debug, Default)]
pub struct ModelState {
    /// Answers questions.
    pub in_use: Option<ModelInfo>,
    /// Asked for and not there yet.
    pub opening: Option<ModelId>,
    /// Why there is none in use.
    pub problem: Option<String>,
    /// A repository that is being downloaded.
    pub download: Option<Download>,
    /// The name of a repository as it was typed.
    pub repository: String,
    /// Those of this machine, once somebody has looked.
    pub shelf: Option<Shelf>,
}

/// A download on its way.
#[derive(Debug)]
pub struct Download {
    /// What.
    pub repository: String,
    /// How much of it is there, 0 to 1.
    pub share: f32,
    /// Up where it should stop.
    pub stop: Arc<AtomicBool>,
}

impl ModelState {
    /// The model the controls stand for: the one on its way, else the one in use.
    pub fn chosen(&self) -> Option<&ModelId> {
        self.opening.as_ref().or(self.in_use.as_ref().map(|info| &info.id))
    }
}

/// What stands in the window besides the controls.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is open and what is not does not depend on the others"
)]
pub struct Ui {
    /// Step of the job in hand.
    pub progress: Option<Progress>,
    /// Images on their way.
    pub reading: ImagesToRead,
    /// What the user should read, the latest last; one sentence each.
    pub notices: Vec<String>,
    /// The dialog for a path, where open.
    pub path_dialog: Option<PathDialog>,
    /// Something that went well, for the status bar.
    pub said: Option<String>,
    /// Runs of a window before can be taken up again, and nobody has begun anything else.
    pub can_reopen: bool,
    /// Is the window of models open?
    pub browser_open: bool,
    /// Is the list of keys open?
    pub help_open: bool,
    /// The list of actions, where open.
    pub action_search: Option<ActionSearch>,
    /// The pane that has the focus as a whole.
    pub focused_pane: Option<Pane>,
    /// Put the cursor in the question box.
    pub focus_question: bool,
    /// A statement that is being written, which is to change runs.
    pub statement: Option<String>,
    /// Where panes lay before a button or a key of a room changed them.
    pub layout_before: Option<Tiling>,
    /// The pictures alone, while a key is held.
    pub peeks: bool,
    /// Memory of this process, refreshed now and then.
    pub used_bytes: u64,
    /// Nobody does any work any more.
    pub engine_died: bool,
    /// The session file that is kept up to date, where one was saved or opened.
    pub session: Option<PathBuf>,
    /// What a later version of the program says in that file.
    pub session_rest: serde_json::Map<String, serde_json::Value>,
}

/// The dialog that takes a path by hand, for machines without a file dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathDialog {
    /// What for.
    pub kind: PathKind,
    /// What was typed.
    pub text: String,
    /// Why that is nothing.
    pub problem: Option<String>,
    /// What was typed when the user was told that it is there already.
    pub replace: Option<String>,
    /// How what was typed may go on.
    pub completions: Vec<String>,
}

impl PathDialog {
    /// One that asks for this, with something in it to begin with.
    pub fn new(kind: PathKind, text: String) -> Self {
        Self { kind, text, problem: None, replace: None, completions: Vec::new() }
    }
}

/// Images that are being read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImagesToRead {
    /// Of the batch.
    pub count: usize,
    /// Not there yet.
    pub left: usize,
}

impl ImagesToRead {
    /// A batch begins.
    pub fn begin(&mut self, count: usize) {
        *self = Self { count, left: count };
    }

    /// "Reading image 9 of 15", while there is something to read.
    pub fn says(&self) -> Option<String> {
        let Self { count, left } = *self;
        (left > 0).then(|| format!("Reading image {} of {count}", count - left + 1))
    }
}

/// What is looked for among the actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionSearch {
    /// Words of its name.
    pub text: String,
    /// Which of those found, from the top.
    pub chosen: usize,
}

/// The panes of the window.
#[derive(Default)]
pub struct Panes {
    /// Images under attention, thumbnails, matrix.
    pub map: MapPane,
}

/// All of it.
pub struct State {
    /// Question, settings and view: what is kept between starts.
    pub kept: Preferences,
    /// Images, in the order the question speaks of them.
    pub images: Vec<Arc<Picture>>,
    /// Earlier questions and images.
    pub undo: Undo,
    /// Models.
    pub models: ModelState,
    /// Runs.
    pub runs: Runs,
    /// The training run.
    pub training: Training,
    /// The built-in samples.
    pub gallery: Gallery,
    /// Maps of hidden states.
    pub projection: Projection,
    /// Checkpoints and conditions side by side.
    pub compare: Compare,
    /// Images as the model reads them.
    pub as_read: AsRead,
    /// A data set.
    pub data: DataTable,
    /// Panes.
    pub panes: Panes,
    /// The rest.
    pub ui: Ui,
    /// What the controls describe in this frame.
    now: Option<Request>,
}

impl State {
    /// The beginning.
    pub fn new(kept: Preferences) -> Self {
        Self {
            kept,
            images: Vec::new(),
            undo: Undo::default(),
            models: ModelState::default(),
            runs: Runs::default(),
            training: Training::default(),
            gallery: Gallery::default(),
            projection: Projection::default(),
            compare: Compare::default(),
            as_read: AsRead::default(),
            data: DataTable::default(),
            panes: Panes::default(),
            ui: Ui {
                progress: None,
                reading: ImagesToRead::default(),
                notices: Vec::new(),
                path_dialog: None,
                said: None,
                can_reopen: false,
                browser_open: false,
                help_open: false,
                action_search: None,
                focused_pane: None,
                focus_question: false,
                statement: None,
                peeks: false,
                layout_before: None,
                used_bytes: 0,
                engine_died: false,
                session: None,
                session_rest: serde_json::Map::new(),
            },
            now: None,
        }
    }

    /// Images and question as they stand.
    pub fn sample(&self) -> Sample {
        Sample { images: self.images.clone(), prompt: self.kept.question.clone(), choices: self.choices() }
    }

    fn choices(&self) -> Vec<String> {
        let typed = choices_of_text(&self.kept.choices);
        if typed.is_empty() { choices_in(&self.kept.question) } else { typed }
    }

    /// What the controls describe; nothing where there is no model.
    pub fn described(&self) -> Option<Request> {
        let model = self.models.chosen()?.clone();
        Some(Request { model, sample: self.sample(), condition: self.kept.condition.clone() })
    }

    /// What a run as described will keep, nearly: images by the size they are read at, text by its length. Nothing
    /// where there is no model.
    pub fn expected_need(&self) -> Option<RunNeed> {
        // The template's own tokens, and characters to a token of text: what English takes.
        const TEMPLATE: usize = 24;
        const CHARACTERS: usize = 4;
        let info = self.models.in_use.as_ref()?;
        let condition = &self.kept.condition;
        let most = match condition.max_pixels {
            PixelBudget::Auto => info.auto_max_pixels,
            PixelBudget::Checkpoint => info.checkpoint_max_pixels,
            PixelBudget::Pixels(n) => n,
        };
        let area = info.run_shape.pixels_per_visual_token;
        let visual = |picture: &Arc<Picture>| {
            let (width, height) = picture.size();
            (width as usize * height as usize).min(most).div_ceil(area)
        };
        let latents = match condition.latents {
            LatentChoice::Auto => info.trained_latents,
            LatentChoice::Off => 0,
            LatentChoice::Count(n) => n,
        };
        let text = TEMPLATE + self.kept.question.chars().count().div_ceil(CHARACTERS);
        let tokens = text + latents + self.images.iter().map(visual).sum::<usize>();
        let lengths = Lengths { tokens, latents, answer: condition.decoding.max_new_tokens };
        Some(info.run_shape.need(lengths, &self.kept.keep))
    }

    /// What a run's sample should be answered with, where it is a built-in one, and whether it was.
    pub fn verdict(&self, run: &Run) -> Option<Verdict> {
        let listed = self.runs.listed().iter().find(|own| own.id == run.id)?;
        let id = listed.sample.as_deref()?;
        let built_in = demo::gallery().iter().find(|record| record.id == id);
        let taken = || self.gallery.taken.as_ref().map(|own| &own.record).filter(|own| own.id == id);
        let record = built_in.or_else(|| self.data.record(id)).or_else(taken)?;
        Some(verdict(record, run)).filter(|_| !run.trace.stopped)
    }

    /// Was the built-in demo asked what is none of the samples it could know?
    pub fn is_beyond_demo(&self, run: &Run) -> bool {
        let is_demo = run.request.model.base.source == Source::Demo;
        is_demo
            && !run.trace.stopped
            && self.training.probe_step(run.id).is_none()
            && self.verdict(run).is_none()
    }

    /// The run the map pane shows.
    pub fn shown_run(&self) -> Option<&Arc<Run>> {
        self.runs.get(self.panes.map.run?)
    }

    /// Puts what the controls describe where a frame's panels look: they ask many times.
    pub fn describe_now(&mut self) {
        self.now = self.described();
        if self.is_comparing() {
            let form = &mut self.kept.compare;
            self.compare.focus = form.follow(self.models.chosen(), self.compare.focus);
            self.compare.find(form, self.now.as_ref(), &self.runs);
        }
    }

    /// Shows the panes of a room, or again those that there were before.
    pub fn toggle_panes(&mut self, preset: Preset) {
        let layout = &mut self.kept.layout;
        *layout = if layout.is_shown(preset.pane()) {
            self.ui.layout_before.take().unwrap_or_default()
        } else {
            self.ui.layout_before = Some(layout.clone());
            Tiling::of(preset)
        };
    }

    /// Are things side by side in sight?
    pub fn is_comparing(&self) -> bool {
        self.kept.layout.is_shown(Pane::Compare)
    }

    /// Is a run what the controls describe in this frame? A look at a training run's sample describes itself.
    pub fn is_current(&self, run: &Run) -> bool {
        self.training.probe_step(run.id).is_some() || self.now.as_ref().is_some_and(|now| *now == run.request)
    }

    /// What of a run's request the controls no longer say, in words; nothing where it is current.
    pub fn changes_since(&self, run: &Run) -> Vec<&'static str> {
        let Some(now) = &self.now else { return vec!["the model"] };
        let then = &run.request;
        let are_other = |changed: bool, what: &'static str| changed.then_some(what);
        let same_question = now.sample.prompt == then.sample.prompt;
        let other_choices = now.sample.choices != then.sample.choices && same_question;
        let of_request = [
            are_other(now.model != then.model, "the model"),
            are_other(now.sample.images != then.sample.images, "the images"),
            are_other(!same_question, "the question"),
            are_other(other_choices, "the choices"),
        ];
        of_request.into_iter().flatten().chain(now.condition.changes_since(&then.condition)).collect()
    }

    /// Images, question and choices as they stand, to come back to.
    pub fn draft(&self) -> Draft {
        let (question, choices) = (self.kept.question.clone(), self.kept.choices.clone());
        let edits = self.kept.condition.edits.clone();
        Draft { images: self.images.clone(), question, choices, edits }
    }

    /// Keeps the draft before it changes.
    pub fn keep_draft(&mut self, typed: Option<TextField>) {
        let before = self.draft();
        self.undo.keep(before, typed);
    }

    /// Puts a sample into the controls: what stood there is a step back.
    pub fn take_sample(&mut self, sample: Sample) {
        let are_offered = sample.choices == choices_in(&sample.prompt);
        let choices = if are_offered { String::new() } else { text_of_choices(&sample.choices) };
        let edits = self.kept.condition.edits.clone();
        let next = Draft { images: sample.images, question: sample.prompt, choices, edits };
        if next == self.draft() {
            return;
        }
        self.keep_draft(None);
        self.restore(next);
    }

    /// Puts a draft into the controls.
    pub fn restore(&mut self, draft: Draft) {
        if self.images != draft.images {
            self.set_images(draft.images);
        }
        (self.kept.question, self.kept.choices) = (draft.question, draft.choices);
        self.kept.condition.edits = draft.edits;
    }

    /// Sizes of the images as they lie beside each other, in pixels: pieces of one picture on its own scale.
    pub fn image_sizes(&self) -> ImageSizes {
        let taken = self.gallery.taken.as_ref().filter(|own| own.sample.images == self.images);
        let one_scale = taken.is_some_and(|own| own.record.task == "jigsaw");
        ImageSizes { sizes: sizes(&self.images), one_scale }
    }

    /// Images that come in join those there are; those of a sample make room, and its question with them: it was about
    /// other pictures. `first` of what comes in together can be taken back.
    pub fn add_images(&mut self, added: &[Arc<Picture>], first: bool) {
        if first {
            self.keep_draft(None);
        }
        let taken = self.gallery.taken.as_ref().filter(|own| own.sample.images == self.images && first);
        let of_sample = taken.map(|own| own.sample.prompt.clone()).filter(|_| !self.images.is_empty());
        let before = if of_sample.is_some() { Vec::new() } else { std::mem::take(&mut self.images) };
        if of_sample.is_some_and(|prompt| prompt == self.kept.question) {
            self.kept.question.clear();
            self.kept.choices.clear();
            self.ui.focus_question = true;
        }
        self.set_images([before.as_slice(), added].concat());
    }

    /// Other images: the view of those before would show nothing of these.
    pub fn set_images(&mut self, images: Vec<Arc<Picture>>) {
        self.images = images;
        self.panes.map.canvas = CanvasView::default();
        self.panes.map.hovered = None;
        self.panes.map.pinned = None;
        self.panes.map.maximised = None;
    }

    /// Says that something went well, where it is in nobody's way.
    pub fn say(&mut self, text: impl Into<String>) {
        self.ui.said = Some(text.into());
    }

    /// Says what the user should read, once.
    pub fn notify(&mut self, text: impl Into<String>) {
        let text = text.into();
        let notices = &mut self.ui.notices;
        notices.retain(|other| *other != text);
        notices.push(text);
        let excess = notices.len().saturating_sub(4);
        notices.drain(..excess);
    }
}
