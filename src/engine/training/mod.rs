//! A training run from a recipe to a folder: opens what it needs, drives the steps, validates, saves, shows a probe
//! sample, and goes on where it was stopped.

mod answers;
mod folder;
mod open;
mod prepare;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use self::folder::{Metric, RunFolder};
use self::open::OpenedRun;
use super::study::Accuracy;
use crate::ask::{Condition, Decoding, DeviceChoice, LatentChoice, MaskKind, PixelBudget, Published};
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::model::compute::Compute;
use crate::progress::{Observer, Phase, Progress};
use crate::trace::Trace;
use crate::train::{Recipe, ResultChoice, Step, TrainState, Trainer, Updates};

pub use self::folder::read_metrics;
pub use self::prepare::Preparation;

/// What is to be trained, and where it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOrder {
    /// The recipe's file; that of the folder where a run is resumed without one.
    pub recipe: Option<PathBuf>,
    /// What is made first, and the recipe instead of a file's.
    pub prepare: Option<Box<Preparation>>,
    /// The run's folder.
    pub out: PathBuf,
    /// Go on where it was stopped?
    pub resume: bool,
    /// Where it runs.
    pub device: DeviceChoice,
}

/// What a validation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Stage, from 1.
    pub stage: usize,
    /// Steps made.
    pub step: usize,
    /// Over all samples.
    pub all: Accuracy,
    /// Of each task.
    pub tasks: std::collections::BTreeMap<String, Accuracy>,
    /// Wall time.
    pub secs: f64,
}

/// What a run is, told once.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The recipe, nothing left open.
    pub recipe: Recipe,
    /// Steps of all stages.
    pub total_steps: usize,
    /// Values that are trained.
    pub trained_values: usize,
    /// Training and validation samples.
    pub samples: [usize; 2],
    /// What a run that was resumed has behind it.
    pub before: Before,
}

/// What the folder of a run has of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Before {
    /// Made.
    pub steps: Vec<Step>,
    /// Found between them.
    pub validations: Vec<Validation>,
}

/// What a look at the probe sample found.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Steps made.
    pub step: usize,
    /// The sample.
    pub sample: Sample,
    /// Its answer with the rows of the latents.
    pub trace: Arc<Trace>,
}

/// Told of all that happens.
pub trait TrainWatch: Observer {
    /// The run begins.
    fn begun(&self, _begun: &Begun) {}

    /// A step was made.
    fn stepped(&self, _step: &Step, _total: usize) {}

    /// The validation samples were answered.
    fn validated(&self, _validation: &Validation) {}

    /// Is a look at the probe sample wanted?
    fn wants_probes(&self) -> bool {
        false
    }

