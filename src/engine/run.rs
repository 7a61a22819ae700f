//! One run: the prompt, then the answer token by token, then the choices; a [`Trace`] comes out.

use std::collections::BTreeSet;
use std::time::Instant;

use candle_core::Tensor;

use super::collector::{HiddenCollector, RowCollector};
use super::need::RunNeed;
use super::sampler::{Sampler, log_softmax};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::model::cache::KvCache;
use crate::model::compute::Compute;
use crate::model::tap::Tap;
use crate::model::text::Pass;
use crate::model::vision::VisualFeatures;
use crate::model::{Model, to_host};
use crate::progress::{Phase, Progress};
use crate::settings::{AttentionRows, LogitRows, Settings};
use crate::trace::{AnswerRows, Applied, ChoiceScore, GeneratedToken, Trace};
use crate::units::Role;

/// Likeliest tokens kept beside each generated one.
const NUM_ALTERNATIVES: usize = 8;

/// What a run needs besides the model.
pub struct Job<'a> {
    /// The prepared sample.
    pub input: ModelInput,
    /// Visual tokens of its images; `None` without images.
    pub features: Option<VisualFeatures>,
    /// Answers to score.
    pub choices: &'a [String],
    /// What to do and keep.
    pub settings: &'a Settings,
    /// Memory there is, where the system says.
    pub free_bytes: Option<u64>,
    /// How operations run.
    pub compute: Compute<'a>,
}

/// The state of a run between passes.
struct Run<'a> {
    model: &'a Model,
    processor: &'a Processor,
    job: Job<'a>,
    cache: KvCache,
    /// Of all tokens in the cache and the next pass.
    roles: Vec<Role>,
    /// Scores after the prompt, [V].
    after_prompt: Vec<f32>,
}

/// Answers a prepared sample.
pub fn run(model: &Model, processor: &Processor, job: Job<'_>) -> Result<Trace> {
    let num_tokens = job.input.num_tokens();
    let room = processor.max_positions().saturating_sub(num_tokens);
    let max_new_tokens = job.settings.decoding.max_new_tokens.min(room);
    if max_new_tokens == 0 {
        return Err(Error::Request("max-new-tokens: expected a number from 1, found 0".to_owned()));
    }
    let choice_ids = job.choices.iter().map(|c| processor.encode(c)).collect::<Result<Vec<_>>>()?;
    if let Some(empty) = choice_ids.iter().position(Vec::is_empty) {
        return Err(Error::Request(format!("choice {}: expected a text, found nothing", empty + 1)));
    }
    // Known before minutes of work: the output's width is that of the vocabulary, grown by the latents.
    let width = processor.vocab_size().max(processor.largest_latent());
    if let Some(id) = choice_ids.iter().flatten().find(|id| **id as usize >= width) {
        let text = processor.token_text(*id);
        return Err(Error::Request(format!("a choice holds {text}, which this model cannot answer")));
    }
    let capture = &job.settings.capture;
    let need = RunNeed::new(&model.config, &job.input.roles, max_new_tokens, capture, model.dtype());
    need.check(job.free_bytes)?;
    let longest_choice = choice_ids.iter().map(Vec::len).max().unwrap_or(0);
    let cache = KvCache::new(model.text.num_layers(), num_tokens + max_new_tokens.max(longest_choice));
    let roles = job.input.roles.clone();
    let mut run = Run { model, processor, job, cache, roles, after_prompt: Vec::new() };

    let started = Instant::now();
    let mut trace = run.read_prompt()?;
    trace.timings.prompt_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    run.answer(&mut trace, max_new_tokens)?;
    trace.timings.answer_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    trace.choices = run.score_choices(&choice_ids)?;
    trace.timings.choices_secs = started.elapsed().as_secs_f64();
    Ok(trace)
}

