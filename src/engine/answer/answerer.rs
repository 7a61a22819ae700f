//! Prepares samples, has them answered, and says what came of each.

use std::time::Instant;

use super::features::{SeenImages, TowerFiles};
use super::intervene::{EditedSequence, Intervention};
use super::run::answer_together;
use super::state::{Job, ModelName};
use super::{AnswerWatch, FromAfar};
use crate::ask::{Condition, Keep, PixelBudget};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::compute::Compute;
use crate::trace::{Timings, Trace};

/// What a condition changes of a run.
type Edited = (EditedSequence, Option<Intervention>);

/// One sample and how it is asked.
#[derive(Debug, Clone, Copy)]
pub struct AskedSample<'a> {
    /// What is asked.
    pub sample: &'a Sample,
    /// Its name in its data set, which what is left to chance hangs on; empty outside one.
    pub id: &'a str,
    /// How it is asked.
    pub condition: &'a Condition,
    /// What is kept besides the answer.
    pub keep: &'a Keep,
}

/// A model that answers: one opened from disk, or one in training.
pub struct Answerer<'a> {
    /// The model.
    pub model: &'a Model,
    /// What prepares samples for it.
    pub processor: &'a Processor,
    /// Most pixels of an image unless told otherwise.
    pub auto_max_pixels: usize,
    /// As what it signs.
    pub name: ModelName,
    /// What its vision tower was read from; nothing for one that changes.
    pub tower: Option<TowerFiles<'a>>,
    /// Features of images it has seen.
    pub seen: &'a mut SeenImages,
    /// The memory there is, where the system says: runs that would keep more are refused.
    pub free_bytes: Option<u64>,
}

impl Answerer<'_> {
    /// Answers samples in the same passes: one matrix product for all of them, attention within each. Times of a trace are
    /// those of all samples together.
    ///
    /// # Errors
    /// A sample that cannot be asked so, by its place; a stop.
    pub fn answer(&mut self, asked: &[AskedSample<'_>], compute: &Compute<'_>) -> Result<Vec<Trace>> {
        self.answer_watched(asked, &FromAfar(compute.observer), compute)
    }

    /// The same; where one sample is asked alone, its answer is watched.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn answer_watched(
        &mut self,
        asked: &[AskedSample<'_>],
        watch: &dyn AnswerWatch,
        compute: &Compute<'_>,
    ) -> Result<Vec<Trace>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let compute = &Compute { observer: watch, ..*compute };
        // What is wrong with a condition is not wrong with the first sample.
        for own in asked {
            self.max_pixels(own.condition)?;
        }
        let started = Instant::now();
        let prepared =
            |(i, own): (usize, &AskedSample<'_>)| self.prepare(*own, compute).map_err(|e| e.of_index(i));
        let prepared = asked.iter().enumerate().map(prepared).collect::<Result<Vec<_>>>()?;
        let (mut inputs, mut edited): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        let input_secs = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let seen = self.seen.features(self.model, self.tower, &inputs, compute)?;
        let vision_secs = if seen.were_made { started.elapsed().as_secs_f64() } else { 0.0 };
        let timings = Timings { input_secs, vision_secs, ..Timings::default() };

        let mut jobs = Vec::new();
        for (i, (own, mut input)) in asked.iter().zip(inputs.drain(..)).enumerate() {
            let (mut features, (sequence, mut intervention)) = (seen.features[i].clone(), edited.remove(0));
            if let (Some(features), Some(edits)) = (&mut features, &mut intervention) {
                edits.edit_features(features, &input.image_spans).map_err(|e| e.of_index(i))?;
            }
            // The tower has read them; only a trace that was asked for them still needs them.
            let pixels = std::mem::take(&mut input.pixel_values);
            jobs.push(Job {
                input,
                pixels: own.keep.pixels.then_some(pixels),
                features,
                sequence,
                intervention,
                choices: &own.sample.choices,
                condition: own.condition,
                keep: own.keep,
                max_pixels: self.max_pixels(own.condition)?,
                name: &self.name,
                timings,
            });
        }
        let free_bytes = self.free_bytes.filter(|_| self.model.device().is_cpu());
        answer_together(self.model, self.processor, jobs, free_bytes, watch, compute)
    }

    /// Most pixels of an image under a condition.
    fn max_pixels(&self, condition: &Condition) -> Result<usize> {
        let images = self.processor.images();
        let max_pixels = match condition.max_pixels {
            PixelBudget::Auto => self.auto_max_pixels,
            PixelBudget::Checkpoint => images.max_pixels,
            PixelBudget::Pixels(n) => n,
        };
        let least = (images.patch_size * images.merge_size).pow(2);
        if max_pixels < least {
            return Err(Error::Request(format!(
                "max-pixels: expected at least {least}, one visual token, found {max_pixels}"
            )));
        }
        Ok(max_pixels)
    }

    /// A sample as the tower and the model read it, and what is changed of its run later.
    fn prepare(&self, asked: AskedSample<'_>, compute: &Compute<'_>) -> Result<(ModelInput, Edited)> {
        let AskedSample { sample, id, condition, .. } = asked;
        let disturbed = condition.disturbance.map(|how| how.of(sample, id, condition.decoding.seed));
        let sample = disturbed.as_ref().unwrap_or(sample);
        let max_pixels = self.max_pixels(condition)?;
        let edited = EditedSequence::of(&condition.edits, condition.latents, sample, self.processor)?;
        let sequence = if condition.sham {
            EditedSequence::of(&[], condition.latents, sample, self.processor)?
        } else {
            edited
        };
        let mut input = self.processor.process(sample, sequence.choice, max_pixels, compute.observer)?;
        sequence.take_out(&mut input, self.processor);
        let mut intervention = Intervention::of(condition, &input, &sequence, self.model, compute)?;
        if let Some(edits) = &mut intervention {
            edits.edit_pixels(&mut input, self.processor.images());
        }
        Ok((input, (sequence, intervention)))
    }
}