    /// The probe sample was looked at.
    fn probed(&self, _probe: Probe) {}
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainedRun {
    /// Where the result is.
    pub folder: PathBuf,
    /// Steps made in all.
    pub steps: usize,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Validation accuracy of the result.
    pub accuracy: Option<f64>,
    /// Which checkpoint it is.
    pub keep: ResultChoice,
    /// Wall time of this session.
    pub seconds: f64,
    /// Of this program.
    pub version: &'static str,
}

/// Trains to the end.
///
/// # Errors
/// What is wrong with recipe, data or model; a loss that is no number; a disk that is full; a stop. The last saved
/// state stays, to be resumed.
pub fn train(order: &TrainOrder, watch: &dyn TrainWatch) -> Result<TrainedRun> {
    let started = Instant::now();
    let mut folder = RunFolder::open(&order.out, order.resume)?;
    if let Some(prepare) = &order.prepare {
        prepare.make(watch)?;
    }
    let recipe = recipe_of(order)?;
    let opened = OpenedRun::open(&recipe, order.device, watch)?;
    let mut run = Running::begin(opened, &mut folder, order.resume, watch)?;
    let outcome = run.finish(&mut folder, watch);
    if outcome.as_ref().is_err_and(Error::is_cancelled) {
        // Whoever stops a run wants to go on from here.
        run.save_state(&mut folder)?;
    }
    outcome?;
    let (keep, accuracy) = run.leave_result(&folder)?;
    Ok(TrainedRun {
        folder: order.out.clone(),
        steps: run.trainer.position().overall,
        loss: run.last_loss,
        accuracy,
        keep,
        seconds: started.elapsed().as_secs_f64(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

fn recipe_of(order: &TrainOrder) -> Result<Recipe> {
    let file = order.prepare.as_ref().map(|own| &own.file).or(order.recipe.as_ref());
    match file {
        Some(path) => Recipe::read(path),
        None if order.resume => Recipe::read(&order.out.join(folder::RECIPE)),
        None => Err(Error::Request("a recipe: expected a TOML file (--recipe), found nothing".to_owned())),
    }
}

/// A run between two steps.
struct Running {
    opened: OpenedRun,
    trainer: Trainer,
    fingerprint: String,
    best: Option<f64>,
    last_loss: Option<f64>,
    /// What is looked at, decoded once: every look is at the same pictures.
    probe: Option<Sample>,
    /// The last step, where it was stopped before what follows it was done.
    unsettled: Option<Step>,
}

impl Running {
    fn begin(
        mut opened: OpenedRun,
        folder: &mut RunFolder,
        resume: bool,
        watch: &dyn TrainWatch,
    ) -> Result<Self> {
        let fingerprint = folder::fingerprint(&opened);
        let trainer = opened.trainer()?;
        let mut run =
            Self { opened, trainer, fingerprint, best: None, last_loss: None, probe: None, unsettled: None };
        let before = if resume {
            folder.check(&run.opened, &run.fingerprint)?;
            run.go_on(folder)?
        } else {
            folder.describe(&run.opened, &run.trainer, &run.fingerprint)?;
            Before::default()
        };
        run.unsettled = run.left_to_do(&before);
        watch.begun(&Begun {
            recipe: run.opened.recipe.clone(),
            total_steps: run.trainer.total_steps(),
            trained_values: run.trainer.trained().num_values(),
            samples: [run.trainer.examples().len(), run.opened.validation.len()],
            before,
        });
        Ok(run)
    }

    /// Back to the last saved state; the metrics after it are cut off, since they will be made again.
    fn go_on(&mut self, folder: &mut RunFolder) -> Result<Before> {
        let Some(path) = folder.state() else { return folder.cut_metrics(0) };
        let (trained, adamw) = self.trainer.parts_mut();
        let state = TrainState::read(&path, trained, adamw)?;
        if state.fingerprint != self.fingerprint {
            return Err(folder::another_run(&path));
        }
        self.trainer.go_to(state.position)?;
        self.best = state.best;
        let before = folder.cut_metrics(state.metrics_bytes)?;
        self.last_loss = before.steps.last().map(|step| step.loss);
        Ok(before)
    }

    fn finish(&mut self, folder: &mut RunFolder, watch: &dyn TrainWatch) -> Result<()> {
        let compute = Compute::observed(watch);
        let total = self.trainer.total_steps();
        if let Some(step) = self.unsettled.take() {
            self.settle(&step, &compute, folder, watch)?;
        }
        while !self.trainer.is_done() {
            let done = self.trainer.position().overall;
            watch.progress(Progress { phase: Phase::Training, done, total })?;
            let step = self.trainer.step(&compute)?;
            self.last_loss = Some(step.loss);
            folder.log(&Metric::Step(step.clone()))?;
            watch.stepped(&step, total);
            self.settle(&step, &compute, folder, watch)?;
        }
        Ok(())
    }

    /// What follows a step: the validation, what is saved, the look at the probe sample.
    fn settle(
        &mut self,
        step: &Step,
        compute: &Compute<'_>,
        folder: &mut RunFolder,
        watch: &dyn TrainWatch,
    ) -> Result<()> {
        let mask = self.opened.recipe.stages[step.stage - 1].mask;
        if step.ends_epoch {
            self.validate(step, mask, folder, watch)?;
        }
        if step.ends_stage {
            self.save_model(&folder.stage(step.stage), step.stage)?;
        }
        let probe_every = self.opened.recipe.probe_every;
        let due =
            probe_every > 0 && (step.step == 1 || step.step.is_multiple_of(probe_every) || step.ends_stage);
        if due && watch.wants_probes() {
            self.look(step, mask, compute, watch)?;
        }
        if step.ends_epoch || step.step.is_multiple_of(self.opened.recipe.save_every) {
            self.save_state(folder)?;
        }
        Ok(())
    }

    /// The step that a run to go on with was stopped after, where its validation is not among what was measured.
    fn left_to_do(&self, before: &Before) -> Option<Step> {
        let Before { steps, validations } = before;
        let (ends_epoch, ends_stage) = self.trainer.has_ended();
        let last = steps.last().filter(|_| ends_epoch)?;
        let is_validated = validations.last().is_some_and(|own| own.step == last.step);
        (!is_validated).then(|| Step { ends_epoch, ends_stage, ..last.clone() })
    }

    fn save_model(&self, folder: &Path, stage: usize) -> Result<()> {
        self.opened.save(folder, self.trainer.trained(), stage)
    }

    fn save_state(&self, folder: &mut RunFolder) -> Result<()> {
        let adamw = self.trainer.adamw();
        let state = TrainState {
            position: self.trainer.position(),
            updates: adamw.step,
            fingerprint: self.fingerprint.clone(),
            metrics_bytes: folder.metrics_kept()?,
            best: self.best,
        };
        state.write(&folder.state_path(), self.trainer.trained(), adamw)
    }

    /// Puts the result in the run's folder itself, so that the folder is what one opens.
    fn leave_result(&self, folder: &RunFolder) -> Result<(ResultChoice, Option<f64>)> {
        let keep = self.opened.recipe.keep.unwrap_or(ResultChoice::Final);
        let (from, keep) = match keep {
            ResultChoice::Best if self.best.is_some() => (folder.best(), ResultChoice::Best),
            _ => (folder.stage(self.opened.last_stage()), ResultChoice::Final),
        };
        folder.take_result(&from)?;
        let accuracy = match keep {
            ResultChoice::Best => self.best,
            ResultChoice::Final => folder.last_accuracy()?,
        };
        Ok((keep, accuracy))
    }
}

impl OpenedRun {
    /// The number of the last stage that has epochs.
    fn last_stage(&self) -> usize {
        let stages = &self.recipe.stages;
        stages.iter().rposition(|stage| stage.epochs > 0).map_or(stages.len(), |i| i + 1)
    }

    /// How its samples are asked.
    fn condition(&self, mask: MaskKind, max_new_tokens: usize) -> Condition {
        let latents = if self.recipe.latents.count > 0 { LatentChoice::Auto } else { LatentChoice::Off };
        let decoding = Decoding { max_new_tokens, repetition_penalty: Published::Off, ..Decoding::default() };
        let max_pixels = PixelBudget::Pixels(self.max_pixels);
        Condition { mask, latents, max_pixels, decoding, ..Condition::default() }
    }

    /// A record's sample as this variant asks it: an image that is shown twice is disturbed once.
    fn asked(&self, record: &Record) -> Result<Sample> {
        let mut sample = record.sample()?;
        if let Some(disturbance) = self.recipe.data.disturb {
            sample = disturbance.of(&sample, &record.id, self.recipe.seed);
        }
        if self.recipe.variant == crate::train::Variant::ImageTwice {
            sample.images.extend(sample.images.clone());
        }
        Ok(sample)
    }

    /// Is the result a whole checkpoint, rather than an adapter?
    pub(super) fn makes_checkpoints(&self) -> bool {
        matches!(self.recipe.updates, Some(Updates::Full | Updates::Everything))
    }
}
