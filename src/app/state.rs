//! What the window knows: what is kept between starts, and what belongs to this one.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::maps::{MapView, MatrixView};
use crate::analysis::maps::{Aggregation, Query, Scalar, Selection};
use crate::analysis::normalise::Normalisation;
use crate::data::sample::{Sample, choices_in};
use crate::engine::demo;
use crate::engine::session::ModelInfo;
use crate::progress::Progress;
use crate::render::blend::OverlayStyle;
use crate::render::overlay::ShownImage;
use crate::settings::{Capture, Decoding, LatentChoice, MaskKind, Settings};
use crate::trace::Trace;

/// Folders remembered.
const MAX_RECENT: usize = 8;
/// Questions remembered.
const MAX_HISTORY: usize = 50;

/// What is kept between starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Persisted {
    /// Light, dark, or as the system.
    pub theme: egui::ThemePreference,
    /// Checkpoint folders, the latest first.
    pub recent_models: Vec<PathBuf>,
    /// Adapter folders, the latest first.
    pub recent_adapters: Vec<PathBuf>,
    /// Questions, the latest first.
    pub history: Vec<String>,
    /// The question as it stood.
    pub prompt: String,
    /// The attention mask.
    pub mask: MaskKind,
    /// Whether latents are appended.
    pub latents_on: bool,
    /// Length of the answer.
    pub max_new_tokens: usize,
    /// How maps lie over images.
    pub style: OverlayStyle,
    /// How maps get their range.
    pub normalisation: Normalisation,
    /// How layers and heads become one.
    pub aggregation: Aggregation,
    /// What the matrix shows.
    pub scalar: Scalar,
}

impl Default for Persisted {
    fn default() -> Self {
        Self {
            theme: egui::ThemePreference::Dark,
            recent_models: Vec::new(),
            recent_adapters: Vec::new(),
            history: Vec::new(),
            prompt: demo::PROMPT.to_owned(),
            mask: MaskKind::default(),
            latents_on: true,
            max_new_tokens: 16,
            style: OverlayStyle::default(),
            normalisation: Normalisation::default(),
            aggregation: Aggregation::default(),
            scalar: Scalar::default(),
        }
    }
}

impl Persisted {
    /// Puts a folder first in a list of recent ones.
    pub fn remember_folder(list: &mut Vec<PathBuf>, path: PathBuf) {
        list.retain(|other| *other != path);
        list.insert(0, path);
        list.truncate(MAX_RECENT);
    }

    /// Puts a question first in the history.
    pub fn remember_question(&mut self, question: &str) {
        if question.trim().is_empty() {
            return;
        }
        self.history.retain(|other| other != question);
        self.history.insert(0, question.to_owned());
        self.history.truncate(MAX_HISTORY);
    }
}

/// A result that may be on its way, while what was there before stays in sight.
#[derive(Debug, Clone)]
pub enum Pending<T> {
    /// Nothing was asked for.
    Idle,
    /// Under way.
    Waiting {
        /// What was there before.
        previous: Option<T>,
    },
    /// There.
    Ready(T),
    /// It came to nothing.
    Failed {
        /// Why.
        problem: String,
        /// What was there before.
        previous: Option<T>,
    },
}

impl<T> Pending<T> {
    /// The newest result there is.
    pub fn latest(&self) -> Option<&T> {
        match self {
            Self::Ready(value) => Some(value),
            Self::Waiting { previous } | Self::Failed { previous, .. } => previous.as_ref(),
            Self::Idle => None,
        }
    }

    /// Under way?
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }

    fn take_latest(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Idle) {
            Self::Ready(value) => Some(value),
            Self::Waiting { previous } | Self::Failed { previous, .. } => previous,
            Self::Idle => None,
        }
    }

    /// Now under way.
    pub fn start(&mut self) {
        *self = Self::Waiting { previous: self.take_latest() };
    }

    /// It failed; what was there before stays.
    pub fn fail(&mut self, problem: String) {
        *self = Self::Failed { problem, previous: self.take_latest() };
    }

    /// It was stopped; what was there before stays.
    pub fn stop(&mut self) {
        *self = self.take_latest().map_or(Self::Idle, Self::Ready);
    }
}

/// Something the user should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One sentence.
    pub text: String,
}

/// Which path the path dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A checkpoint folder.
    Model,
    /// An adapter folder.
    Adapter,
    /// Image files.
    Images,
}

/// The dialog that takes a path by hand, for machines without a file dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathDialog {
    /// What for.
    pub kind: PathKind,
    /// What was typed.
    pub text: String,
}

/// Zoom and place of the images in the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CanvasView {
    /// 1 fits all images.
    pub zoom: f32,
    /// Shift of the centre in points.
    pub pan: egui::Vec2,
}

impl Default for CanvasView {
    fn default() -> Self {
        Self { zoom: 1.0, pan: egui::Vec2::ZERO }
    }
}

/// A visual token under the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hovered {
    /// Which image.
    pub image: usize,
    /// Row in its merged grid.
    pub row: usize,
    /// Column in its merged grid.
    pub col: usize,
}