impl Run<'_> {
    fn read_prompt(&mut self) -> Result<Trace> {
        let capture = &self.job.settings.capture;
        let num_tokens = self.roles.len();
        let latents: Vec<usize> = (0..num_tokens).filter(|i| self.roles[*i] == Role::Latent).collect();
        let mut rows = RowCollector::new(match capture.attention {
            AttentionRows::Nothing => Vec::new(),
            AttentionRows::LatentsAndAnswer => latents.clone(),
            AttentionRows::Full => (0..num_tokens).collect(),
        });
        let mut hidden = capture.hidden.clone().map(HiddenCollector::new);
        let mut taps: Vec<&mut dyn Tap> = vec![&mut rows];
        taps.extend(hidden.as_mut().map(|tap| -> &mut dyn Tap { tap }));
        let output = prompt_pass(self.model, &self.job, &self.roles, &mut self.cache, &mut taps)?;

        let last = output.narrow(0, num_tokens - 1, 1)?;
        let last = to_host(&self.model.text.logits(&last, &self.job.compute)?)?;
        self.after_prompt = last.data().to_vec();
        let logits = match capture.logits {
            LogitRows::Nothing => None,
            LogitRows::Answer => Some(last),
            LogitRows::Full => Some(all_logits(self.model, &output, &self.job.compute)?),
        };
        let rows = rows.finish();
        let (attentions, latent_attentions) = match (capture.attention, rows) {
            (AttentionRows::Full, Some(full)) => {
                let of_latents = (!latents.is_empty()).then(|| select_rows(&full, &latents));
                (Some(full), of_latents)
            }
            (_, rows) => (None, rows),
        };
        let input = &self.job.input;
        Ok(Trace {
            input_ids: input.input_ids.clone(),
            roles: input.roles.clone(),
            positions: input.positions.clone(),
            grids: input.grids.clone(),
            patch_size: input.patch_size,
            merge_size: input.merge_size,
            image_spans: input.image_spans.clone(),
            text: input.text.clone(),
            logits,
            hidden_states: hidden.map(HiddenCollector::finish),
            attentions,
            latent_attentions,
            settings: self.job.settings.clone(),
            ..Trace::default()
        })
    }

    /// Feeds tokens behind the cache; returns their hidden states after the final norm, [T, D].
    fn feed(&mut self, ids: &[u32], taps: &mut [&mut dyn Tap]) -> Result<Tensor> {
        let held = self.cache.len();
        let choice = self.job.settings.latents;
        self.roles.truncate(held);
        self.roles.extend(ids.iter().map(|id| self.processor.generated_role(*id, choice)));
        let first = self.job.input.next_position + (held - self.job.input.num_tokens()) as i64;
        let positions: Vec<[i64; 3]> = (0..ids.len()).map(|i| [first + i as i64; 3]).collect();
        let pass = Pass {
            embeddings: self.model.text.embedding().forward(ids)?,
            positions: &positions,
            roles: &self.roles,
            rule: self.job.settings.mask.rule(),
            deepstack: None,
            cache: Some(&mut self.cache),
            phase: None,
            compute: self.job.compute,
        };
        self.model.text.forward(pass, taps)
    }

    fn answer(&mut self, trace: &mut Trace, max_new_tokens: usize) -> Result<()> {
        let (decoding, capture) = (self.job.settings.decoding, self.job.settings.capture.clone());
        let published = self.processor.generation();
        let penalty = decoding.repetition_penalty.resolve(published.repetition_penalty).filter(|p| *p != 1.0);
        let samples = decoding.temperature > 0.0;
        let top_k = decoding.top_k.resolve(published.top_k).filter(|_| samples);
        let top_p = decoding.top_p.resolve(published.top_p).filter(|p| samples && *p < 1.0);
        trace.applied = Applied { repetition_penalty: penalty, top_k, top_p, ..trace.applied };
        let mut sampler = Sampler::new(decoding.temperature, top_k, top_p, decoding.seed);
        let mut seen: BTreeSet<u32> = self.job.input.input_ids.iter().copied().collect();
        let keep_rows = capture.attention != AttentionRows::Nothing;
        let keep_logits = capture.logits != LogitRows::Nothing;
        let (mut rows, mut kept_logits) = (AnswerRows::default(), Array::default());
        let mut logits = self.after_prompt.clone();
        let mut ids: Vec<u32> = Vec::new();
        loop {
            let progress = Progress { phase: Phase::Answer, done: ids.len(), total: max_new_tokens };
            self.job.compute.observer.progress(progress)?;
            if logits.iter().any(|l| l.is_nan()) {
                return Err(Error::Request(
                    "the model's output is not a number: try --dtype f32, or check the weights".to_owned(),
                ));
            }
            let id = match penalty {
                Some(penalty) => sampler.next(&penalised(&logits, &seen, penalty)),
                None => sampler.next(&logits),
            };
            trace.generated.push(self.describe(id, &logits));
            if keep_logits {
                kept_logits.extend(Array::new([1, logits.len()], logits));
            }
            seen.insert(id);
            ids.push(id);
            self.processor.decode(&ids).trim().clone_into(&mut trace.answer);
            self.job.compute.observer.answer_grew(&trace.answer);
            let is_last = ids.len() == max_new_tokens || self.processor.ends_turn(id);
            if is_last && !keep_rows {
                break;
            }
            // The last token is fed too, only for its attention row.
            let place = self.cache.len();
            let mut tap = RowCollector::new(if keep_rows { vec![place] } else { Vec::new() });
            let hidden = self.feed(&[id], &mut [&mut tap])?;
            if let Some(of_token) = tap.finish() {
                let &[layers, heads, _, keys] = of_token.shape() else {
                    unreachable!("attention has four axes")
                };
                rows.push(of_token.reshaped([layers, heads, keys]));
            }
            if is_last {
                break;
            }
            logits = to_host(&self.model.text.logits(&hidden, &self.job.compute)?)?.data().to_vec();
        }
        trace.answer_attentions = keep_rows.then_some(rows);
        trace.generated_logits = keep_logits.then_some(kept_logits);
        Ok(())
    }

    fn describe(&self, id: u32, logits: &[f32]) -> GeneratedToken {
        let logprobs = log_softmax(logits);
        let mut ranked: Vec<u32> = (0..logprobs.len() as u32).collect();
        let count = NUM_ALTERNATIVES.min(ranked.len());
        let by_logprob = |a: &u32, b: &u32| logprobs[*b as usize].total_cmp(&logprobs[*a as usize]);
        ranked.select_nth_unstable_by(count - 1, by_logprob);
        ranked.truncate(count);
        ranked.sort_by(by_logprob);
        let alternatives = ranked
            .into_iter()
            .map(|other| (other, self.processor.token_text(other), logprobs[other as usize].exp()))
            .collect();
        GeneratedToken {
            id,
            text: self.processor.token_text(id),
            logprob: logprobs[id as usize],
            alternatives,
        }
    }

    /// Log-probability of each choice's tokens after the prompt.
    fn score_choices(&mut self, choice_ids: &[Vec<u32>]) -> Result<Vec<ChoiceScore>> {
        if choice_ids.is_empty() {
            return Ok(Vec::new());
        }
        let first = log_softmax(&self.after_prompt);
        let score = |row: &[f32], id: u32| row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let num_tokens = self.job.input.num_tokens();
        let mut logprobs = Vec::new();
        for (done, ids) in choice_ids.iter().enumerate() {
            let progress = Progress { phase: Phase::Choices, done, total: choice_ids.len() };
            self.job.compute.observer.progress(progress)?;
            let mut logprob = score(&first, ids[0]);
            if ids.len() > 1 {
                self.cache.truncate(num_tokens);
                let hidden = self.feed(&ids[..ids.len() - 1], &mut [])?;
                let logits = to_host(&self.model.text.logits(&hidden, &self.job.compute)?)?;
                for (row, id) in logits.rows().zip(&ids[1..]) {
                    logprob += score(&log_softmax(row), *id);
                }
            }
            logprobs.push(logprob);
        }
        let shares = log_softmax(&logprobs);
        let scores = self.job.choices.iter().zip(logprobs).zip(shares);
        Ok(scores
            .map(|((choice, logprob), share)| ChoiceScore {
                choice: choice.clone(),
                logprob,
                probability: share.exp(),
            })
            .collect())
    }
}

