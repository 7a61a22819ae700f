//! The loop of a study: cell by cell, model by model.

use serde::{Deserialize, Serialize};

use super::super::answer::features::SeenImages;
use super::super::model_info::ModelInfo;
use super::super::models::Models;
use super::cell::{CellOrder, Sink};
use super::design::{NamedCondition, NamedModel, Study};
use super::plan::StudyPlan;
use super::provenance::{Provenance, digest_of_records};
use super::share::Share;
use crate::ask::Condition;
use crate::data::record::Record;
use crate::error::Result;
use crate::memory;
use crate::progress::{Observer, Phase, Progress};

/// All that the answers of a cell hang on: the first line of its journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heading {
    /// The model and all records, by contents.
    pub what: Provenance,
    /// How they are asked.
    #[serde(rename = "settings")]
    pub condition: Condition,
    /// Which of the records.
    pub share: Option<Share>,
}

/// A cell on its way.
pub struct CellOf<'a> {
    /// Who is asked.
    pub model: &'a NamedModel,
    /// What is known of it.
    pub info: &'a ModelInfo,
    /// How.
    pub condition: &'a NamedCondition,
    /// What its answers hang on.
    pub heading: Heading,
    /// Records that are asked.
    pub records: &'a [Record],
    /// How many there are, of which these are a share.
    pub divided: usize,
}

/// What becomes of each cell.
pub trait Cells {
    /// Where a cell's answers go.
    type Kept: Sink;

    /// Is what answers hang on, model and data by contents, to be known? Large ones take their time.
    const HANGS_ON_FILES: bool = true;

    /// What will be asked.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn planned(&mut self, _plan: &StudyPlan) -> Result<()> {
        Ok(())
    }

    /// Where a cell's answers go; nothing for one that is whole already.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn begin(&mut self, cell: &CellOf<'_>) -> Result<Option<Self::Kept>>;

    /// A cell has all its answers.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn end(&mut self, cell: &CellOf<'_>, kept: Self::Kept) -> Result<()>;
}

impl Study {
    /// Asks every cell that is not whole yet, model by model.
    ///
    /// # Errors
    /// A model that does not fit, an image that cannot be read, a place that cannot be written, a stop.
    pub fn run<C: Cells>(&self, models: &mut Models, cells: &mut C, observer: &dyn Observer) -> Result<()> {
        let plan = self.plan()?;
        plan.notes().for_each(|note| observer.note(&note));
        cells.planned(&plan)?;
        let data =
            if C::HANGS_ON_FILES { digest_of_records(&self.records, observer)? } else { String::new() };
        let own = self.own_records();
        let free = memory::free_bytes();
        // Conditions and most adapters show the vision tower the same images.
        let several = plan.cells.len() > 1;
        let room = if several { free.map_or(1 << 30, |free| free / 4) as usize } else { 0 };
        let mut seen = SeenImages::up_to(room);
        let total = plan.cells.len() * own.len();
        let mut done = 0;
        for (place, model) in self.models.iter().enumerate() {
            let info = models.open(&model.id, observer)?;
            let session = models.session(&model.id).expect("opened above");
            let what = if C::HANGS_ON_FILES {
                Provenance::of(session, data.clone(), observer)?
            } else {
                Provenance::default()
            };
            for condition in self.conditions.iter().filter(|condition| plan.has(model, condition)) {
                let what = what.clone();
                let what = if C::HANGS_ON_FILES { what.under(&condition.condition, observer)? } else { what };
                let heading = Heading { what, condition: condition.condition.clone(), share: self.share };
                let cell =
                    CellOf { model, info: &info, condition, heading, records: &own, divided: plan.samples };
                if let Some(mut kept) = cells.begin(&cell)? {
                    let order = CellOrder {
                        records: &own,
                        condition: &condition.condition,
                        keep: &self.keep,
                        batch: self.batch,
                        phase: self.phase,
                        sample_of: &Record::sample,
                    };
                    let watch = Counting { observer, phase: self.phase, alone: !several, done, total };
                    let mut answerer = session.answerer(Some(&mut seen), memory::free_bytes());
                    order.run(&mut answerer, &mut kept, &watch)?;
                    cells.end(&cell, kept)?;
                }
                done += own.len();
            }
            let is_needed = self.models[place + 1..].iter().any(|later| later.id.base == model.id.base);
            if !is_needed && place + 1 < self.models.len() {
                models.close(&model.id.base);
            }
        }
        Ok(())
    }

    /// The records that are asked here.
    fn own_records(&self) -> Vec<Record> {
        let first = self.records.iter().take(self.limit.unwrap_or(usize::MAX)).cloned().collect();
        match self.share {
            Some(share) => share.of(first),
            None => first,
        }
    }
}

/// Tells of samples over all cells.
struct Counting<'a> {
    observer: &'a dyn Observer,
    phase: Phase,
    /// Of one cell the steps of each batch are told too.
    alone: bool,
    done: usize,
    total: usize,
}

impl Observer for Counting<'_> {
    fn progress(&self, progress: Progress) -> Result<()> {
        if progress.phase != self.phase {
            return if self.alone { self.observer.progress(progress) } else { self.observer.check() };
        }
        self.observer.progress(Progress { done: self.done + progress.done, total: self.total, ..progress })
    }

    fn check(&self) -> Result<()> {
        self.observer.check()
    }

    fn note(&self, note: &str) {
        self.observer.note(note);
    }
}