/// What belongs to this start.
pub struct State {
    /// What is kept between starts.
    pub persisted: Persisted,
    /// The model in use.
    pub model: Pending<ModelInfo>,
    /// Images, in the order the prompt speaks of them.
    pub images: Vec<ShownImage>,
    /// Earlier lists of images, for undo.
    pub removed_images: Vec<Vec<ShownImage>>,
    /// The last answer with what was captured.
    pub trace: Pending<Arc<Trace>>,
    /// Images the last trace was made on, so that maps stay with theirs.
    pub trace_images: Vec<ShownImage>,
    /// Images of the trace under way.
    pub asked_images: Vec<ShownImage>,
    /// Maps of the last trace as chosen.
    pub maps: Option<MapView>,
    /// The layers x heads matrix of the last trace as chosen.
    pub matrix: Option<MatrixView>,
    /// Whose attention is shown.
    pub query: Query,
    /// One layer, one head, or all.
    pub selection: Selection,
    /// Answer so far.
    pub partial_answer: String,
    /// Step of the job in hand.
    pub progress: Option<Progress>,
    /// What the user should read, the latest last.
    pub notices: Vec<Notice>,
    /// Zoom and pan.
    pub canvas: CanvasView,
    /// Patch under the pointer.
    pub hovered: Option<Hovered>,
    /// The dialog for a path, where open.
    pub path_dialog: Option<PathDialog>,
    /// Is the list of keys open?
    pub help_open: bool,
    /// Put the cursor in the question box.
    pub focus_question: bool,
    /// Ask as soon as there is a model.
    pub ask_when_ready: bool,
    /// Memory of this process, refreshed now and then.
    pub used_bytes: u64,
}

impl State {
    /// The beginning.
    pub fn new(persisted: Persisted) -> Self {
        let selection = Selection { aggregation: persisted.aggregation, ..Selection::default() };
        Self {
            persisted,
            model: Pending::Idle,
            images: Vec::new(),
            removed_images: Vec::new(),
            trace: Pending::Idle,
            trace_images: Vec::new(),
            asked_images: Vec::new(),
            maps: None,
            matrix: None,
            query: Query::Latent(0),
            selection,
            partial_answer: String::new(),
            progress: None,
            notices: Vec::new(),
            canvas: CanvasView::default(),
            hovered: None,
            path_dialog: None,
            help_open: false,
            focus_question: true,
            ask_when_ready: false,
            used_bytes: 0,
        }
    }

    /// Images and question as they stand.
    pub fn sample(&self) -> Sample {
        Sample {
            images: self.images.iter().map(|image| image.picture.clone()).collect(),
            prompt: self.persisted.prompt.clone(),
            choices: choices_in(&self.persisted.prompt),
        }
    }

    /// Settings as they stand.
    pub fn settings(&self) -> Settings {
        Settings {
            mask: self.persisted.mask,
            latents: if self.persisted.latents_on { LatentChoice::Auto } else { LatentChoice::Off },
            decoding: Decoding { max_new_tokens: self.persisted.max_new_tokens, ..Decoding::default() },
            capture: Capture { rows: true, ..Capture::default() },
        }
    }

    /// Width and height of each image in the canvas, in pixels.
    pub fn image_sizes(&self) -> Vec<egui::Vec2> {
        self.images
            .iter()
            .map(|image| image.picture.size())
            .map(|(w, h)| egui::vec2(w as f32, h as f32))
            .collect()
    }

    /// Do the maps belong to the images in the canvas?
    pub fn maps_fit(&self) -> bool {
        self.images.len() == self.trace_images.len()
            && self.images.iter().zip(&self.trace_images).all(|(a, b)| Arc::ptr_eq(&a.picture, &b.picture))
    }

    /// Is the trace in sight the outcome of what stands in the controls?
    pub fn is_current(&self) -> bool {
        self.trace.latest().is_some_and(|trace| {
            trace.settings.mask == self.persisted.mask
                && trace.settings.latents == self.settings().latents
                && self.maps_fit()
        })
    }

    /// Says something, once.
    pub fn notify(&mut self, text: impl Into<String>) {
        let notice = Notice { text: text.into() };
        self.notices.retain(|other| *other != notice);
        self.notices.push(notice);
        let excess = self.notices.len().saturating_sub(4);
        self.notices.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_what_was_there() {
        let mut pending = Pending::Ready(1);
        pending.start();
        assert_eq!(pending.latest(), Some(&1));
        pending.fail("no".to_owned());
        assert_eq!(pending.latest(), Some(&1));
        pending.stop();
        assert!(matches!(pending, Pending::Ready(1)));
    }

    #[test]
    fn history_has_each_question_once_the_latest_first() {
        let mut persisted = Persisted::default();
        for question in ["a", "b", "a", " "] {
            persisted.remember_question(question);
        }
        assert_eq!(persisted.history, ["a", "b"]);
    }
}
