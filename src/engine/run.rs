//! A run: the prompt, then the answer token by token, then the choices; a [`Trace`] comes out. Several runs go
//! through the model together.

use std::time::Instant;

use candle_core::Tensor;

use super::collector::{HiddenCollector, RowCollector};
use super::decode::Decoder;
use super::need::{RunNeed, RunShape};
use super::sampler::log_softmax;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::model::cache::KvCache;
use crate::model::compute::Compute;
use crate::model::tap::Tap;
use crate::model::text::{Pass, Sequence};
use crate::model::vision::VisualFeatures;
use crate::model::{Model, to_host};
use crate::progress::{Phase, Progress};
use crate::settings::{AttentionRows, LogitRows, Settings};
use crate::trace::{AnswerRows, ChoiceScore, Trace};
use crate::units::Role;

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
}

/// The state of a run between passes.
struct Run<'a> {
    processor: &'a Processor,
    job: Job<'a>,
    cache: KvCache,
    /// Of all tokens in the cache and the next pass.
    roles: Vec<Role>,
    /// Scores after the prompt, [V].
    after_prompt: Vec<f32>,
    /// Rows to go on with, where rows are kept.
    answer_rows: Option<AnswerRows>,
    max_new_tokens: usize,
    choice_ids: Vec<Vec<u32>>,
    trace: Trace,
}

/// Tokens that go behind a run's cache, and who watches them.
struct Feed<'a, 'r> {
    run: &'a mut Run<'r>,
    ids: Vec<u32>,
    tap: Option<&'a mut dyn Tap>,
}

/// Answers prepared samples, all of them in the same passes. `free_bytes` is the memory there is, where the system
/// says: what would keep more is refused.
pub fn run(
    model: &Model,
    processor: &Processor,
    jobs: Vec<Job<'_>>,
    free_bytes: Option<u64>,
    compute: &Compute<'_>,
) -> Result<Vec<Trace>> {
    let mut runs = jobs.into_iter().map(|job| Run::new(model, processor, job)).collect::<Result<Vec<_>>>()?;
    let mut need = RunNeed::default();
    let shape = RunShape::new(&model.config, model.precision().dtype);
    for run in &runs {
        need += RunNeed::new(shape, &run.roles, run.max_new_tokens, &run.job.settings.capture);
    }
    need.check(free_bytes)?;

    let started = Instant::now();
    read_prompts(model, &mut runs, compute)?;
    let prompt_secs = started.elapsed().as_secs_f64();

    if let [run] = runs.as_slice() {
        compute.observer.prompt_read(&run.trace);
    }

    let started = Instant::now();
    answer(model, &mut runs, compute)?;
    let answer_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    for run in runs.iter_mut().filter(|run| !run.trace.stopped) {
        match run.score_choices(model, compute) {
            Err(Error::Cancelled) if compute.observer.keeps_stopped_answers() => run.trace.stopped = true,
            scored => run.trace.choices = scored?,
        }
    }
    let choices_secs = started.elapsed().as_secs_f64();
    let finished = |mut run: Run<'_>| {
        let timings = &mut run.trace.timings;
        (timings.prompt_secs, timings.answer_secs, timings.choices_secs) =
            (prompt_secs, answer_secs, choices_secs);
        run.trace
    };
    Ok(runs.into_iter().map(finished).collect())
}

impl<'a> Run<'a> {
    fn new(model: &Model, processor: &'a Processor, job: Job<'a>) -> Result<Self> {
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
        let longest_choice = choice_ids.iter().map(Vec::len).max().unwrap_or(0);
        let cache = KvCache::new(model.text.num_layers(), num_tokens + max_new_tokens.max(longest_choice));
        let input = &job.input;
        let trace = Trace {
            input_ids: input.input_ids.clone(),
            roles: input.roles.clone(),
            positions: input.positions.clone(),
            grids: input.grids.clone(),
            patch_size: input.patch_size,
            merge_size: input.merge_size,
            image_spans: input.image_spans.clone(),
            text: input.text.clone(),
            settings: job.settings.clone(),
            ..Trace::default()
        };
        let roles = input.roles.clone();
        Ok(Self {
            processor,
            job,
            cache,
            roles,
            after_prompt: Vec::new(),
            answer_rows: None,
            max_new_tokens,
            choice_ids,
            trace,
        })
    }

    fn latents(&self) -> Vec<usize> {
        (0..self.job.input.num_tokens()).filter(|i| self.roles[*i] == Role::Latent).collect()
    }

