//! What the window says to the engine, and what it hears back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ids::{JobId, ModelId, Request, Run};
use super::model_info::ModelInfo;
use super::project::{Collected, Layout, LayoutOrder, Reading, ReadingOrder, StatesOrder};
use super::study::{AnsweredRecord, RecordsOrder};
use super::training::{Begun, TrainOrder, TrainedRun, Validation};
use crate::ask::Keep;
use crate::progress::Progress;
use crate::train::Step;

/// Work for the engine.
#[derive(Debug, Clone)]
pub enum Command {
    /// Read what of a model is not in memory yet.
    OpenModel(ModelId),
    /// Answer a sample.
    CaptureTrace {
        /// What is asked, and how.
        request: Box<Request>,
        /// What is kept besides the answer.
        keep: Keep,
    },
    /// Train.
    Train(Box<TrainOrder>),
    /// Keep hidden states of many samples.
    KeepStates(Box<StatesOrder>),
    /// Make maps of states that are kept.
    MakeLayouts(Box<LayoutOrder>),
    /// Say what some of them say.
    ReadStates(Box<ReadingOrder>),
    /// Answer some records of a data set.
    AnswerRecords(Box<RecordsOrder>),
}

/// What work is for: new work for the same thing supersedes the old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The model in use.
    Model,
    /// The answer in sight.
    Answer,
    /// The training run.
    Training,
    /// The layout of hidden states.
    Layout,
    /// What points that are chosen on it say.
    Reading,
    /// A data set.
    Data,
}

impl Command {
    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::OpenModel(_) => Purpose::Model,
            Self::CaptureTrace { .. } => Purpose::Answer,
            Self::Train(_) => Purpose::Training,
            Self::KeepStates(_) | Self::MakeLayouts(_) => Purpose::Layout,
            Self::ReadStates(_) => Purpose::Reading,
            Self::AnswerRecords(_) => Purpose::Data,
        }
    }

    /// The model in memory that it needs; a training run reads its own.
    pub fn model(&self) -> Option<&ModelId> {
        match self {
            Self::OpenModel(model) => Some(model),
            Self::CaptureTrace { request, .. } => Some(&request.model),
            Self::KeepStates(order) => Some(&order.model),
            Self::ReadStates(order) => order.collected.model.as_ref(),
            Self::AnswerRecords(order) => Some(&order.model),
            Self::Train(_) | Self::MakeLayouts(_) => None,
        }
    }
}

/// A command on its way, with the flag that stops it.
#[derive(Debug, Clone)]
pub struct Order {
    /// Every event of it carries this.
    pub job: JobId,
    /// What to do.
    pub command: Command,
    cancel: Arc<AtomicBool>,
}

impl Order {
    /// A new order.
    pub fn new(job: JobId, command: Command) -> Self {
        Self { job, command, cancel: Arc::default() }
    }

    /// Asks the engine to stop it.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Was it asked to stop?
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// News of one job.
#[derive(Debug, Clone)]
pub struct Event {
    /// Whose.
    pub job: JobId,
    /// What.
    pub news: News,
}

/// What can happen to a job.
#[derive(Debug, Clone)]
pub enum News {
    /// A step.
    Progressed(Progress),
    /// The answer so far.
    AnswerGrew(String),
    /// Something the user should know, in one sentence.
    Noted(String),
    /// A model is open.
    ModelOpened(Box<ModelInfo>),
    /// A prompt was read: a run with the rows of its latents, and no answer yet.
    PromptRead(Arc<Run>),
    /// An answer with all that was captured.
    TraceCaptured(Arc<Run>),
    /// A training run begins, or goes on.
    TrainingBegun(Box<Begun>),
    /// It made a step.
    TrainingStepped(Step),
    /// It answered the validation samples.
    TrainingValidated(Box<Validation>),
    /// It looked at its probe sample.
    TrainingProbed {
        /// Steps made.
        step: usize,
        /// The answer with its rows.
        run: Arc<Run>,
    },
    /// It came to its end.
    Trained(Box<TrainedRun>),
    /// States are kept.
    StatesKept(Arc<Collected>),
    /// A layer's map has moved.
    LayoutMoved {
        /// Which layer's.
        layer: usize,
        /// Where its points are now.
        places: Arc<Vec<[f32; 2]>>,
    },
    /// A layer's map is there.
    LayoutMade(Arc<Layout>),
    /// All maps are there.
    LayoutsMade,
    /// What chosen points say.
    StatesRead(Arc<Reading>),
    /// What a model said to some records.
    RecordsAnswered(Vec<AnsweredRecord>),
    /// It came to nothing, for a reason in one sentence; what was in use still is.
    Failed(String),
    /// It was stopped.
    Cancelled,
}

impl News {
    /// Is the job over?
    pub fn ends_job(&self) -> bool {
        !matches!(
            self,
            Self::Progressed(_)
                | Self::AnswerGrew(_)
                | Self::PromptRead(_)
                | Self::Noted(_)
                | Self::TrainingBegun(_)
                | Self::TrainingStepped(_)
                | Self::TrainingValidated(_)
                | Self::TrainingProbed { .. }
                | Self::LayoutMoved { .. }
                | Self::LayoutMade(_)
        )
    }
}
