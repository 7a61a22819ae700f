//! What a result hangs on, by contents: equal provenances give equal results, wherever models and data lie.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::session::OpenModel;
use crate::ask::Condition;
use crate::data::record::Record;
use crate::digest;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};

/// The model and the samples of a study.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// SHA-256 of the checkpoint's files.
    pub base: String,
    /// SHA-256 of the adapter's files.
    pub adapter: Option<String>,
    /// Element type, or bits of linear layers: `bf16`, `q8`.
    pub dtype: String,
    /// `cpu`, or the GPU's name.
    pub device: String,
    /// SHA-256 of the samples, images among them.
    pub data: String,
    /// SHA-256 of the files that edits take states from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub donors: Vec<String>,
}

impl Provenance {
    /// What another has otherwise: "the data".
    pub fn differing_from(&self, other: &Self) -> Vec<&'static str> {
        let all = [
            ("the base", self.base != other.base),
            ("the adapter", self.adapter != other.adapter),
            ("the element type", self.dtype != other.dtype),
            ("the device", self.device != other.device),
            ("the data", self.data != other.data),
            ("the donors", self.donors != other.donors),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Of an open model and samples whose digest is known.
    ///
    /// # Errors
    /// A folder whose files have changed since the model was read, a stop.
    pub fn of(session: &OpenModel, data: String, observer: &dyn Observer) -> Result<Self> {
        let (base, adapter) = session.digests(observer)?;
        let info = session.info();
        let is_cpu = session.model().device().is_cpu();
        let device = if is_cpu { "cpu".to_owned() } else { info.device };
        let donors = Vec::new();
        Ok(Self { base, adapter, dtype: info.dtype.to_owned(), device, data, donors })
    }

    /// The same under a condition, whose edits may take states from files.
    ///
    /// # Errors
    /// A file that cannot be read, a stop.
    pub fn under(self, condition: &Condition, observer: &dyn Observer) -> Result<Self> {
        let donors = condition.files().into_iter().map(|path| digest::of_file(&path, observer));
        Ok(Self { donors: donors.collect::<Result<_>>()?, ..self })
    }
}

/// The SHA-256 of samples, their images as they lie on disk.
///
/// # Errors
/// An image that cannot be read, a stop.
pub fn digest_of_records(records: &[Record], observer: &dyn Observer) -> Result<String> {
    let (mut hasher, total) = (Sha256::new(), records.len());
    for (done, record) in records.iter().enumerate() {
        observer.progress(Progress { phase: Phase::Digest, done, total })?;
        record.hash_into(&mut hasher)?;
    }
    Ok(digest::finished(hasher))
}
