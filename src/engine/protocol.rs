//! What the window says to the worker, and what it hears back.

use std::sync::Arc;

use super::session::{ModelInfo, ModelSource};
use crate::checkpoint::folder::Folder;
use crate::data::sample::Sample;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::trace::Trace;

/// Work for the worker.
#[derive(Debug, Clone)]
pub enum Command {
    /// Read a checkpoint and put an adapter on; the model in use stays if that fails.
    LoadModel {
        /// The checkpoint.
        source: ModelSource,
        /// Its adapter, if any.
        adapter: Option<Folder>,
    },
    /// Put another adapter on the model in use, or take it off.
    SetAdapter {
        /// The adapter; nothing takes the present one off.
        folder: Option<Folder>,
    },
    /// Answer a sample and capture what the settings say.
    CaptureTrace {
        /// Images and question.
        sample: Sample,
        /// How.
        settings: Settings,
    },
}

/// The kinds of work, for who wants to know what failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// A model or adapter.
    Load,
    /// An answer.
    Trace,
}

impl Command {
    /// Which kind of work this is.
    pub fn job(&self) -> Job {
        match self {
            Self::LoadModel { .. } | Self::SetAdapter { .. } => Job::Load,
            Self::CaptureTrace { .. } => Job::Trace,
        }
    }
}

/// News from the worker.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step of the job in hand.
    Progressed(Progress),
    /// The answer so far.
    AnswerGrew(String),
    /// A model or adapter is in use.
    ModelLoaded(ModelInfo),
    /// An answer with all that was captured.
    TraceCaptured(Arc<Trace>),
    /// A job came to nothing; what was in use is still in use.
    Failed {
        /// Which kind.
        job: Job,
        /// Why, in one sentence.
        problem: String,
    },
    /// A job was stopped.
    Cancelled(Job),
}
