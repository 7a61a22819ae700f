//! A study: models x conditions x records, each pair of the first two a cell.

use serde::{Deserialize, Serialize};

use super::super::ids::ModelId;
use super::share::Share;
use crate::ask::{Condition, Keep};
use crate::data::record::Record;
use crate::progress::Phase;

/// A model under a name: what comes before a slash is the way it was trained, after it the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedModel {
    /// As files and tables call it.
    pub name: String,
    /// Which.
    pub id: ModelId,
}

/// A condition under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedCondition {
    /// As files and tables call it.
    pub name: String,
    /// How samples are asked.
    #[serde(flatten)]
    pub condition: Condition,
}

impl NamedCondition {
    /// Under the name its own words give it, where `usual` is what the study's conditions have in common.
    pub fn of(condition: Condition, usual: &Condition) -> Self {
        Self { name: condition.name(usual), condition }
    }
}

/// What is asked of whom, and how.
pub struct Study {
    /// Who is asked.
    pub models: Vec<NamedModel>,
    /// How each is asked.
    pub conditions: Vec<NamedCondition>,
    /// What is asked.
    pub records: Vec<Record>,
    /// Only the first so many of them; what answers hang on are all, so that more can be asked later.
    pub limit: Option<usize>,
    /// What of each run is kept besides its answer.
    pub keep: Keep,
    /// Samples that go through a model together: no answer hangs on it.
    pub batch: usize,
    /// The part of the records that is asked here.
    pub share: Option<Share>,
    /// What it is called while it goes on.
    pub phase: Phase,
}
