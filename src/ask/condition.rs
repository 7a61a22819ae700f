//! How a sample is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::decoding::{Decoding, LatentChoice, PixelBudget};
use super::disturbance::Disturbance;
use super::edit::{self, Edit};
use super::mask::MaskKind;

/// How a sample is asked. Equal conditions on equal samples of equal models give equal answers, whatever is kept of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which roles may look at which.
    pub mask: MaskKind,
    /// The latents appended.
    pub latents: LatentChoice,
    /// Most pixels of an image.
    pub max_pixels: PixelBudget,
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// What is done to the sample first; chance is by the seed of `decoding`.
    pub disturbance: Option<Disturbance>,
    /// What is changed in the run, in this order.
    #[serde(deserialize_with = "edit::read_all")]
    pub edits: Vec<Edit>,
    /// The file of all edits that name none: a donor's states, means, vectors or noise.
    #[serde(with = "crate::paths::text::option", skip_serializing_if = "Option::is_none")]
    pub donor: Option<PathBuf>,
    /// Are the edits done with what was there? Such a run has the answer of one without edits, to the bit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sham: bool,
}

impl Condition {
    /// The edits that change something: none of a sham.
    pub fn acting(&self) -> &[Edit] {
        if self.sham { &[] } else { &self.edits }
    }

    /// The same without its edits.
    #[must_use]
    pub fn unedited(self) -> Self {
        Self { edits: Vec::new(), donor: None, sham: false, ..self }
    }

    /// The files that its edits take states from.
    pub fn files(&self) -> Vec<PathBuf> {
        let named = self.edits.iter().filter_map(|edit| edit.file().map(PathBuf::from));
        self.donor.clone().into_iter().chain(named).collect()
    }

    /// How samples of data sets are asked unless told otherwise, so that one model has one accuracy.
    pub fn of_studies() -> Self {
        Self { decoding: Decoding::of_studies(), ..Self::default() }
    }

    /// The same under another mask.
    #[must_use]
    pub fn masked(self, mask: MaskKind) -> Self {
        Self { mask, ..self }
    }

    /// The same with other latents.
    #[must_use]
    pub fn with_latents(self, latents: LatentChoice) -> Self {
        Self { latents, ..self }
    }
}
