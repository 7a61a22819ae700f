//! Steps of training. Who drives them validates, saves and shows in between.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::adamw::{AdamW, clip};
use super::examples::Examples;
use super::loss::{Parts, parts};
use super::params::Trained;
use super::recipe::{Recipe, Weights};
use super::schedule::{Schedule, steps_per_epoch};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::compute::Compute;
use crate::ops::tape;
use crate::random::{key, stream};

/// Which step is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Stage, from 0; the number of stages at the end.
    pub stage: usize,
    /// Step of the stage, from 0.
    pub step: usize,
    /// Step of the run, from 0.
    pub overall: usize,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Stage, from 1.
    pub stage: usize,
    /// Step of the run, from 1.
    pub step: usize,
    /// Passes over the data in this stage so far.
    pub epoch: f64,
    /// Mean over the answers' tokens.
    pub loss: f64,
    /// Length of the gradient before it was shortened.
    pub grad_norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Tokens that went through the language model.
    pub tokens: usize,
    /// Examples.
    pub examples: usize,
    /// What the loss is made of, where it is not the answers alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
    /// Wall time.
    pub secs: f64,
    /// Was it the last of a pass over the data?
    #[serde(skip)]
    pub ends_epoch: bool,
    /// Was it the last of its stage?
    #[serde(skip)]
    pub ends_stage: bool,
}

/// The order of the examples in a pass over the data.
struct PassOrder {
    /// By number.
    examples: Vec<usize>,
    /// Which pass: stage and epoch.
    pass: [usize; 2],
}

/// A model in training.
pub struct Trainer {
    recipe: Recipe,
    model: Model,
    trained: Trained,
    examples: Examples,
    adamw: AdamW,
    position: Position,
    /// Examples of the present pass over the data, and which pass that is.
    order: PassOrder,
}

impl Trainer {
    /// From a resolved recipe, a model with what is trained on it, and what it learns from.
    pub fn new(recipe: Recipe, model: Model, trained: Trained, examples: Examples) -> Self {
        let adamw = Self::optimizer(&recipe, &trained);
        let order = PassOrder { examples: Vec::new(), pass: [usize::MAX; 2] };
        Self { recipe, model, trained, examples, adamw, position: Position::default(), order }
    }

    fn optimizer(recipe: &Recipe, trained: &Trained) -> AdamW {
        AdamW::new(&recipe.optimizer, trained.values.iter().map(|value| value.var.elem_count()))
    }

    /// The model with what is trained on it.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is trained.
    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// What it learns from.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// The optimizer.
    pub fn adamw(&self) -> &AdamW {
        &self.adamw
    }

    /// The next step.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Is there a next step?
    pub fn is_done(&self) -> bool {
        self.position.stage >= self.recipe.stages.len()
    }

