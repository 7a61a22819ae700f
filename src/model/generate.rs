//! One run: the prompt, then the answer token by token, then the choices; a [`Trace`] comes out.

use std::time::Instant;

use candle_core::{DType, Tensor};

use super::Model;
use super::cache::KvCache;
use super::layers::Math;
use super::mask::Mask;
use super::sampler::{Sampler, log_softmax};
use super::tap::{Site, Tap};
use super::text::Pass;
use super::vision::VisualFeatures;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::progress::{Observer, Phase, Progress};
use crate::settings::Settings;
use crate::trace::{Array, ChoiceScore, GeneratedToken, Trace};
use crate::units::{LayerIdx, Role};

/// Likeliest tokens kept beside each generated one.
const NUM_ALTERNATIVES: usize = 8;

/// What a run needs besides the model.
pub struct Request<'a> {
    /// The prepared sample.
    pub input: ModelInput,
    /// Visual tokens of its images; `None` without images.
    pub features: Option<VisualFeatures>,
    /// Answers to score.
    pub choices: &'a [String],
    /// What to do and keep.
    pub settings: &'a Settings,
    /// Fused or differentiable operations.
    pub math: Math,
}

/// Collects what a pass was asked for.
struct Collector<'a> {
    rows: Vec<usize>,
    keep_hidden: bool,
    /// Per layer, blocks of [H, R, S].
    attention: Vec<Vec<Tensor>>,
    hidden: Vec<Tensor>,
    observer: &'a dyn Observer,
    /// Layers are steps of the prompt; a decoded token is one step itself.
    phase: Option<Phase>,
}

impl<'a> Collector<'a> {
    fn new(num_layers: usize, rows: Vec<usize>, observer: &'a dyn Observer) -> Self {
        let attention = vec![Vec::new(); num_layers];
        Self { rows, keep_hidden: false, attention, hidden: Vec::new(), observer, phase: None }
    }

    /// Rows of all layers on the host: [L, H, R, S].
    fn take_attention(&mut self) -> Result<Array> {
        let mut array = Array { shape: vec![self.attention.len()], data: Vec::new() };
        for blocks in std::mem::take(&mut self.attention) {
            let layer = if blocks.len() == 1 { blocks[0].clone() } else { Tensor::cat(&blocks, 1)? };
            if array.shape.len() == 1 {
                array.shape.extend(layer.dims());
            }
            array.data.extend(to_host(&layer)?.data);
        }
        Ok(array)
    }

    /// Embedding, outputs of all layers but the last, final norm: [L+1, N, D].
    fn take_hidden(&mut self) -> Result<Array> {
        let states = std::mem::take(&mut self.hidden);
        to_host(&Tensor::stack(&states, 0)?)
    }
}

impl Tap for Collector<'_> {
    fn rows(&self) -> &[usize] {
        &self.rows
    }

    fn on_attention(&mut self, layer: LayerIdx, probs: Tensor) -> Result<()> {
        self.attention[layer.0].push(probs);
        Ok(())
    }

    fn on_hidden(&mut self, site: Site, hidden: &Tensor) -> Result<Option<Tensor>> {
        // As output_hidden_states: the last layer's output appears only after the final norm.
        let is_last_layer = site == Site::AfterLayer(LayerIdx(self.attention.len() - 1));
        if self.keep_hidden && !is_last_layer {
            self.hidden.push(hidden.clone());
        }
        Ok(None)
    }

    fn on_layer(&mut self, layer: LayerIdx, num_layers: usize) -> Result<()> {
        match self.phase {
            Some(phase) => self.observer.progress(Progress { phase, done: layer.0, total: num_layers }),
            None => Ok(()),
        }
    }
}

/// A tensor as f32 on the host.
pub fn to_host(tensor: &Tensor) -> Result<Array> {
    let data = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(Array { shape: tensor.dims().to_vec(), data })
}

/// The state of a run between passes.
struct Run<'a> {
    model: &'a Model,
    processor: &'a Processor,
    request: Request<'a>,
    observer: &'a dyn Observer,
    cache: KvCache,
    /// Of all tokens in the cache and the next pass.
    roles: Vec<Role>,
}

