//! The one loop: records asked under one condition of one model, some at a time.

use super::super::answer::{Answerer, AskedSample};
use crate::ask::{Condition, Keep};
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::Result;
use crate::model::compute::Compute;
use crate::progress::{Observer, Phase, Progress};
use crate::trace::{CHANGED_NOTHING, Trace};

/// Records and how they are asked.
pub struct CellOrder<'a> {
    /// What is asked, in this order.
    pub records: &'a [Record],
    /// How.
    pub condition: &'a Condition,
    /// What of each run is kept besides its answer.
    pub keep: &'a Keep,
    /// Samples that go through the model together.
    pub batch: usize,
    /// What it is called while it goes on.
    pub phase: Phase,
    /// A record as it is asked.
    pub sample_of: &'a dyn Fn(&Record) -> Result<Sample>,
}

/// Where what is made of each answer goes.
pub trait Sink {
    /// Is that of this record there already?
    fn has(&self, id: &str) -> bool;

    /// Takes a record's run.
    ///
    /// # Errors
    /// A disk that is full.
    fn take(&mut self, record: &Record, trace: Trace) -> Result<()>;
}

/// Keeps in memory what is made of each answer.
pub struct Answers<T> {
    make: fn(&Record, &Trace) -> T,
    /// In the order of the records.
    pub all: Vec<T>,
}

impl<T> Answers<T> {
    /// None yet.
    pub fn new(make: fn(&Record, &Trace) -> T) -> Self {
        Self { make, all: Vec::new() }
    }
}

impl<T> Sink for Answers<T> {
    fn has(&self, _id: &str) -> bool {
        false
    }

    fn take(&mut self, record: &Record, trace: Trace) -> Result<()> {
        self.all.push((self.make)(record, &trace));
        Ok(())
    }
}

impl CellOrder<'_> {
    /// Has every record answered that the sink does not have; it gets them in their order.
    ///
    /// # Errors
    /// An image that cannot be read, a prompt that is too long, a full disk, a stop.
    pub fn run(
        &self,
        answerer: &mut Answerer<'_>,
        sink: &mut dyn Sink,
        observer: &dyn Observer,
    ) -> Result<()> {
        let compute = Compute::observed(observer);
        let left: Vec<&Record> = self.records.iter().filter(|record| !sink.has(&record.id)).collect();
        let (total, mut done) = (self.records.len(), self.records.len() - left.len());
        let mut changed = vec![0; self.condition.edits.len()];
        for records in left.chunks(self.batch.max(1)) {
            observer.progress(Progress { phase: self.phase, done, total })?;
            let samples =
                records.iter().map(|record| (self.sample_of)(record)).collect::<Result<Vec<_>>>()?;
            let asked = |(record, sample)| {
                let (record, sample): (&&Record, &Sample) = (record, sample);
                AskedSample { sample, id: &record.id, condition: self.condition, keep: self.keep }
            };
            let asked: Vec<AskedSample<'_>> = records.iter().zip(&samples).map(asked).collect();
            let traces = answerer.answer(&asked, &compute).map_err(|e| e.named(|i| &records[i].id))?;
            for (record, trace) in records.iter().zip(traces) {
                changed.iter_mut().zip(&trace.interventions).for_each(|(sum, own)| *sum += own.changed);
                sink.take(record, trace)?;
            }
            done += records.len();
        }
        if !left.is_empty() {
            let vain = self.condition.edits.iter().zip(changed).filter(|(_, changed)| *changed == 0);
            vain.for_each(|(edit, _)| observer.note(&format!("{edit}: {CHANGED_NOTHING}")));
        }
        Ok(())
    }
}