    /// Steps of a stage.
    pub fn steps_of(&self, stage: usize) -> usize {
        let stage = &self.recipe.stages[stage];
        let all = stage.epochs * steps_per_epoch(self.examples.len(), self.per_step());
        stage.max_steps.map_or(all, |most| all.min(most))
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> usize {
        (0..self.recipe.stages.len()).map(|stage| self.steps_of(stage)).sum()
    }

    fn per_step(&self) -> usize {
        self.recipe.optimizer.batch_size * self.recipe.optimizer.accumulation
    }

    /// Goes to where a state that was read says.
    pub fn go_to(&mut self, position: Position) -> Result<()> {
        self.position = position;
        self.trained.refresh(&mut self.model)
    }

    /// The optimizer, for a state to be read into.
    pub fn parts_mut(&mut self) -> (&Trained, &mut AdamW) {
        (&self.trained, &mut self.adamw)
    }

    /// Was the last step the last of a pass over the data, and of its stage?
    pub fn has_ended(&self) -> (bool, bool) {
        let per_epoch = steps_per_epoch(self.examples.len(), self.per_step());
        let Position { step, overall, .. } = self.position;
        // Between stages the step is the next one's first.
        let ends_stage = overall > 0 && step == 0;
        (ends_stage || step > 0 && step.is_multiple_of(per_epoch), ends_stage)
    }

    /// Makes one step. Where it fails, or is stopped, no value has changed.
    ///
    /// # Errors
    /// A loss or a gradient that is no number, with the samples it came from.
    pub fn step(&mut self, compute: &Compute<'_>) -> Result<Step> {
        let started = Instant::now();
        self.skip_empty_stages();
        let at = self.position;
        let stage = self.recipe.stages[at.stage].clone();
        let options = self.recipe.optimizer.clone();
        let total = self.steps_of(at.stage);
        let per_epoch = steps_per_epoch(self.examples.len(), self.per_step());
        let (epoch, within) = (at.step / per_epoch, at.step % per_epoch);
        self.shuffle([at.stage, epoch]);
        let start = within * self.per_step();
        let chosen = self.order.examples[start..(start + self.per_step()).min(self.examples.len())].to_vec();

        self.trained.refresh(&mut self.model)?;
        let gradients = self.gradients(&chosen, &stage, compute)?;
        let (loss, grads) = (gradients.loss, gradients.grads);
        let (grad_norm, scale) = clip(&grads, options.max_grad_norm)?;
        if !loss.is_finite() || !grad_norm.is_finite() {
            let ids: Vec<&str> = chosen.iter().map(|i| self.examples.records()[*i].id.as_str()).collect();
            return Err(Error::Request(format!(
                "training: expected numbers, found a loss of {loss} and a gradient of length {grad_norm} in step {} \
                 (stage {}, samples {})",
                at.overall + 1,
                at.stage + 1,
                ids.join(", ")
            )));
        }
        let rate = stage.learning_rate.unwrap_or(options.learning_rate);
        let rate = Schedule::new(total, options.warmup, rate).at(at.step);
        self.adamw.begin();
        for (i, (value, grad)) in self.trained.values.iter().zip(&grads).enumerate() {
            let decay = if value.decays() { options.weight_decay } else { 0.0 };
            self.adamw.update(i, &value.var, grad, scale, rate * value.rate, decay)?;
        }
        self.trained.refresh(&mut self.model)?;

        let ends_stage = at.step + 1 == total;
        self.position = if ends_stage {
            self.adamw = Self::optimizer(&self.recipe, &self.trained);
            Position { stage: at.stage + 1, step: 0, overall: at.overall + 1 }
        } else {
            Position { step: at.step + 1, overall: at.overall + 1, ..at }
        };
        self.skip_empty_stages();
        Ok(Step {
            stage: at.stage + 1,
            step: at.overall + 1,
            epoch: (at.step + 1) as f64 / per_epoch as f64,
            loss,
            grad_norm,
            rate,
            tokens: gradients.tokens,
            examples: chosen.len(),
            parts: gradients.parts,
            secs: started.elapsed().as_secs_f64(),
            ends_epoch: within + 1 == per_epoch || ends_stage,
            ends_stage,
        })
    }

    /// A stage of no epochs, as in the split (0, 10), is over before it begins.
    fn skip_empty_stages(&mut self) {
        while !self.is_done() && self.steps_of(self.position.stage) == 0 {
            self.position.stage += 1;
        }
    }

    /// Puts the examples in the order of a pass over the data.
    fn shuffle(&mut self, pass: [usize; 2]) {
        if self.order.pass == pass {
            return;
        }
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        order.shuffle(&mut stream(self.recipe.seed, &pass.map(|number| number as u64)));
        self.order = PassOrder { examples: order, pass };
    }

    /// The mean loss over all tokens of the answers, and its gradient by every value that is trained.
    fn gradients(
        &mut self,
        chosen: &[usize],
        stage: &super::recipe::Stage,
        compute: &Compute<'_>,
    ) -> Result<Gradients> {
        let all_targets: usize = chosen.iter().map(|i| self.examples.num_targets(*i)).sum();
        let (mut loss, mut tokens, mut all_parts) = (0.0, 0, BTreeMap::new());
        let mut sums: Vec<Option<Tensor>> = vec![None; self.trained.values.len()];
        let num_batches = chosen.len().div_ceil(self.recipe.optimizer.batch_size);
        for (batch, chosen) in chosen.chunks(self.recipe.optimizer.batch_size).enumerate() {
            compute.check()?;
            let examples = self.examples.get(chosen, &self.model, compute)?;
            tokens += examples.iter().map(|example| example.ids.len()).sum::<usize>();
            let key = key(self.recipe.seed, &[self.position.overall as u64, batch as u64]);
            let compute = Compute { dropout: Some(key), ..*compute };
            let grounding = (self.examples.groups(), &self.recipe.grounding);
            let parts = parts(&self.model, &examples, stage, grounding, &compute)?;
            let scale = Scale { weights: stage.weights, all_targets, num_batches };
            let Some(part) = weighted(parts, scale, &mut all_parts)? else { continue };
            loss += f64::from(part.to_scalar::<f32>()?);
            compute.check()?;
            let grads = tape::backward(&part)?;
            for (sum, value) in sums.iter_mut().zip(&self.trained.values) {
                let Some(grad) = grads.get(value.var.as_tensor())? else { continue };
                *sum = Some(match sum.take() {
                    None => grad,
                    Some(before) => (before + grad)?,
                });
            }
        }
        let whole = |(sum, value): (Option<Tensor>, &super::params::TrainedValue)| match sum {
            Some(grad) => Ok(grad),
            // Nothing in this batch depends on it.
            None => Ok(value.var.zeros_like()?),
        };
        let grads = sums.into_iter().zip(&self.trained.values).map(whole).collect::<Result<_>>()?;
        let parts = if stage.weights == Weights::default() { BTreeMap::new() } else { all_parts };
        Ok(Gradients { loss, grads, tokens, parts })
    }
}

/// What a step found before it changed anything.
struct Gradients {
    loss: f64,
    grads: Vec<Tensor>,
    tokens: usize,
    parts: BTreeMap<String, f64>,
}

/// What the parts of a batch's loss count in that of its step.
#[derive(Clone, Copy)]
struct Scale {
    weights: Weights,
    /// Tokens of all answers of the step.
    all_targets: usize,
    num_batches: usize,
}

/// What a batch adds to the loss of its step: the mean over the answers' tokens of the whole step, and the means of
/// the other parts over its batches; of groups of words the mean. Each part is noted by name, before its weight.
/// None where the batch has nothing to learn from.
fn weighted(parts: Parts, scale: Scale, noted: &mut BTreeMap<String, f64>) -> Result<Option<Tensor>> {
    let Scale { weights, all_targets, num_batches } = scale;
    let share = 1.0 / num_batches as f64;
    let mut each: Vec<(String, Tensor, f64)> = Vec::new();
    if let Some(losses) = parts.answers {
        each.push(("answers".to_owned(), (losses.sum_all()? / all_targets as f64)?, weights.answers));
    }
    for (of, groups, weight) in [("model", parts.model, weights.model), ("tower", parts.tower, weights.tower)]
    {
        let weight = weight / groups.len().max(1) as f64;
        for (name, loss) in groups {
            each.push((format!("{of} {name}"), (loss * share)?, weight));
        }
    }
    if let Some(loss) = parts.pairs {
        each.push(("pairs".to_owned(), (loss * share)?, weights.pairs));
    }
    let mut sum: Option<Tensor> = None;
    for (name, part, weight) in each {
        *noted.entry(name).or_default() += f64::from(part.to_scalar::<f32>()?);
        let part = if weight == 1.0 { part } else { (part * weight)? };
        sum = Some(match sum {
            None => part,
            Some(sum) => (sum + part)?,
        });
    }
    Ok(sum)
}
