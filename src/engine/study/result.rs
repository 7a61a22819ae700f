//! The answers of one cell in one file, as `livr eval` writes them, with a journal beside it until it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accuracy::{Accuracy, Prediction, predicted};
use super::cell::Sink;
use super::journal::{Journal, OpenedJournal};
use super::provenance::Provenance;
use super::run::{CellOf, Cells, Heading};
use super::share::Share;
use crate::ask::{Condition, Edit};
use crate::atomic;
use crate::data::record::Record;
use crate::error::{Error, Result};
use crate::trace::Trace;

/// What an edit did over samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditDone {
    /// In its canonical text.
    #[serde(rename = "do")]
    pub statement: String,
    /// How often it changed something, as it counts.
    pub changed: usize,
    /// Samples in which it did.
    pub samples: usize,
}

impl EditDone {
    /// Of each edit of a condition.
    pub fn all(condition: &Condition, predictions: &[Prediction]) -> Vec<Self> {
        let of = |(place, edit): (usize, &Edit)| {
            let counts = predictions.iter().filter_map(|own| own.changed.get(place));
            Self {
                statement: edit.to_string(),
                changed: counts.clone().sum(),
                samples: counts.filter(|count| **count > 0).count(),
            }
        };
        condition.edits.iter().enumerate().map(of).collect()
    }
}

/// What `livr eval` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// Over all samples.
    #[serde(flatten)]
    pub all: Accuracy,
    /// Of each task.
    pub tasks: BTreeMap<String, Accuracy>,
    /// In the order of the samples.
    pub predictions: Vec<Prediction>,
    /// What each edit of the condition did, over all samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<EditDone>,
    /// How they were asked.
    #[serde(rename = "settings")]
    pub condition: Condition,
    /// The model's folder name.
    pub model: String,
    /// Those of its adapters.
    pub adapters: Vec<String>,
    /// Of the condition.
    pub seed: u64,
    /// Which of the samples; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// What it hangs on, by contents.
    pub provenance: Option<Provenance>,
    /// Of the program.
    pub version: String,
}

impl CellResult {
    fn of(cell: &CellOf<'_>, predictions: Vec<Prediction>) -> Self {
        let Heading { what, condition, share } = cell.heading.clone();
        Self {
            all: Accuracy::of(&predictions),
            tasks: Accuracy::by_task(&predictions),
            edits: EditDone::all(&condition, &predictions),
            predictions,
            seed: condition.decoding.seed,
            condition,
            model: cell.info.name.clone(),
            adapters: cell.info.adapter.iter().cloned().collect(),
            share,
            provenance: Some(what),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// A file that is none.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read the result", path, e))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::format(path, "the file is no result of an evaluation", e))
    }

    /// Refuses a place that has something else than a result of an evaluation.
    ///
    /// # Errors
    /// There is something else.
    pub fn check_place(out: &Path) -> Result<()> {
        let is_empty = !out.is_file() || out.metadata().is_ok_and(|about| about.len() == 0);
        if is_empty || Self::read(out).is_ok() {
            return Ok(());
        }
        let found = "something else: name another, or remove it";
        Err(Error::field(out, "the output", "nothing, or an earlier result", found))
    }

    /// Puts results of shares together: what one run over all samples gives, byte for byte. Names are those of the first
    /// share.
    ///
    /// # Errors
    /// A share that is not there, or there twice; results of another model, condition or data.
    pub fn collect(paths: &[PathBuf]) -> Result<Self> {
        let mut parts = Vec::new();
        for path in paths {
            let own = Self::read(path)?;
            let Some(share) = own.share else {
                return Err(Error::field(path, "share", "a share of the samples, as 1/4", "none"));
            };
            parts.push((share, own, path.clone()));
        }
        Share::check_all(&parts.iter().map(|(share, _, path)| (*share, path.as_path())).collect::<Vec<_>>())?;
        parts.sort_by_key(|(share, ..)| *share);
        let Some((_, first, first_path)) = parts.first() else {
            return Err(Error::Request("expected results to put together, found none".to_owned()));
        };
        for (_, own, path) in &parts {
            let of_first = format!("that of {}", first_path.display());
            if own.provenance != first.provenance {
                let differing =
                    own.provenance.iter().zip(&first.provenance).map(|(a, b)| a.differing_from(b));
                let found = format!("another: {} of it", differing.flatten().collect::<Vec<_>>().join(", "));
                return Err(Error::field(path, "provenance", of_first, found));
            }
            if own.condition != first.condition {
                let found = own.condition.changes_since(&first.condition).join(", ");
                return Err(Error::field(path, "settings", of_first, format!("another: {found}")));
            }
            if own.version != first.version {
                return Err(Error::field(path, "version", of_first, own.version.clone()));
            }
            check_count(&own.predictions, own.all.samples, path)?;
        }
        let whole = Self { share: None, ..first.clone() };
        let shares = parts.into_iter().map(|(share, own, path)| (share, own.predictions, path));
        let predictions = Share::joined(shares.collect())?;
        Ok(Self {
            all: Accuracy::of(&predictions),
            tasks: Accuracy::by_task(&predictions),
            predictions,
            ..whole
        })
    }
}

/// The result of the only cell of a study, at a place.
pub struct OneCell<'a> {
    /// The file.
    out: &'a Path,
    /// Told what there was already.
    note: &'a dyn Fn(&str),
    /// Once it is whole.
    pub result: Option<CellResult>,
}