    /// Puts what the prompt left into the trace.
    fn keep(
        &mut self,
        model: &Model,
        output: &Tensor,
        kept: PromptTaps,
        compute: &Compute<'_>,
    ) -> Result<()> {
        let capture = &self.job.settings.capture;
        let last = output.narrow(0, output.dim(0)? - 1, 1)?;
        let last = to_host(&model.text.logits(&last, compute)?)?;
        self.after_prompt = last.data().to_vec();
        self.trace.logits = match capture.logits {
            LogitRows::Nothing => None,
            LogitRows::Answer => Some(last),
            LogitRows::Full => Some(all_logits(model, output, compute)?),
        };
        let latents = self.latents();
        let before = kept.last_row.finish().map(|rows| {
            let &[layers, heads, _, keys] = rows.shape() else { unreachable!("attention has four axes") };
            rows.reshaped([layers, heads, keys])
        });
        self.answer_rows = (capture.attention != AttentionRows::Nothing).then(|| AnswerRows::after(before));
        (self.trace.attentions, self.trace.latent_attentions) = match (capture.attention, kept.rows.finish())
        {
            (AttentionRows::Full, Some(full)) => {
                let of_latents = (!latents.is_empty()).then(|| select_rows(&full, &latents));
                (Some(full), of_latents)
            }
            (_, rows) => (None, rows),
        };
        self.trace.hidden_states = kept.hidden.map(HiddenCollector::finish);
        Ok(())
    }

