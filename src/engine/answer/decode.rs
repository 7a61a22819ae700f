//! The answer of one run: what comes next, and what is kept of it.

use std::collections::BTreeSet;

use candle_core::Tensor;

use super::collector::RowCollector;
use super::sampler::{Sampler, log_softmax};
use crate::array::Array;
use crate::ask::{Condition, Keep, LatentChoice, LogitRows};
use crate::error::{Error, Result};
use crate::input::processor::Processor;
use crate::model::Model;
use crate::trace::{Alternative, AnswerPart, AnswerRows, Applied, GeneratedToken};
use crate::units::Role;

/// Likeliest tokens kept beside each generated one.
const NUM_ALTERNATIVES: usize = 8;

/// What a step feeds.
#[derive(Debug, Clone)]
pub(super) enum Fed {
    /// The embedding of a token.
    Token(u32),
    /// A state in the place of an embedding, [1, D]: that of a latent which the model makes itself.
    #[cfg_attr(not(test), expect(dead_code, reason = "models that generate latents choose it"))]
    State(Tensor),
}

impl Fed {
    /// What it is for, among latents as `choice` has them.
    pub(super) fn role(&self, processor: &Processor, choice: LatentChoice) -> Role {
        match self {
            Self::Token(id) => processor.generated_role(*id, choice),
            Self::State(_) => Role::Latent,
        }
    }

