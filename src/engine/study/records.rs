//! Some records asked of one model, whose answers go back at once: how the window goes through a data set, a few at a time, so
//! that a question of its user's own never waits long.

use std::path::PathBuf;

use super::super::models::Models;
use super::super::session::OpenModel;
use super::accuracy::AnsweredRecord;
use super::cell::{Answers, CellOrder};
use super::known::KnownAnswers;
use crate::ask::{Condition, Keep};
use crate::data::record::Record;
use crate::engine::ids::ModelId;
use crate::error::Result;
use crate::memory;
use crate::progress::{Observer, Phase};

/// What is asked of whom.
#[derive(Debug, Clone)]
pub struct RecordsOrder {
    /// Who.
    pub model: ModelId,
    /// How.
    pub condition: Condition,
    /// What; they go through the model together.
    pub records: Vec<Record>,
    /// Where answers are kept, and looked for first; nowhere without it.
    pub known_in: Option<PathBuf>,
}

impl RecordsOrder {
    /// Asks those that no answer is known of.
    ///
    /// # Errors
    /// A model that cannot be opened, an image that cannot be read, a condition that cannot be asked, a stop.
    pub fn answer(&self, models: &mut Models, observer: &dyn Observer) -> Result<Vec<AnsweredRecord>> {
        models.open(&self.model, observer)?;
        let session = models.session(&self.model).expect("opened above");
        let known =
            self.known_in.as_ref().map(|dir| KnownAnswers::open(dir, session, &self.condition, observer));
        let Some(mut known) = known.transpose()? else { return self.asked(session, &self.records, observer) };
        let keys: Vec<String> = self.records.iter().map(KnownAnswers::key).collect::<Result<_>>()?;
        let open = self.records.iter().zip(&keys).filter(|(_, key)| known.get(key).is_none());
        let (records, open): (Vec<Record>, Vec<String>) =
            open.map(|(record, key)| (record.clone(), key.clone())).unzip();
        if !records.is_empty() {
            let answers = self.asked(session, &records, observer)?;
            known.add(open.into_iter().zip(answers))?;
        }
        Ok(keys.iter().filter_map(|key| known.get(key).cloned()).collect())
    }

    fn asked(
        &self,
        session: &mut OpenModel,
        records: &[Record],
        observer: &dyn Observer,
    ) -> Result<Vec<AnsweredRecord>> {
        let order = CellOrder {
            records,
            condition: &self.condition,
            keep: &Keep::default(),
            batch: records.len(),
            phase: Phase::Evaluating,
            sample_of: &Record::sample,
        };
        let mut answers = Answers::new(AnsweredRecord::of);
        order.run(&mut session.answerer(None, memory::free_bytes()), &mut answers, observer)?;
        Ok(answers.all)
    }
}
