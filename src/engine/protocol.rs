//! What the window says to the engine, and what it hears back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::demo::{self, DemoAdapter};
use super::need::RunShape;
use super::project::{Collected, Layout, MapOrder, Reading, ReadingOrder, StatesOrder};
use super::training::{Begun, TrainOrder, Trained, Validation};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::hub_cache::{HubCache, is_repository};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::paths;
use crate::progress::Progress;
use crate::settings::{DeviceChoice, DtypeChoice, Settings};
use crate::trace::Trace;
use crate::train::Step;

/// Where a checkpoint or an adapter is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The checkpoint built into the program.
    Demo,
    /// One of its adapters.
    DemoAdapter(DemoAdapter),
    /// A folder on disk.
    Folder(#[serde(with = "crate::paths::text")] PathBuf),
}

impl Source {
    /// A folder, from wherever the program is run: one place has one id.
    pub fn folder(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self::Folder(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// A checkpoint or adapter as people name it: a folder, with `~` or quotes or as a URL, or a repository that is in the
    /// Hugging Face cache, as `Qwen/Qwen2.5-VL-3B-Instruct`.
    pub fn named(text: &OsStr) -> Self {
        if Path::new(text).exists() {
            return Self::folder(text);
        }
        let text = text.to_string_lossy();
        let cached = HubCache::of_user().and_then(|cache| cache.snapshot(&text));
        Self::folder(cached.or_else(|| paths::one(&text).ok()).unwrap_or_else(|| PathBuf::from(&*text)))
    }

    /// An adapter as the command line names it: a folder, `none`, or one of the demo's as `demo:livr`.
    ///
    /// # Errors
    /// A demo adapter that there is not.
    pub fn adapter(text: &OsStr) -> std::result::Result<Option<Self>, String> {
        match text.to_str() {
            Some("none") => Ok(None),
            Some(name) if name.starts_with("demo:") => {
                name.trim_start_matches("demo:").parse().map(|adapter| Some(Self::DemoAdapter(adapter)))
            }
            _ => Ok(Some(Self::named(text))),
        }
    }

    /// A folder that is there, or what is wrong with the path.
    pub fn existing(path: &Path) -> Result<Self> {
        Folder::open(path).map(|folder| Self::folder(folder.root()))
    }

    /// Its folder.
    pub fn open(&self) -> Result<Folder> {
        match self {
            Self::Demo => Ok(demo::model()),
            Self::DemoAdapter(adapter) => Ok(adapter.folder()),
            Self::Folder(path) => Folder::open(path).map_err(|e| missing(path).unwrap_or(e)),
        }
    }

    /// What people know it by.
    pub fn name(&self) -> String {
        match self {
            Self::Demo => "demo".to_owned(),
            Self::DemoAdapter(adapter) => adapter.name().to_owned(),
            Self::Folder(path) => crate::checkpoint::folder::name_of(path),
        }
    }

    /// The folder on disk, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Demo | Self::DemoAdapter(_) => None,
            Self::Folder(path) => Some(path),
        }
    }
}

/// What is wrong with a folder that is not there and could be a repository's name.
fn missing(path: &Path) -> Option<Error> {
    let here = std::env::current_dir().ok()?;
    let text = path.strip_prefix(here).ok()?.to_str()?;
    (is_repository(text) && !path.exists()).then(|| {
        Error::Request(format!(
            "{text} is neither a folder nor in the Hugging Face cache: livr download {text} fetches it"
        ))
    })
}

/// A checkpoint as it is held in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BaseId {
    /// Its files.
    pub source: Source,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Its element type.
    pub dtype: DtypeChoice,
}

/// A model: a checkpoint, and the adapter on it. Models of one base share its weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId {
    /// The checkpoint.
    pub base: BaseId,
    /// Its adapter, where one is on.
    pub adapter: Option<Source>,
}

impl ModelId {
    /// The demo with the adapter it begins with.
    pub fn demo(device: DeviceChoice, dtype: DtypeChoice) -> Self {
        let adapter = Some(Source::DemoAdapter(DemoAdapter::Livr));
        Self { base: BaseId { source: Source::Demo, device, dtype }, adapter }
    }

