//! What the states of a folder hang on: the first line of its journal.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::study::journal::Journal;
use super::super::study::{Provenance, Share};
use crate::ask::keep::of_earlier_versions;
use crate::ask::{Condition, Keep};
use crate::error::{Error, Result};

/// The journal of a folder of states.
pub(super) const SAMPLES: &str = "samples.jsonl";
/// Its values.
pub(super) const STATES: &str = "states.f16";

/// All that the states of a folder depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct StatesPlan {
    /// Whose states, of which samples.
    pub what: Provenance,
    /// How samples are asked.
    #[serde(rename = "settings")]
    pub condition: Condition,
    /// Which layers and roles; nothing in folders of earlier versions.
    pub keep: Option<Keep>,
    /// Which of the samples; all where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Of a share: how many samples were divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divided: Option<usize>,
}

/// A plan as files have it.
#[derive(Deserialize)]
struct WrittenPlan {
    what: Provenance,
    settings: Condition,
    #[serde(default)]
    keep: Option<Keep>,
    #[serde(default)]
    share: Option<Share>,
    #[serde(default)]
    divided: Option<usize>,
}

impl TryFrom<serde_json::Value> for StatesPlan {
    type Error = serde_json::Error;

    fn try_from(mut file: serde_json::Value) -> std::result::Result<Self, serde_json::Error> {
        of_earlier_versions(&mut file);
        let WrittenPlan { what, settings: condition, keep, share, divided } = serde_json::from_value(file)?;
        Ok(Self { what, condition, keep, share, divided })
    }
}

impl StatesPlan {
    /// That of a folder, where it has one.
    pub fn of(folder: &Path) -> Option<Self> {
        Journal::heading_of(&folder.join(SAMPLES))
    }

    /// That of a folder of states.
    ///
    /// # Errors
    /// A folder that has none.
    pub fn read(folder: &Path) -> Result<Self> {
        let missing =
            || Error::field(folder.join(SAMPLES), "the first line", "what the states are of", "another");
        Self::of(folder).ok_or_else(missing)
    }

    /// Samples that a folder has, where it can be read.
    pub fn count(folder: &Path) -> Option<usize> {
        Journal::lines_of::<serde::de::IgnoredAny>(&folder.join(SAMPLES)).ok().map(|lines| lines.len())
    }
}

/// Is a folder one of states, of whatever version of the program?
pub fn is_of_states(folder: &Path) -> bool {
    folder.join(SAMPLES).is_file() && folder.join(STATES).is_file()
}
