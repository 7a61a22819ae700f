//! Runs: the prompt, then the answer step by step, then the choices; a [`Trace`] comes out of each. Several go through the
//! model together, each under a condition of its own.

use std::time::Instant;

use candle_core::Tensor;

use super::AnswerWatch;
use super::collector::RowCollector;
use super::decode::{Decoder, Fed};
use super::prompt;
use super::sampler::log_softmax;
use super::state::{Job, RunState, prepared};
use crate::engine::need::{RunNeed, RunShape};
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::model::compute::Compute;
use crate::model::tap::Tap;
use crate::model::text::{Pass, Sequence};
use crate::model::{Model, to_host};
use crate::progress::{Phase, Progress};
use crate::trace::{ChoiceScore, Timings, Trace};
use crate::units::Role;

/// What goes behind a run's cache, and who watches it.
struct Feed<'a, 'r> {
    run: &'a mut RunState<'r>,
    fed: Vec<Fed>,
    collector: Option<&'a mut RowCollector>,
}

/// Answers prepared samples, all of them in the same passes. `free_bytes` is the memory there is, where the system
/// says: what would keep more is refused.
pub(super) fn answer_together(
    model: &Model,
    processor: &Processor,
    jobs: Vec<Job<'_>>,
    free_bytes: Option<u64>,
    watch: &dyn AnswerWatch,
    compute: &Compute<'_>,
) -> Result<Vec<Trace>> {
    let start = |(i, job)| RunState::new(model, processor, job).map_err(|e| e.of_index(i));
    let mut runs = jobs.into_iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
    let mut need = RunNeed::default();
    let shape = RunShape::new(&model.config, model.precision().dtype);
    for run in &runs {
        need += RunNeed::new(shape, &run.roles, run.max_new_tokens, run.job.keep);
    }
    need.check(free_bytes)?;

    let started = Instant::now();
    prompt::read(model, &mut runs, compute)?;
    let prompt_secs = started.elapsed().as_secs_f64();

    if let [run] = runs.as_slice() {
        watch.prompt_read(&|| run.so_far());
    }

    let started = Instant::now();
    answer(model, &mut runs, watch, compute)?;
    let answer_secs = started.elapsed().as_secs_f64();

    let started = Instant::now();
    for run in runs.iter_mut().filter(|run| !run.answered.stopped) {
        match run.score_choices(model, compute) {
            Err(Error::Cancelled) if watch.keeps_stopped_answers() => run.answered.stopped = true,
            scored => run.answered.choices = scored?,
        }
    }
    let choices_secs = started.elapsed().as_secs_f64();
    let finished = |run: RunState<'_>| {
        let timings = Timings { prompt_secs, answer_secs, choices_secs, ..run.job.timings };
        Trace::assemble(prepared(run.job, run.intervention, run.applied), run.read, run.answered, timings)
    };
    Ok(runs.into_iter().map(finished).collect())
}

impl RunState<'_> {
    /// Log-probability of each choice's tokens after the prompt, in passes that are changed as that of the answer is.
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
                let fed = ids[..ids.len() - 1].iter().map(|id| Fed::Token(*id)).collect();
                let hidden = feed(model, vec![Feed { run: self, fed, collector: None }], compute)?;
                let logits = to_host(&model.text.logits(&hidden, &compute.of_steps())?)?;
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

