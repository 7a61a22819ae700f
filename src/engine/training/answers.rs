//! The model in training is asked: all validation samples, or the probe sample.

use std::sync::Arc;
use std::time::Instant;

use super::super::evaluate::{Accuracy, Prediction, evaluate};
use super::super::features::encode_together;
use super::super::run::{Job, run};
use super::folder::{Metric, RunFolder};
use super::{Probe, Running, TrainWatch, Validation};
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::Result;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::progress::{Observer, Progress};
use crate::settings::{AttentionRows, Capture, MaskKind, Settings};
use crate::trace::Trace;
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
        let model = self.trainer.model().detached()?;
        let longest = self.opened.longest_answer;
        let settings = self.opened.settings(mask, longest, Capture::default());
        let compute = Compute::observed(watch);
        let quiet = Quiet(watch);
        let records: Vec<&Record> = self.opened.validation.iter().collect();
        let mut ids = records.iter().map(|record| record.id.as_str());
        let mut answering = |samples: &[&Sample]| {
            let asked = |(sample, id): (&&Sample, &str)| self.opened.asked(sample, id);
            let samples: Vec<Sample> =
                samples.iter().zip(ids.by_ref().take(samples.len())).map(asked).collect();
            answers(&model, &self.opened.processor, &samples, &settings, self.opened.max_pixels, &compute)
        };
        evaluate(&records, TOGETHER, &mut answering, &quiet, &mut |_| Ok(()))
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
            self.probe = Some(self.opened.asked(&record.sample()?, &record.id));
        }
        let Some(sample) = self.probe.clone() else { return Ok(()) };
        let capture = Capture { attention: AttentionRows::LatentsAndAnswer, ..Capture::default() };
        let settings = self.opened.settings(mask, self.opened.longest_answer, capture);
        let model = self.trainer.model().detached()?;
        let (processor, max_pixels) = (&self.opened.processor, self.opened.max_pixels);
        let mut traces =
            answers(&model, processor, std::slice::from_ref(&sample), &settings, max_pixels, compute)?;
        let trace = Arc::new(traces.remove(0));
        watch.probed(Probe { step: step.step, sample, trace });
        Ok(())
    }
}

/// Answers samples by a model in training.
fn answers(
    model: &Model,
    processor: &Processor,
    samples: &[Sample],
    settings: &Settings,
    max_pixels: usize,
    compute: &Compute<'_>,
) -> Result<Vec<Trace>> {
    let quiet = Quiet(compute.observer);
    let compute = Compute { observer: &quiet, ..*compute };
    let mut inputs = samples
        .iter()
        .map(|sample| processor.process(sample, settings.latents, max_pixels, compute.observer))
        .collect::<Result<Vec<_>>>()?;
    let features = encode_together(model, &inputs, &compute)?;
    let jobs = inputs.drain(..).zip(features).zip(samples).map(|((input, features), sample)| Job {
        input,
        features,
        choices: if settings.capture.attention == AttentionRows::Nothing { &[] } else { &sample.choices },
        settings,
    });
    run(model, processor, jobs.collect(), None, &compute)
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