    /// Log-probability of each choice's tokens after the prompt.
    fn score_choices(&mut self, model: &Model, compute: &Compute<'_>) -> Result<Vec<ChoiceScore>> {
        if self.choice_ids.is_empty() {
            return Ok(Vec::new());
        }
        let first = log_softmax(&self.after_prompt);
        let score = |row: &[f32], id: u32| row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let num_tokens = self.job.input.num_tokens();
        let mut logprobs = Vec::new();
        for (done, ids) in self.choice_ids.clone().into_iter().enumerate() {
            let progress = Progress { phase: Phase::Choices, done, total: self.choice_ids.len() };
            compute.observer.progress(progress)?;
            let mut logprob = score(&first, ids[0]);
            if ids.len() > 1 {
                self.cache.truncate(num_tokens);
                let fed = ids[..ids.len() - 1].to_vec();
                let hidden = feed(model, vec![Feed { run: self, ids: fed, tap: None }], compute)?;
                let logits = to_host(&model.text.logits(&hidden, compute)?)?;
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

/// What is taken out of the pass over the prompt.
struct PromptTaps {
    rows: RowCollector,
    /// Of the token that says the first of the answer.
    last_row: RowCollector,
    hidden: Option<HiddenCollector>,
}

impl PromptTaps {
    fn of(run: &Run<'_>) -> Self {
        let capture = &run.job.settings.capture;
        let all = 0..run.roles.len();
        let (rows, last) = match capture.attention {
            AttentionRows::Nothing => (Vec::new(), None),
            AttentionRows::LatentsAndAnswer => (run.latents(), all.last()),
            AttentionRows::Full => (all.clone().collect(), all.last()),
        };
        Self {
            rows: RowCollector::new(rows),
            last_row: RowCollector::new(last.into_iter().collect()),
            hidden: capture.hidden.clone().map(HiddenCollector::new),
        }
    }
}

/// Reads all prompts in one pass.
fn read_prompts(model: &Model, runs: &mut [Run<'_>], compute: &Compute<'_>) -> Result<()> {
    let mut watching: Vec<_> = runs.iter().map(PromptTaps::of).collect();
    let (mut embeddings, mut positions, mut visual, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut deepstack: Vec<Vec<Tensor>> = Vec::new();
    for run in &*runs {
        let (input, features) = (&run.job.input, run.job.features.as_ref());
        embeddings.push(model.embed(&input.input_ids, &input.image_spans, features)?);
        positions.extend_from_slice(&input.positions);
        if let Some(features) = features {
            let places = input.image_spans.iter().flat_map(|span| span.range());
            visual.extend(places.map(|place| (start + place) as u32));
            deepstack.resize(features.deepstack.len(), Vec::new());
            deepstack.iter_mut().zip(&features.deepstack).for_each(|(layer, own)| layer.push(own.clone()));
        }
        start += input.num_tokens();
    }
    // Without features there are no places: a GPU has no tensor of nothing.
    let places = if deepstack.is_empty() { vec![0] } else { visual };
    let visual = Tensor::new(places, model.device())?;
    let deepstack =
        deepstack.into_iter().map(|parts| Ok(Tensor::cat(&parts, 0)?)).collect::<Result<Vec<_>>>()?;
    let sequences = runs.iter_mut().zip(&mut watching).map(|(run, kept)| {
        let mut taps: Vec<&mut dyn Tap> = vec![&mut kept.rows, &mut kept.last_row];
        taps.extend(kept.hidden.as_mut().map(|tap| -> &mut dyn Tap { tap }));
        let rule = run.job.settings.mask.rule();
        Sequence { roles: &run.roles, rule, cache: Some(&mut run.cache), taps }
    });
    let pass = Pass {
        embeddings: Tensor::cat(&embeddings, 0)?,
        positions: &positions,
        sequences: sequences.collect(),
        deepstack: (!deepstack.is_empty()).then_some((&visual, deepstack.as_slice())),
        phase: Some(Phase::Prompt),
        compute: *compute,
    };
    let output = model.text.forward(pass)?;
    let mut start = 0;
    for (run, kept) in runs.iter_mut().zip(watching) {
        let len = run.job.input.num_tokens();
        run.keep(model, &output.narrow(0, start, len)?, kept, compute)?;
        start += len;
    }
    Ok(())
}

/// Feeds tokens behind caches, all in one pass; returns their hidden states after the final norm, [T, D].
fn feed(model: &Model, feeds: Vec<Feed<'_, '_>>, compute: &Compute<'_>) -> Result<Tensor> {
    let (mut all, mut positions, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
    for Feed { run, ids, tap } in feeds {
        let held = run.cache.len();
        let settings = run.job.settings;
        run.roles.truncate(held);
        run.roles.extend(ids.iter().map(|id| run.processor.generated_role(*id, settings.latents)));
        let first = run.job.input.next_position + (held - run.job.input.num_tokens()) as i64;
        positions.extend((0..ids.len()).map(|i| [first + i as i64; 3]));
        all.extend(ids);
        sequences.push(Sequence {
            roles: &run.roles,
            rule: settings.mask.rule(),
            cache: Some(&mut run.cache),
            taps: tap.into_iter().collect(),
        });
    }
    model.text.forward(Pass {
        embeddings: model.text.embedding().forward(&all)?,
        positions: &positions,
        sequences,
        deepstack: None,
        phase: None,
        compute: *compute,
    })
}

/// Answers all prompts, a token of each at a time.
fn answer(model: &Model, runs: &mut [Run<'_>], compute: &Compute<'_>) -> Result<()> {
    let start = |run: &mut Run<'_>| {
        Decoder::new(
            run.processor,
            run.job.settings,
            &run.job.input.input_ids,
            run.max_new_tokens,
            &run.after_prompt,
            run.answer_rows.take(),
        )
    };
    let mut decoders: Vec<Decoder> = runs.iter_mut().map(start).collect();
    let stopped = match decode(model, runs, &mut decoders, compute) {
        Err(Error::Cancelled) if compute.observer.keeps_stopped_answers() => true,
        ended => {
            ended?;
            false
        }
    };
    for (run, decoder) in runs.iter_mut().zip(decoders) {
        decoder.finish(run.processor, &mut run.trace, stopped);
    }
    Ok(())
}

/// Takes decoders to the ends of their answers.
fn decode(
    model: &Model,
    runs: &mut [Run<'_>],
    decoders: &mut [Decoder],
    compute: &Compute<'_>,
) -> Result<()> {
    let alone = runs.len() == 1;
    while decoders.iter().any(Decoder::is_open) {
        let mut watching: Vec<Option<RowCollector>> = Vec::new();
        for (run, decoder) in runs.iter_mut().zip(decoders.iter_mut()) {
            let feeds = decoder.is_open() && {
                let progress =
                    Progress { phase: Phase::Answer, done: decoder.num_tokens(), total: run.max_new_tokens };
                compute.observer.progress(progress)?;
                decoder.choose(run.processor, &mut run.trace)?
            };
            if alone {
                compute.observer.answer_grew(&run.trace.answer);
            }
            let place = run.cache.len();
            let rows = if decoder.keeps_rows() { vec![place] } else { Vec::new() };
            watching.push(feeds.then(|| RowCollector::new(rows)));
        }
        let fed: Vec<usize> = (0..runs.len()).filter(|i| watching[*i].is_some()).collect();
        if fed.is_empty() {
            break;
        }
        let each = runs.iter_mut().zip(decoders.iter()).zip(&mut watching);
        let feeds = each.filter_map(|((run, decoder), tap)| {
            let tap: &mut dyn Tap = tap.as_mut()?;
            Some(Feed { run, ids: vec![decoder.last()], tap: Some(tap) })
        });
        let hidden = feed(model, feeds.collect(), compute)?;
        let more = fed.iter().any(|i| decoders[*i].is_open());
        let logits = if more { Some(to_host(&model.text.logits(&hidden, compute)?)?) } else { None };
        for (row, i) in fed.into_iter().enumerate() {
            decoders[i].keep_rows(watching[i].take());
            if let Some(logits) = &logits {
                decoders[i].scores(logits.at(&[row]));
            }
        }
    }
    Ok(())
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
