//! What names a model, a run and a piece of work, and what a run is made of.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::demo::{self, DemoAdapter};
use crate::ask::{Condition, DeviceChoice, DtypeChoice};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::hub_cache::{HubCache, is_repository};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::paths;
use crate::trace::Trace;

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
    ///
    /// # Errors
    /// A path where nothing is or a file, a folder that may not be looked into.
    pub fn existing(path: &Path) -> Result<Self> {
        Folder::open(path).map(|folder| Self::folder(folder.root()))
    }

    /// Its folder.
    ///
    /// # Errors
    /// A folder that is not there or may not be looked into.
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

/// What a run is made of: equal requests give equal answers, whatever is kept of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who answers.
    pub model: ModelId,
    /// What is asked.
    pub sample: Sample,
    /// How.
    pub condition: Condition,
}

/// One piece of work, among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// One run, among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunId {
    /// What a job answered.
    Answer(JobId),
    /// A look of a training run at its probe sample.
    Probe {
        /// The training run.
        job: JobId,
        /// Steps made.
        step: usize,
    },
    /// What an answer has before its end.
    Partial(JobId),
    /// Brought by a file, numbered as they came.
    Loaded(u64),
}

impl RunId {
    /// Is its answer not there yet?
    pub fn is_partial(self) -> bool {
        matches!(self, Self::Partial(_))
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