    /// The same base with another adapter, or none.
    #[must_use]
    pub fn with_adapter(&self, adapter: Option<Source>) -> Self {
        Self { base: self.base.clone(), adapter }
    }
}

/// What a run is made of: equal requests give equal traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who answers.
    pub model: ModelId,
    /// What is asked.
    pub sample: Sample,
    /// How.
    pub settings: Settings,
}

/// One run, among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

impl RunId {
    const PARTIAL: u64 = 1 << 61;

    /// The id of what a run has before its answer.
    #[must_use]
    pub fn partial(self) -> Self {
        Self(self.0 | Self::PARTIAL)
    }

    /// Is it one?
    pub fn is_partial(self) -> bool {
        self.0 & Self::PARTIAL != 0
    }
}

/// A request with what came of it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// What was asked.
    pub request: Request,
    /// What was captured.
    pub trace: Arc<Trace>,
}

/// One piece of work, among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Work for the engine.
#[derive(Debug, Clone)]
pub enum Command {
    /// Read what of a model is not in memory yet.
    OpenModel(ModelId),
    /// Answer a sample and capture what the settings say.
    CaptureTrace(Box<Request>),
    /// Train.
    Train(Box<TrainOrder>),
    /// Keep hidden states of many samples.
    KeepStates(Box<StatesOrder>),
    /// Make maps of states that are kept.
    MakeMaps(Box<MapOrder>),
    /// Say what some of them say.
    ReadStates(Box<ReadingOrder>),
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
    /// The map of hidden states.
    Map,
    /// What points that are chosen on it say.
    Reading,
}

impl Command {
    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::OpenModel(_) => Purpose::Model,
            Self::CaptureTrace(_) => Purpose::Answer,
            Self::Train(_) => Purpose::Training,
            Self::KeepStates(_) | Self::MakeMaps(_) => Purpose::Map,
            Self::ReadStates(_) => Purpose::Reading,
        }
    }

    /// The model in memory that it needs; a training run reads its own.
    pub fn model(&self) -> Option<&ModelId> {
        match self {
            Self::OpenModel(model) => Some(model),
            Self::CaptureTrace(request) => Some(&request.model),
            Self::KeepStates(order) => Some(&order.model),
            Self::ReadStates(order) => Some(&order.collected.order.model),
            Self::Train(_) | Self::MakeMaps(_) => None,
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

/// What the user is told about a model that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Which.
    pub id: ModelId,
    /// Folder name.
    pub name: String,
    /// `model_type`.
    pub family: &'static str,
    /// The adapter's folder name, where one is on.
    pub adapter: Option<String>,
    /// Where it runs.
    pub device: String,
    /// A GPU this build cannot use, as advice.
    pub device_advice: Option<String>,
    /// Element type, or bits of its linear layers.
    pub dtype: &'static str,
    /// Are its linear layers held in fewer bits than the checkpoint has?
    pub quantised: bool,
    /// What a run's memory depends on.
    pub run_shape: RunShape,
    /// Bytes of its weights on disk.
    pub weight_bytes: usize,
    /// L.
    pub num_layers: usize,
    /// H.
    pub num_heads: usize,
    /// K the model was trained with; 0 for none.
    pub trained_latents: usize,
    /// K there is room for.
    pub max_latents: usize,
    /// Pixels an image gets at most by default.
    pub auto_max_pixels: usize,
    /// Pixels an image gets at most by the checkpoint.
    pub checkpoint_max_pixels: usize,
    /// The penalty on repetitions that the checkpoint publishes.
    pub repetition_penalty: Option<f32>,
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
    Trained(Box<Trained>),
    /// States are kept.
    StatesKept(Arc<Collected>),
    /// A layer's map has moved.
    MapMoved {
        /// Which layer's.
        layer: usize,
        /// Where its points are now.
        places: Arc<Vec<[f32; 2]>>,
    },
    /// A layer's map is there.
    MapMade(Arc<Layout>),
    /// All maps are there.
    MapsMade,
    /// What chosen points say.
    StatesRead(Arc<Reading>),
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
                | Self::MapMoved { .. }
                | Self::MapMade(_)
        )
    }
}
