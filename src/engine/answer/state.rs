//! A run between two passes: what it was asked, what its cache holds, what it has left so far.

use super::decode::Fed;
use super::intervene::{EditedSequence, Intervention};
use crate::array::Array;
use crate::ask::{Condition, Keep};
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::cache::KvCache;
use crate::model::vision::VisualFeatures;
use crate::trace::{AnswerPart, AnswerRows, Applied, InputPart, PromptPart, Timings, Trace};
use crate::units::Role;

/// As what a model's answers are signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelName {
    /// The checkpoint's folder name.
    pub base: String,
    /// The adapter's; empty where there is none.
    pub adapter: String,
}

/// What a run needs besides the model.
pub struct Job<'a> {
    /// The prepared sample, without its pixels.
    pub input: ModelInput,
    /// [patches, C*T*P*P], where they are kept.
    pub pixels: Option<Array>,
    /// Visual tokens of its images; `None` without images.
    pub features: Option<VisualFeatures>,
    /// What was made of its latents.
    pub sequence: EditedSequence,
    /// What is changed in its passes.
    pub intervention: Option<Intervention>,
    /// Answers to score.
    pub choices: &'a [String],
    /// How it is asked.
    pub condition: &'a Condition,
    /// What is kept.
    pub keep: &'a Keep,
    /// What the condition's pixel budget came to.
    pub max_pixels: usize,
    /// Who answers.
    pub name: &'a ModelName,
    /// What getting here took.
    pub timings: Timings,
}

/// The state of a run between passes.
pub struct RunState<'a> {
    pub processor: &'a Processor,
    pub job: Job<'a>,
    pub cache: KvCache,
    /// Of all tokens in the cache and the next pass.
    pub roles: Vec<Role>,
    /// What the condition changes in every pass.
    pub intervention: Option<Intervention>,
    /// Ids of the latents that the prompt has.
    latent_ids: Vec<u32>,
    /// Scores after the prompt, [V].
    pub after_prompt: Vec<f32>,
    /// Rows to go on with, where rows are kept.
    pub answer_rows: Option<AnswerRows>,
    pub max_new_tokens: usize,
    pub choice_ids: Vec<Vec<u32>>,
    pub applied: Applied,
    pub read: PromptPart,
    pub answered: AnswerPart,
}

/// What a trace says of how its run was made.
pub fn prepared(job: Job<'_>, intervention: Option<Intervention>, applied: Applied) -> InputPart {
    let input = job.input;
    InputPart {
        input_ids: input.input_ids,
        roles: input.roles,
        positions: input.positions,
        grids: input.grids,
        patch_size: input.patch_size,
        merge_size: input.merge_size,
        image_spans: input.image_spans,
        pixel_values: job.pixels,
        text: input.text,
        model: job.name.base.clone(),
        adapter: job.name.adapter.clone(),
        condition: job.condition.clone(),
        interventions: intervention.map_or_else(Vec::new, Intervention::into_done),
        applied: Applied { max_pixels: job.max_pixels, ..applied },
    }
}

impl<'a> RunState<'a> {
    pub fn new(model: &Model, processor: &'a Processor, job: Job<'a>) -> Result<Self> {
        let num_tokens = job.input.num_tokens();
        let room = processor.max_positions().saturating_sub(num_tokens);
        let max_new_tokens = job.condition.decoding.max_new_tokens.min(room);
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
        let num_layers = model.text.num_layers();
        let cache = KvCache::new(num_layers, num_tokens + max_new_tokens.max(longest_choice));
        let input = &job.input;
        let roles = input.roles.clone();
        let latents = input.input_ids.iter().zip(&roles).filter(|(_, role)| **role == Role::Latent);
        let latent_ids = latents.map(|(id, _)| *id).collect();
        let mut job = job;
        let intervention = job.intervention.take();
        Ok(Self {
            processor,
            job,
            cache,
            roles,
            intervention,
            latent_ids,
            after_prompt: Vec::new(),
            answer_rows: None,
            max_new_tokens,
            choice_ids,
            applied: Applied::default(),
            read: PromptPart::default(),
            answered: AnswerPart::default(),
        })
    }

    /// What there is once the prompt has been read: what it is made of, and the rows of the latents.
    pub fn so_far(&self) -> Trace {
        let input = &self.job.input;
        let made_of = InputPart {
            input_ids: input.input_ids.clone(),
            roles: input.roles.clone(),
            positions: input.positions.clone(),
            grids: input.grids.clone(),
            patch_size: input.patch_size,
            merge_size: input.merge_size,
            image_spans: input.image_spans.clone(),
            text: input.text.clone(),
            model: self.job.name.base.clone(),
            adapter: self.job.name.adapter.clone(),
            condition: self.job.condition.clone(),
            interventions: self.intervention.iter().flat_map(|own| own.done.clone()).collect(),
            applied: Applied { max_pixels: self.job.max_pixels, ..self.applied },
            pixel_values: None,
        };
        let latent_attentions = self.read.latent_attentions.clone();
        let read = PromptPart { latent_attentions, ..PromptPart::default() };
        Trace::assemble(made_of, read, AnswerPart::default(), self.job.timings)
    }

    /// What a fed token or state is for: a latent's id is one where the prompt has that latent.
    pub fn role_of(&self, fed: &Fed) -> Role {
        match fed.role(self.processor, self.job.condition.latents) {
            Role::Latent if fed.token().is_some_and(|id| !self.latent_ids.contains(&id)) => Role::Answer,
            role => role,
        }
    }

    pub fn latents(&self) -> Vec<usize> {
        (0..self.job.input.num_tokens()).filter(|i| self.roles[*i] == Role::Latent).collect()
    }
}
