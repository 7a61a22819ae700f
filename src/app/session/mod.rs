//! A session: what a window holds, to be put in a file and taken up again.

mod file;
mod pictures;
mod place;

pub use file::folder_of;
pub use file::read::ReadRuns;
pub use place::SessionPlace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::analysis::query::Query;
use crate::app::parts::runs::{Evicted, Listed};
use crate::app::parts::tiling::Tiling;
use crate::app::parts::view::View;
use crate::ask::{Condition, Keep};
use crate::atomic::Hold;
use crate::data::picture::Picture;
use crate::engine::ids::{ModelId, Run, RunId};

/// The ending of session files.
pub const SESSION: &str = "livr";

/// All that comes back.
#[derive(Debug, Clone)]
pub struct Session {
    /// The model in use, or on its way.
    pub model: Option<ModelId>,
    /// The images of the canvas.
    pub images: Vec<Arc<Picture>>,
    /// The question as it stood.
    pub question: String,
    /// The choices as they were typed.
    pub choices: String,
    /// How runs are made.
    pub condition: Condition,
    /// What is kept of runs besides their answers.
    pub keep: Keep,
    /// How they are looked at.
    pub view: View,
    /// Where panes lie.
    pub layout: Tiling,
    /// Whose attention is shown.
    pub query: Query,
    /// The list of runs, the oldest first.
    pub runs: Vec<(Listed, Arc<Run>)>,
    /// The number of the run in sight.
    pub shown: Option<usize>,
    /// The number of the run that others are compared with.
    pub base: Option<usize>,
    /// Where other sessions, or this, keep whole traces of runs: memory may hold less.
    pub files: BTreeMap<RunId, PathBuf>,
    /// What of its file could not be read.
    pub problems: Vec<String>,
    /// Runs that are in files only: the list has no room for them.
    pub evicted: Vec<Evicted>,
    /// Files of runs that were deleted, and may yet come back: they stay in its folder.
    pub deleted: Vec<PathBuf>,
    /// Files of runs that were deleted for good.
    pub forgotten: Vec<PathBuf>,
    /// What a later version of the program says in its file.
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// A session as it was read from a file. It equals itself and its clones only.
#[derive(Debug, Clone)]
pub struct SessionFile {
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub session: Arc<Session>,
}

impl SessionFile {
    /// A session and the file it was read from.
    pub fn new(path: PathBuf, session: Session) -> Self {
        Self { path, session: Arc::new(session) }
    }
}

impl PartialEq for SessionFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }
}

/// A session on its way into a file.
#[derive(Debug)]
pub struct Saving {
    /// Where to.
    pub path: PathBuf,
    /// As it is written.
    pub session: Session,
    /// Where the window does not keep it there yet.
    pub hold: Option<Hold>,
}

impl Session {
    /// Would a file of it be the same as one of another?
    pub fn is_like(&self, other: &Self) -> bool {
        let facts = |own: &Self| {
            (
                own.model.clone(),
                own.images.clone(),
                own.question.clone(),
                (own.condition.clone(), own.keep.clone()),
                own.view,
                own.choices.clone(),
            )
        };
        let places = |own: &Self| (own.layout.clone(), own.query, own.shown, own.base);
        facts(self) == facts(other)
            && places(self) == places(other)
            && self.runs.iter().map(|(listed, _)| listed).eq(other.runs.iter().map(|(listed, _)| listed))
            && self.evicted == other.evicted
            && self.forgotten == other.forgotten
    }
}