/// Answers a prepared sample.
pub fn run(
    model: &Model,
    processor: &Processor,
    request: Request<'_>,
    observer: &dyn Observer,
) -> Result<Trace> {
    let num_tokens = request.input.num_tokens();
    let decoding = request.settings.decoding;
    let room = processor.max_positions().saturating_sub(num_tokens);
    let max_new_tokens = decoding.max_new_tokens.min(room);
    if max_new_tokens == 0 {
        return Err(Error::Request("max-new-tokens: expected a number from 1, found 0".to_owned()));
    }
    let choice_ids = request.choices.iter().map(|c| processor.encode(c)).collect::<Result<Vec<_>>>()?;
    if let Some(empty) = choice_ids.iter().position(Vec::is_empty) {
        return Err(Error::Request(format!("choice {}: expected a text, found nothing", empty + 1)));
    }
    let longest_choice = choice_ids.iter().map(Vec::len).max().unwrap_or(0);
    let capacity = num_tokens + max_new_tokens.max(longest_choice);
    let roles = request.input.roles.clone();
    let cache = KvCache::new(model.text.num_layers(), capacity);
    let mut run = Run { model, processor, request, observer, cache, roles };

    let started = Instant::now();
    let mut trace = run.read_prompt()?;
    trace.timings.prompt_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    run.answer(&mut trace, max_new_tokens)?;
    trace.timings.answer_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    trace.choices = run.score_choices(&trace, &choice_ids)?;
    trace.timings.choices_secs = started.elapsed().as_secs_f64();
    Ok(trace)
}