    /// What the decoder reads of several, [T, D].
    pub(super) fn embeddings(all: &[Self], model: &Model) -> Result<Tensor> {
        let ids: Option<Vec<u32>> = all.iter().map(Self::token).collect();
        if let Some(ids) = ids {
            return model.text.embedding().forward(&ids);
        }
        let one = |fed: &Self| match fed {
            Self::Token(id) => model.text.embedding().forward(&[*id]),
            Self::State(state) => Ok(state.clone()),
        };
        Ok(Tensor::cat(&all.iter().map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// The token, where it is one.
    pub(super) fn token(&self) -> Option<u32> {
        match self {
            Self::Token(id) => Some(*id),
            Self::State(_) => None,
        }
    }
}

/// An answer as it grows.
pub(super) struct Decoder {
    sampler: Sampler,
    applied: Applied,
    /// The tokens of the sequence so far.
    sequence: Vec<u32>,
    /// Each of them once.
    seen: BTreeSet<u32>,
    /// Scores of the next token, [V].
    logits: Vec<f32>,
    ids: Vec<u32>,
    generated: Vec<GeneratedToken>,
    answer: String,
    max_new_tokens: usize,
    open: bool,
    rows: Option<AnswerRows>,
    kept_logits: Option<Array>,
}

impl Decoder {
    /// After a prompt of `input_ids` that left these scores, and rows to go on with where rows are kept.
    pub fn new(
        processor: &Processor,
        condition: &Condition,
        keep: &Keep,
        input_ids: &[u32],
        max_new_tokens: usize,
        after_prompt: &[f32],
        rows: Option<AnswerRows>,
    ) -> Self {
        let (decoding, published) = (condition.decoding, processor.generation());
        let penalty = decoding.repetition_penalty.resolve(published.repetition_penalty).filter(|p| *p != 1.0);
        let samples = decoding.temperature > 0.0;
        let top_k = decoding.top_k.resolve(published.top_k).filter(|_| samples);
        let top_p = decoding.top_p.resolve(published.top_p).filter(|p| samples && *p < 1.0);
        Self {
            sampler: Sampler::new(decoding.temperature, top_k, top_p, decoding.seed),
            applied: Applied { repetition_penalty: penalty, top_k, top_p, ..Applied::default() },
            sequence: input_ids.to_vec(),
            seen: input_ids.iter().copied().collect(),
            logits: after_prompt.to_vec(),
            ids: Vec::new(),
            generated: Vec::new(),
            answer: String::new(),
            max_new_tokens,
            open: true,
            rows,
            kept_logits: (keep.logits != LogitRows::Nothing).then(Array::default),
        }
    }

    /// Is there a token to come?
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Tokens so far.
    pub fn num_tokens(&self) -> usize {
        self.ids.len()
    }

    /// Its text so far.
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// Are attention rows of the answer kept?
    pub fn keeps_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// Chooses what comes next. -> what is to be fed: the last token only where its attention row is kept.
    ///
    /// # Errors
    /// Scores that are no numbers.
    pub fn choose(&mut self, processor: &Processor) -> Result<Option<Fed>> {
        if self.logits.iter().any(|l| l.is_nan()) {
            return Err(Error::Request(
                "the model's output is not a number: try --dtype f32, or check the weights".to_owned(),
            ));
        }
        let mut scores = match self.applied.repetition_penalty {
            Some(penalty) => penalised(&self.logits, &self.seen, penalty),
            None => self.logits.clone(),
        };
        for id in self.barred(processor) {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
        let id = self.sampler.next(&scores);
        self.generated.push(describe(processor, id, &self.logits));
        if let Some(kept) = &mut self.kept_logits {
            kept.extend(Array::new([1, self.logits.len()], std::mem::take(&mut self.logits)));
        }
        self.seen.insert(id);
        self.sequence.push(id);
        self.ids.push(id);
        processor.decode(&self.ids).trim().clone_into(&mut self.answer);
        self.open = self.ids.len() < self.max_new_tokens && !processor.ends_turn(id);
        Ok((self.open || self.keeps_rows()).then_some(Fed::Token(id)))
    }

    /// Takes the attention row of the token fed last.
    pub fn keep_rows(&mut self, collector: Option<RowCollector>) {
        if let (Some(rows), Some(of_token)) = (&mut self.rows, collector.and_then(RowCollector::finish)) {
            let &[layers, heads, _, keys] = of_token.shape() else { unreachable!("attention has four axes") };
            rows.push(of_token.reshaped([layers, heads, keys]));
        }
    }

    /// Tokens that cannot come next, by what the checkpoint publishes.
    fn barred(&self, processor: &Processor) -> Vec<u32> {
        let published = processor.generation();
        let mut barred = published.suppressed.clone();
        if self.ids.is_empty() {
            barred.extend(&published.suppressed_first);
        }
        if self.ids.len() < published.min_new_tokens || self.sequence.len() < published.min_length {
            barred.extend(processor.end_of_turn());
        }
        if let Some(size) = published.no_repeat {
            barred.extend(repeats(&self.sequence, size));
        }
        barred
    }

    /// Takes the scores of the next token, [V].
    pub fn scores(&mut self, logits: &[f32]) {
        self.logits = logits.to_vec();
    }

    /// What was said and kept, and what settings came to. Of an answer that was stopped, tokens without their row do not
    /// count.
    pub fn finish(mut self, processor: &Processor, stopped: bool) -> (AnswerPart, Applied) {
        if let Some(rows) = self.rows.as_ref().filter(|_| stopped) {
            self.ids.truncate(rows.num_tokens());
            self.generated.truncate(rows.num_tokens());
            processor.decode(&self.ids).trim().clone_into(&mut self.answer);
            if let Some(kept) = self.kept_logits.as_mut().filter(|kept| kept.shape().len() == 2) {
                let (rows, width) = (rows.num_tokens().min(kept.shape()[0]), kept.shape()[1]);
                *kept = Array::new([rows, width], kept.data()[..rows * width].to_vec());
            }
        }
        let answered = AnswerPart {
            generated: self.generated,
            answer: self.answer,
            stopped,
            attentions: self.rows,
            logits: self.kept_logits,
            choices: Vec::new(),
        };
        (answered, self.applied)
    }
}

fn describe(processor: &Processor, id: u32, logits: &[f32]) -> GeneratedToken {
    let logprobs = log_softmax(logits);
    let mut ranked: Vec<u32> = (0..logprobs.len() as u32).collect();
    let count = NUM_ALTERNATIVES.min(ranked.len());
    let by_logprob = |a: &u32, b: &u32| logprobs[*b as usize].total_cmp(&logprobs[*a as usize]);
    ranked.select_nth_unstable_by(count - 1, by_logprob);
    ranked.truncate(count);
    ranked.sort_by(by_logprob);
    let alternatives = ranked
        .into_iter()
        .map(|id| Alternative {
            id,
            text: processor.token_text(id),
            probability: logprobs[id as usize].exp(),
        })
        .collect();
    GeneratedToken { id, text: processor.token_text(id), logprob: logprobs[id as usize], alternatives }
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

/// Tokens that would end a sequence of `size` tokens that is there already: those that followed its last `size - 1` before,
/// in the prompt too, as the reference's `NoRepeatNGramLogitsProcessor` counts.
fn repeats(sequence: &[u32], size: usize) -> Vec<u32> {
    let Some(start) = (sequence.len() + 1).checked_sub(size) else { return Vec::new() };
    let last = &sequence[start..];
    sequence
        .windows(size)
        .filter(|window| window[..size - 1] == *last)
        .map(|window| window[size - 1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{DeviceChoice, DtypeChoice};
    use crate::engine::ids::ModelId;
    use crate::engine::models::Models;
    use crate::progress::Unobserved;

    #[test]
    fn a_state_is_read_as_the_token_it_is_the_embedding_of() {
        let mut models = Models::default();
        let id = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32);
        models.open(&id, &Unobserved).unwrap();
        let open = models.session(&id).unwrap();
        let (model, processor) = (open.model(), open.processor());
        let values = |fed: &[Fed]| {
            let rows = Fed::embeddings(fed, model).unwrap();
            rows.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let state = Fed::State(model.text.embedding().forward(&[7]).unwrap());
        assert_eq!(values(&[Fed::Token(5), state.clone()]), values(&[Fed::Token(5), Fed::Token(7)]));
        assert_eq!(state.role(processor, LatentChoice::Auto), Role::Latent);
        assert_eq!(Fed::Token(7).role(processor, LatentChoice::Auto), Role::Answer);
    }

    #[test]
    fn what_would_be_said_twice_is_barred() {
        assert_eq!(repeats(&[1, 2, 3, 1, 2], 3), [3]);
        assert_eq!(repeats(&[1, 2, 1, 3, 1], 2), [2, 3]);
        assert_eq!(repeats(&[4, 5], 1), [4, 5]);
        assert!(repeats(&[1, 2], 4).is_empty() && repeats(&[], 2).is_empty());
    }

    #[test]
    fn a_penalty_makes_what_was_said_less_likely_either_side_of_zero() {
        let scores = penalised(&[2.0, -2.0, 3.0, 0.0], &BTreeSet::from([0, 1, 3, 99]), 2.0);
        assert_eq!(scores, [1.0, -4.0, 3.0, 0.0]);
    }
}