impl<'a> OneCell<'a> {
    /// To be written there.
    pub fn at(out: &'a Path, note: &'a dyn Fn(&str)) -> Self {
        Self { out, note, result: None }
    }
}

impl OneCell<'_> {
    /// The result of another share gives way: it may have taken hours.
    fn make_way(&self, share: Option<Share>) -> Result<()> {
        let there = CellResult::read(self.out).ok().and_then(|there| there.share);
        let Some(other) = there.filter(|there| Some(*there) != share) else { return Ok(()) };
        let ending = self.out.extension().unwrap_or_default().to_string_lossy().into_owned();
        let aside = self.out.with_extension(format!("{}.{ending}", other.as_file_name()));
        std::fs::rename(self.out, &aside).map_err(|e| Error::io("put the other share aside", &aside, e))?;
        (self.note)(&format!("the result of share {other} is now in {}", aside.display()));
        Ok(())
    }

    /// The result of this cell, where it is there and whole.
    fn there(out: &Path, cell: &CellOf<'_>) -> Result<CellResult> {
        let there = CellResult::read(out)?;
        let same = CellResult::of(cell, there.predictions.clone());
        let ids = there.predictions.iter().map(|own| &own.id);
        if there == same && ids.eq(cell.records.iter().map(|own| &own.id)) {
            return Ok(there);
        }
        Err(Error::field(out, "the output", "the result of this run", "another"))
    }
}

/// Has a file as many answers as it should, each of a sample of its own?
pub(super) fn check_count(predictions: &[Prediction], due: usize, path: &Path) -> Result<()> {
    let ids: BTreeSet<&str> = predictions.iter().map(|own| own.id.as_str()).collect();
    if predictions.len() != due {
        return Err(Error::field(path, "predictions", due.to_string(), predictions.len().to_string()));
    }
    if ids.len() != due {
        let found = format!("those of {} samples", ids.len());
        return Err(Error::field(path, "predictions", format!("those of {due} samples"), found));
    }
    Ok(())
}

impl Cells for OneCell<'_> {
    type Kept = Predictions;

    fn begin(&mut self, cell: &CellOf<'_>) -> Result<Option<Predictions>> {
        if let Some(folder) = self.out.parent().filter(|folder| folder.is_dir()) {
            atomic::clear_parts(folder)?;
        }
        if let Ok(there) = Self::there(self.out, cell) {
            Predictions::clear(self.out, &cell.heading)?;
            (self.note)(&format!("this is there already ({})", self.out.display()));
            self.result = Some(there);
            return Ok(None);
        }
        self.make_way(cell.heading.share)?;
        let kept = Predictions::open(self.out, &cell.heading)?;
        if let Some((there, journal)) = kept.there() {
            (self.note)(&format!("going on after {there} samples ({})", journal.display()));
        }
        Ok(Some(kept))
    }

    fn end(&mut self, cell: &CellOf<'_>, kept: Predictions) -> Result<()> {
        let result = CellResult::of(cell, kept.in_order(cell.records));
        atomic::write_json(self.out, &result)?;
        kept.close()?;
        self.result = Some(result);
        Ok(())
    }
}

/// Predictions, a line for each in a journal beside what is to be written.
pub struct Predictions {
    /// Where the result goes to a device there is no place beside it.
    journal: Option<Journal>,
    by_id: BTreeMap<String, Prediction>,
}

impl Predictions {
    /// Goes on with the journal of what is to be at `out`, or begins one.
    ///
    /// # Errors
    /// A journal that another program writes to, a place that cannot be written.
    pub fn open(out: &Path, heading: &Heading) -> Result<Self> {
        if out.exists() && !out.is_file() {
            return Ok(Self { journal: None, by_id: BTreeMap::new() });
        }
        let OpenedJournal { journal, lines } = Journal::open(&out.with_added_extension("partial"), heading)?;
        let by_id = lines.into_iter().map(|own: Prediction| (own.id.clone(), own)).collect();
        Ok(Self { journal: Some(journal), by_id })
    }

    /// Removes the journal of what is whole at `out`, where a stop between the two left it.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn clear(out: &Path, heading: &Heading) -> Result<()> {
        let journal = out.with_added_extension("partial");
        if Journal::heading_of::<Heading>(&journal).as_ref() == Some(heading) {
            std::fs::remove_file(&journal).map_err(|e| Error::io("remove", &journal, e))?;
        }
        Ok(())
    }

    /// How many there were, and where; nothing where there were none.
    pub fn there(&self) -> Option<(usize, &Path)> {
        let journal = self.journal.as_ref().filter(|_| !self.by_id.is_empty())?;
        Some((self.by_id.len(), journal.path()))
    }

    /// In the order of these records.
    pub fn in_order(&self, records: &[Record]) -> Vec<Prediction> {
        records.iter().filter_map(|record| self.by_id.get(&record.id).cloned()).collect()
    }

    /// All of it is whole elsewhere.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn close(self) -> Result<()> {
        self.journal.map_or(Ok(()), Journal::remove)
    }
}

impl Sink for Predictions {
    fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    fn take(&mut self, record: &Record, trace: Trace) -> Result<()> {
        let prediction = predicted(record, &trace);
        if let Some(journal) = &mut self.journal {
            journal.add(&prediction)?;
        }
        self.by_id.insert(record.id.clone(), prediction);
        Ok(())
    }
}
