//! The model in training is asked: all validation samples, or the probe sample.

use std::sync::Arc;
use std::time::Instant;

use super::super::answer::features::SeenImages;
use super::super::answer::{Answerer, AskedSample, ModelName};
use super::super::study::{Accuracy, Answers, CellOrder, Prediction, predicted};
use super::folder::{Metric, RunFolder};
use super::{Probe, Running, TrainWatch, Validation};
use crate::ask::{AttentionRows, Keep, MaskKind};
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::Result;
use crate::model::compute::Compute;
use crate::progress::{Observer, Phase, Progress};
use crate::train::Step;

/// Samples that validation answers together.
const TOGETHER: usize = 8;

impl Running {
    /// Answers all validation samples, and keeps the model where it is the best so far.
    pub(super) fn validate(
        &mut self,
        step: &Step,
        mask: MaskKind,
        folder: &mut RunFolder,
        watch: &dyn TrainWatch,
    ) -> Result<()> {
        if self.opened.validation.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let predictions = self.predictions(mask, watch)?;
        let validation = Validation {
            stage: step.stage,
            step: step.step,
            all: Accuracy::of(&predictions),
            tasks: Accuracy::by_task(&predictions),
            secs: started.elapsed().as_secs_f64(),
        };
        folder.log(&Metric::Validation(validation.clone()))?;
        watch.validated(&validation);
        let last_stage = step.stage == self.opened.last_stage();
        if last_stage && self.best.is_none_or(|best| validation.all.accuracy > best) {
            self.best = Some(validation.all.accuracy);
            self.save_model(&folder.best(), step.stage)?;
        }
        Ok(())
    }

    fn predictions(&self, mask: MaskKind, watch: &dyn TrainWatch) -> Result<Vec<Prediction>> {
        // Only what was said counts.
        let plain = |record: &Record| Ok(Sample { choices: Vec::new(), ..self.opened.asked(record)? });
        let cell = CellOrder {
            records: &self.opened.validation,
            condition: &self.opened.condition(mask, self.opened.longest_answer),
            keep: &Keep::default(),
            batch: TOGETHER,
            phase: Phase::Evaluating,
            sample_of: &plain,
        };
        let mut answers = Answers::new(predicted);
        self.asking(|answerer| cell.run(answerer, &mut answers, &Quiet(watch)))?;
        Ok(answers.all)
    }

    /// Looks at the first validation sample, or the first of all, with every latent's row.
    pub(super) fn look(
        &mut self,
        step: &Step,
        mask: MaskKind,
        compute: &Compute<'_>,
        watch: &dyn TrainWatch,
    ) -> Result<()> {
        if self.probe.is_none() {
            let first = self.opened.validation.first().or_else(|| self.trainer.examples().records().first());
            let Some(record) = first else { return Ok(()) };
            self.probe = Some(self.opened.asked(record)?);
        }
        let Some(sample) = self.probe.clone() else { return Ok(()) };
        let condition = self.opened.condition(mask, self.opened.longest_answer);
        let keep = Keep { attention: AttentionRows::LatentsAndAnswer, ..Keep::default() };
        let quiet = Quiet(compute.observer);
        let compute = Compute { observer: &quiet, ..*compute };
        let asked = AskedSample { sample: &sample, id: "", condition: &condition, keep: &keep };
        let mut traces = self.asking(|answerer| answerer.answer(&[asked], &compute))?;
        let trace = Arc::new(traces.remove(0));
        watch.probed(Probe { step: step.step, sample, trace });
        Ok(())
    }

    /// The model as it is now, as one that answers.
    fn asking<T>(&self, ask: impl FnOnce(&mut Answerer<'_>) -> Result<T>) -> Result<T> {
        let model = self.trainer.model().detached()?;
        ask(&mut Answerer {
            model: &model,
            processor: &self.opened.processor,
            auto_max_pixels: self.opened.max_pixels,
            name: ModelName::default(),
            tower: None,
            seen: &mut SeenImages::none(),
            free_bytes: None,
        })
    }
}

/// Passes the wish to stop on, and keeps the small steps of a run to itself.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn progress(&self, _progress: Progress) -> Result<()> {
        self.0.check()
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }
}