/// The whole prompt: hidden states after the final norm, [N, D].
fn prompt_pass(
    model: &Model,
    job: &Job<'_>,
    roles: &[Role],
    cache: &mut KvCache,
    taps: &mut [&mut dyn Tap],
) -> Result<Tensor> {
    let (input, features) = (&job.input, job.features.as_ref());
    let visual: Vec<u32> = input.image_spans.iter().flat_map(|s| s.range()).map(|i| i as u32).collect();
    let visual = features.map(|_| Tensor::new(visual, model.device())).transpose()?;
    let pass = Pass {
        embeddings: model.embed(&input.input_ids, &input.image_spans, features)?,
        positions: &input.positions,
        roles,
        rule: job.settings.mask.rule(),
        deepstack: visual.as_ref().zip(features).map(|(at, f)| (at, f.deepstack.as_slice())),
        cache: Some(cache),
        phase: Some(Phase::Prompt),
        compute: job.compute,
    };
    model.text.forward(pass, taps)
}

/// Scores of every position, [T, D] -> [T, V], a few rows at a time: the tensor and its copy on the host never
/// exist at once.
fn all_logits(model: &Model, hidden: &Tensor, compute: &Compute<'_>) -> Result<Array> {
    const ROWS: usize = 64;
    let num_tokens = hidden.dim(0)?;
    let (mut data, mut width) = (Vec::new(), 0);
    for start in (0..num_tokens).step_by(ROWS) {
        let rows = hidden.narrow(0, start, ROWS.min(num_tokens - start))?;
        let rows = to_host(&model.text.logits(&rows, compute)?)?;
        width = rows.shape()[1];
        data.reserve_exact(if start == 0 { num_tokens * width } else { 0 });
        data.extend_from_slice(rows.data());
    }
    Ok(Array::new([num_tokens, width], data))
}

/// Scores with those of tokens already in the sequence made less likely (CTRL, Keskar et al. 2019), as the
/// reference's logits processor does it: prompt and image placeholders count.
fn penalised(logits: &[f32], seen: &BTreeSet<u32>, penalty: f32) -> Vec<f32> {
    let mut scores = logits.to_vec();
    for id in seen {
        if let Some(score) = scores.get_mut(*id as usize) {
            *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
        }
    }
    scores
}

/// [L, H, N, S] and row numbers -> [L, H, R, S].
fn select_rows(full: &Array, rows: &[usize]) -> Array {
    let [layers, heads, _, keys] = full.shape()[..] else { unreachable!("attention has four axes") };
    let mut data = Vec::with_capacity(layers * heads * rows.len() * keys);
    for layer in 0..layers {
        for head in 0..heads {
            for row in rows {
                data.extend_from_slice(full.at(&[layer, head, *row]));
            }
        }
    }
    Array::new([layers, heads, rows.len(), keys], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_penalty_makes_what_was_said_less_likely_either_side_of_zero() {
        let scores = penalised(&[2.0, -2.0, 3.0, 0.0], &BTreeSet::from([0, 1, 3, 99]), 2.0);
        assert_eq!(scores, [1.0, -4.0, 3.0, 0.0]);
    }
}