/// Feeds tokens or states behind caches, all in one pass; returns the hidden states after the final norm, [T, D].
fn feed(model: &Model, feeds: Vec<Feed<'_, '_>>, compute: &Compute<'_>) -> Result<Tensor> {
    let compute = &compute.of_steps();
    let (mut embeddings, mut positions, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
    for Feed { run, fed, collector } in feeds {
        let held = run.cache.len();
        let condition = run.job.condition;
        run.roles.truncate(held);
        let roles: Vec<Role> = fed.iter().map(|fed| run.role_of(fed)).collect();
        run.roles.extend(roles);
        let first = run.job.input.next_position + (held - run.job.input.num_tokens()) as i64;
        positions.extend((0..fed.len()).map(|i| [first + i as i64; 3]));
        embeddings.push(Fed::embeddings(&fed, model)?);
        let mut taps: Vec<&mut dyn Tap> = Vec::new();
        taps.extend(run.intervention.as_mut().map(|tap| -> &mut dyn Tap { tap }));
        taps.extend(collector.map(|tap| -> &mut dyn Tap { tap }));
        let rule = condition.mask.rule();
        sequences.push(Sequence { roles: &run.roles, rule, cache: Some(&mut run.cache), taps });
    }
    model.text.forward(Pass {
        embeddings: if embeddings.len() == 1 { embeddings.remove(0) } else { Tensor::cat(&embeddings, 0)? },
        positions: &positions,
        sequences,
        deepstack: None,
        phase: None,
        compute: *compute,
    })
}

/// Answers all prompts, a step of each at a time.
fn answer(
    model: &Model,
    runs: &mut [RunState<'_>],
    watch: &dyn AnswerWatch,
    compute: &Compute<'_>,
) -> Result<()> {
    let start = |run: &mut RunState<'_>| {
        Decoder::new(
            run.processor,
            run.job.condition,
            run.job.keep,
            &run.job.input.input_ids,
            run.max_new_tokens,
            &run.after_prompt,
            run.answer_rows.take(),
        )
    };
    let mut decoders: Vec<Decoder> = runs.iter_mut().map(start).collect();
    let stopped = match decode(model, runs, &mut decoders, watch, compute) {
        Err(Error::Cancelled) if watch.keeps_stopped_answers() => true,
        ended => {
            ended?;
            false
        }
    };
    for (run, decoder) in runs.iter_mut().zip(decoders) {
        (run.answered, run.applied) = decoder.finish(run.processor, stopped);
    }
    Ok(())
}

/// Takes decoders to the ends of their answers.
fn decode(
    model: &Model,
    runs: &mut [RunState<'_>],
    decoders: &mut [Decoder],
    watch: &dyn AnswerWatch,
    compute: &Compute<'_>,
) -> Result<()> {
    let alone = runs.len() == 1;
    while decoders.iter().any(Decoder::is_open) {
        let mut fed: Vec<Option<(Fed, RowCollector)>> = Vec::new();
        for (run, decoder) in runs.iter_mut().zip(decoders.iter_mut()) {
            let mut next = None;
            if decoder.is_open() {
                let progress =
                    Progress { phase: Phase::Answer, done: decoder.num_tokens(), total: run.max_new_tokens };
                compute.observer.progress(progress)?;
                next = decoder.choose(run.processor)?;
            }
            if alone {
                watch.answer_grew(decoder.answer());
            }
            let rows = if decoder.keeps_rows() { vec![run.cache.len()] } else { Vec::new() };
            fed.push(next.map(|next| (next, RowCollector::new(rows))));
        }
        let stepping: Vec<usize> = (0..runs.len()).filter(|i| fed[*i].is_some()).collect();
        if stepping.is_empty() {
            break;
        }
        let each = runs.iter_mut().zip(&mut fed);
        let feeds = each.filter_map(|(run, fed)| {
            let (fed, collector) = fed.as_mut()?;
            Some(Feed { run, fed: vec![fed.clone()], collector: Some(collector) })
        });
        let hidden = feed(model, feeds.collect(), compute)?;
        let more = stepping.iter().any(|i| decoders[*i].is_open());
        let logits =
            if more { Some(to_host(&model.text.logits(&hidden, &compute.of_steps())?)?) } else { None };
        for (row, i) in stepping.into_iter().enumerate() {
            decoders[i].keep_rows(fed[i].take().map(|(_, collector)| collector));
            if let Some(logits) = &logits {
                decoders[i].scores(logits.at(&[row]));
            }
        }
    }
    Ok(())
}