impl Run<'_> {
    fn read_prompt(&mut self) -> Result<Trace> {
        let input = &self.request.input;
        let capture = self.request.settings.capture;
        let num_tokens = input.num_tokens();
        let features = self.request.features.as_ref();
        let latents: Vec<usize> = (0..num_tokens).filter(|i| input.roles[*i] == Role::Latent).collect();
        let rows = if capture.full_attentions {
            (0..num_tokens).collect()
        } else if capture.rows {
            latents.clone()
        } else {
            Vec::new()
        };
        let mut tap = Collector::new(self.model.text.num_layers(), rows, self.observer);
        tap.keep_hidden = capture.full_hidden;
        tap.phase = Some(Phase::Prompt);
        let device = self.model.device();
        let mask = Mask::new(self.request.settings.mask, &self.roles, num_tokens, device)?;
        let visual: Vec<u32> = input.image_spans.iter().flat_map(|s| s.range()).map(|i| i as u32).collect();
        let visual = features.map(|_| Tensor::new(visual, device)).transpose()?;
        let pass = Pass {
            embeddings: self.model.embed(&input.input_ids, &input.image_spans, features)?,
            positions: &input.positions,
            mask: &mask,
            deepstack: visual.as_ref().zip(features).map(|(at, f)| (at, f.deepstack.as_slice())),
            cache: Some(&mut self.cache),
            math: self.request.math,
        };
        let hidden = self.model.text.forward(pass, &mut tap)?;
        self.cache.advance(num_tokens);
        let wanted = if capture.full_logits { hidden } else { hidden.narrow(0, num_tokens - 1, 1)? };
        let mut trace = Trace {
            input_ids: input.input_ids.clone(),
            roles: input.roles.clone(),
            positions: input.positions.clone(),
            grids: input.grids.clone(),
            merge_size: input.merge_size,
            image_spans: input.image_spans.clone(),
            pixel_values: input.pixel_values.clone(),
            text: input.text.clone(),
            logits: to_host(&self.model.text.logits(&wanted)?)?,
            settings: self.request.settings.clone(),
            ..Trace::default()
        };
        if capture.full_hidden {
            trace.hidden_states = Some(tap.take_hidden()?);
        }
        if capture.full_attentions {
            let full = tap.take_attention()?;
            if !latents.is_empty() {
                trace.latent_attentions = Some(select_rows(&full, &latents));
            }
            trace.attentions = Some(full);
        } else if capture.rows && !latents.is_empty() {
            trace.latent_attentions = Some(tap.take_attention()?);
        }
        Ok(trace)
    }

    /// Feeds tokens behind the cache; returns their hidden states after the final norm, [T, D].
    fn feed(&mut self, ids: &[u32], tap: &mut Collector<'_>) -> Result<Tensor> {
        let held = self.cache.len();
        let choice = self.request.settings.latents;
        self.roles.truncate(held);
        self.roles.extend(ids.iter().map(|id| self.processor.generated_role(*id, choice)));
        let mask = Mask::new(self.request.settings.mask, &self.roles, ids.len(), self.model.device())?;
        let first = self.request.input.next_position + (held - self.request.input.num_tokens()) as i64;
        let positions: Vec<[i64; 3]> = (0..ids.len()).map(|i| [first + i as i64; 3]).collect();
        let pass = Pass {
            embeddings: self.model.text.embed(ids)?,
            positions: &positions,
            mask: &mask,
            deepstack: None,
            cache: Some(&mut self.cache),
            math: self.request.math,
        };
        let hidden = self.model.text.forward(pass, tap)?;
        self.cache.advance(ids.len());
        Ok(hidden)
    }

    fn answer(&mut self, trace: &mut Trace, max_new_tokens: usize) -> Result<()> {
        let keep_rows = self.request.settings.capture.rows;
        let num_layers = self.model.text.num_layers();
        let vocab = *trace.logits.shape.last().unwrap_or(&0);
        let mut sampler = Sampler::new(self.request.settings.decoding);
        let mut logits = trace.logits.data[trace.logits.data.len() - vocab..].to_vec();
        let mut rows = Vec::new();
        let mut ids = Vec::new();
        trace.generated_logits = Array { shape: vec![0, vocab], data: Vec::new() };
        loop {
            self.observer.progress(Progress {
                phase: Phase::Answer,
                done: ids.len(),
                total: max_new_tokens,
            })?;
            if logits.iter().any(|l| l.is_nan()) {
                return Err(Error::Request(
                    "the model's output is not a number: try --dtype f32, or check the weights".to_owned(),
                ));
            }
            let id = sampler.next(&logits);
            trace.generated.push(self.describe(id, &logits));
            trace.generated_logits.data.extend_from_slice(&logits);
            trace.generated_logits.shape[0] += 1;
            ids.push(id);
            let answer = self.processor.decode(&ids);
            answer.trim().clone_into(&mut trace.answer);
            self.observer.answer_grew(&trace.answer);
            let is_last = ids.len() == max_new_tokens || self.processor.ends_turn(id);
            if is_last && !keep_rows {
                break;
            }
            // The last token is fed too, only for its attention row.
            let mut tap =
                Collector::new(num_layers, if keep_rows { vec![0] } else { Vec::new() }, self.observer);
            let hidden = self.feed(&[id], &mut tap)?;
            if keep_rows {
                rows.push(tap.take_attention()?);
            }
            if is_last {
                break;
            }
            logits = to_host(&self.model.text.logits(&hidden)?)?.data;
        }
        if keep_rows {
            trace.answer_attentions = Some(join_rows(&rows));
        }
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
    fn score_choices(&mut self, trace: &Trace, choice_ids: &[Vec<u32>]) -> Result<Vec<ChoiceScore>> {
        if choice_ids.is_empty() {
            return Ok(Vec::new());
        }
        let vocab = *trace.logits.shape.last().unwrap_or(&0);
        let first = log_softmax(&trace.logits.data[trace.logits.data.len() - vocab..]);
        if let Some(id) = choice_ids.iter().flatten().find(|id| **id as usize >= vocab) {
            let text = self.processor.token_text(*id);
            return Err(Error::Request(format!("a choice holds {text}, which this model cannot answer")));
        }
        let num_tokens = self.request.input.num_tokens();
        let mut logprobs = Vec::new();
        for (done, ids) in choice_ids.iter().enumerate() {
            self.observer.progress(Progress { phase: Phase::Choices, done, total: choice_ids.len() })?;
            let mut logprob = first[ids[0] as usize];
            if ids.len() > 1 {
                self.cache.truncate(num_tokens);
                let mut tap = Collector::new(self.model.text.num_layers(), Vec::new(), self.observer);
                let hidden = self.feed(&ids[..ids.len() - 1], &mut tap)?;
                let logits = to_host(&self.model.text.logits(&hidden)?)?;
                for (i, id) in ids[1..].iter().enumerate() {
                    logprob += log_softmax(logits.at(&[i]))[*id as usize];
                }
            }
            logprobs.push(logprob);
        }
        let shares = log_softmax(&logprobs);
        let scores = self.request.choices.iter().zip(logprobs).zip(shares);
        Ok(scores
            .map(|((choice, logprob), share)| ChoiceScore {
                choice: choice.clone(),
                logprob,
                probability: share.exp(),
            })
            .collect())
    }
}

/// [L, H, N, S] and row numbers -> [L, H, R, S].
fn select_rows(full: &Array, rows: &[usize]) -> Array {
    let [layers, heads, _, keys] = full.shape[..] else { unreachable!("attention has four axes") };
    let mut out = Array { shape: vec![layers, heads, rows.len(), keys], data: Vec::new() };
    for layer in 0..layers {
        for head in 0..heads {
            for row in rows {
                out.data.extend_from_slice(full.at(&[layer, head, *row]));
            }
        }
    }
    out
}

/// One [L, H, 1, N+i+1] per generated token -> [L, H, G, N+G], zeros where a key was not there yet.
fn join_rows(rows: &[Array]) -> Array {
    let Some(last) = rows.last() else { return Array::default() };
    let (layers, heads, width) = (last.shape[0], last.shape[1], last.shape[3]);
    let mut out = Array::zeros(&[layers, heads, rows.len(), width]);
    for layer in 0..layers {
        for head in 0..heads {
            for (i, row) in rows.iter().enumerate() {
                let values = row.at(&[layer, head, 0]);
                let start = ((layer * heads + head) * rows.len() + i) * width;
                out.data[start..start + values.len()].copy_from_slice(values);
            }
        }
    }
    out
}
