//! Some records asked of one model, whose answers go back at once: how the window goes through a data set, a few at a time, so
//! that a question of its user's own never waits long.

use super::super::models::Models;
use super::accuracy::{Prediction, predicted};
use super::cell::{Answers, CellOrder};
use crate::ask::{Condition, Keep};
use crate::data::record::Record;
use crate::engine::ids::ModelId;
use crate::error::Result;
use crate::memory;
use crate::progress::{Observer, Phase};
use crate::trace::Trace;

/// What is asked of whom.
#[derive(Debug, Clone)]
pub struct RecordsOrder {
    /// Who.
    pub model: ModelId,
    /// How.
    pub condition: Condition,
    /// What; they go through the model together.
    pub records: Vec<Record>,
}

/// What a model said to a record, and how sure it was.
#[derive(Debug, Clone, PartialEq)]
pub struct AnsweredRecord {
    /// What it said.
    pub prediction: Prediction,
    /// As [`Trace::certainty`].
    pub certainty: Option<f32>,
}

impl AnsweredRecord {
    fn of(record: &Record, trace: &Trace) -> Self {
        Self { prediction: predicted(record, trace), certainty: trace.certainty() }
    }
}

impl RecordsOrder {
    /// Asks them.
    ///
    /// # Errors
    /// A model that cannot be opened, an image that cannot be read, a condition that cannot be asked, a stop.
    pub fn answer(&self, models: &mut Models, observer: &dyn Observer) -> Result<Vec<AnsweredRecord>> {
        models.open(&self.model, observer)?;
        let session = models.session(&self.model).expect("opened above");
        let order = CellOrder {
            records: &self.records,
            condition: &self.condition,
            keep: &Keep::default(),
            batch: self.records.len(),
            phase: Phase::Evaluating,
            sample_of: &Record::sample,
        };
        let mut answers = Answers::new(AnsweredRecord::of);
        order.run(&mut session.answerer(None, memory::free_bytes()), &mut answers, observer)?;
        Ok(answers.all)
    }
}
