//! What a run leaves: plain numbers on the host, for the screen, for probes and for files.

mod answer_rows;
mod parts;
mod receipt;
mod recording;

pub use self::answer_rows::AnswerRows;
pub use self::parts::{
    Alternative, AnswerPart, Applied, CHANGED_NOTHING, ChoiceScore, GeneratedToken, HiddenStates, InputPart,
    Intervened, PromptPart, SHAM_FAILED, Timings,
};
pub use self::receipt::Receipt;
pub use self::recording::Recording;
use crate::array::Array;
use crate::ask::{Condition, Edit, SequenceChange};
use crate::units::{GridThw, HeadIdx, LayerIdx, Role, Span};

/// One run of a model on a sample under a condition. N prompt tokens with latents, G generated, L layers,
/// H heads, K latents, D hidden size, V vocabulary, I images.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// [N], after placeholder expansion and latents.
    pub input_ids: Vec<u32>,
    /// [N].
    pub roles: Vec<Role>,
    /// [N]: temporal, height and width.
    pub positions: Vec<[i64; 3]>,
    /// [I], in patches, before merging.
    pub grids: Vec<GridThw>,
    /// Pixels on a side of a patch.
    pub patch_size: usize,
    /// Patches on a side of a visual token.
    pub merge_size: usize,
    /// Where each image's tokens are, [I].
    pub image_spans: Vec<Span>,
    /// [patches, C*T*P*P] where asked for.
    pub pixel_values: Option<Array>,
    /// [N, V], or [1, V] of the last prompt position, where asked for.
    pub logits: Option<Array>,
    /// Hidden states where asked for.
    pub hidden_states: Option<HiddenStates>,
    /// [L, H, N, N] where asked for.
    pub attentions: Option<Array>,
    /// [L, H, K, N] where there are latents and rows were kept.
    pub latent_attentions: Option<Array>,
    /// Rows of the generated tokens where rows were kept.
    pub answer_attentions: Option<AnswerRows>,
    /// [G].
    pub generated: Vec<GeneratedToken>,
    /// [G, V] where asked for: the model's scores, before penalty, temperature, top-k and nucleus.
    pub generated_logits: Option<Array>,
    /// The offered answers, in their order.
    pub choices: Vec<ChoiceScore>,
    /// The generated text without special tokens.
    pub answer: String,
    /// Was the answer stopped before its end?
    pub stopped: bool,
    /// The rendered prompt.
    pub text: String,
    /// The model's folder name.
    pub model: String,
    /// The adapter's folder name, or nothing.
    pub adapter: String,
    /// How it was asked.
    pub condition: Condition,
    /// What each edit of the condition changed.
    pub interventions: Vec<Intervened>,
    /// What the edits did, beside the run without them, where that was asked too.
    pub receipt: Option<Box<Receipt>>,
    /// [D]: the state of the prompt's last token behind the final norm; nothing once a receipt has been made
    /// of it.
    pub last_state: Vec<f32>,
    /// What another run may take over, where asked for.
    pub recording: Option<Box<Recording>>,
    /// What automatic settings came to.
    pub applied: Applied,
    /// Seconds by stage.
    pub timings: Timings,
}

impl Trace {
    /// How likely the answer was: its share among the choices where these were scored, else the product over the tokens that
    /// say it, without those that end it. Nothing where nothing was said.
    pub fn certainty(&self) -> Option<f32> {
        let of_choices = self.choices.iter().map(|choice| choice.probability).reduce(f32::max);
        of_choices.or_else(|| {
            let said = self.generated.iter().filter(|token| !token.text.starts_with("<|"));
            let logs: Vec<f32> = said.map(|token| token.logprob).collect();
            (!logs.is_empty()).then(|| logs.iter().sum::<f32>().exp())
        })
    }

    /// Numbers of its latents among those of the prompt before any were taken out.
    pub fn latent_numbers(&self) -> Vec<usize> {
        let count = self.roles.iter().filter(|role| **role == Role::Latent).count();
        let gone = gone(self.condition.acting());
        (0..).filter(|number| !gone.contains(number)).take(count).collect()
    }

    /// Out of what each stage of a run left.
    pub fn assemble(prepared: InputPart, read: PromptPart, answered: AnswerPart, timings: Timings) -> Self {
        Self {
            input_ids: prepared.input_ids,
            roles: prepared.roles,
            positions: prepared.positions,
            grids: prepared.grids,
            patch_size: prepared.patch_size,
            merge_size: prepared.merge_size,
            image_spans: prepared.image_spans,
            pixel_values: prepared.pixel_values,
            logits: read.logits,
            hidden_states: read.hidden_states,
            attentions: read.attentions,
            latent_attentions: read.latent_attentions,
            answer_attentions: answered.attentions,
            generated: answered.generated,
            generated_logits: answered.logits,
            choices: answered.choices,
            answer: answered.answer,
            stopped: answered.stopped,
            text: prepared.text,
            model: prepared.model,
            adapter: prepared.adapter,
            condition: prepared.condition,
            interventions: prepared.interventions,
            receipt: None,
            last_state: read.last_state,
            recording: read.recording,
            applied: prepared.applied,
            timings,
        }
    }

    /// Who answered: "Qwen2.5-VL-3B-Instruct + livr-counting".
    pub fn model_name(&self) -> String {
        if self.adapter.is_empty() {
            self.model.clone()
        } else {
            format!("{} + {}", self.model, self.adapter)
        }
    }

    /// Positions with a role, ascending.
    pub fn positions_of(&self, role: Role) -> impl Iterator<Item = usize> {
        self.roles.iter().enumerate().filter(move |(_, r)| **r == role).map(|(i, _)| i)
    }

    /// K.
    pub fn num_latents(&self) -> usize {
        self.positions_of(Role::Latent).count()
    }

    /// L and H of the kept rows; zeros where none were kept.
    pub fn attention_dims(&self) -> (usize, usize) {
        match (&self.latent_attentions, &self.answer_attentions) {
            (Some(rows), _) => (rows.shape()[0], rows.shape()[1]),
            (None, Some(rows)) => match &rows.before {
                Some(before) => (before.shape()[0], before.shape()[1]),
                None => (rows.shape()[0], rows.shape()[1]),
            },
            (None, None) => (0, 0),
        }
    }

    /// Bytes of all that was captured, nearly.
    pub fn captured_bytes(&self) -> usize {
        let arrays = [
            &self.pixel_values,
            &self.logits,
            &self.attentions,
            &self.latent_attentions,
            &self.generated_logits,
        ];
        let arrays = arrays.into_iter().flatten();
        let states = self.hidden_states.iter().map(|states| &states.values);
        let answer = self.answer_attentions.iter().flat_map(|rows| rows.tokens.iter().chain(&rows.before));
        let values: usize = arrays.chain(states).chain(answer).map(|array| array.data().len()).sum();
        values * size_of::<f32>()
    }

    /// The same with nothing but the answer and what it was made of.
    #[must_use]
    pub fn without_captures(&self) -> Self {
        let none = Self::default();
        // Not cloned only to be thrown away.
        Self {
            input_ids: self.input_ids.clone(),
            roles: self.roles.clone(),
            positions: self.positions.clone(),
            grids: self.grids.clone(),
            image_spans: self.image_spans.clone(),
            generated: self.generated.clone(),
            choices: self.choices.clone(),
            answer: self.answer.clone(),
            stopped: self.stopped,
            text: self.text.clone(),
            model: self.model.clone(),
            adapter: self.adapter.clone(),
            condition: self.condition.clone(),
            interventions: self.interventions.clone(),
            patch_size: self.patch_size,
            merge_size: self.merge_size,
            applied: self.applied,
            timings: self.timings,
            ..none
        }
    }

    /// What maps of the latents are made of, and nothing else that was captured.
    #[must_use]
    pub fn with_latent_rows_alone(&self) -> Self {
        Self { latent_attentions: self.latent_attentions.clone(), ..self.without_captures() }
    }

    /// Attention probabilities of latent `latent` over the N prompt tokens.
    pub fn latent_row(&self, layer: LayerIdx, head: HeadIdx, latent: usize) -> Option<&[f32]> {
        let rows = self.latent_attentions.as_ref().filter(|rows| latent < rows.shape()[2])?;
        Some(rows.at(&[layer.0, head.0, latent]))
    }

    /// Attention probabilities of generated token `token` over the tokens up to itself.
    pub fn answer_row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        self.answer_attentions.as_ref()?.row(layer, head, token)
    }

    /// Attention probabilities that generated token `token` was said from, see [`AnswerRows::saying`].
    pub fn saying_row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        self.answer_attentions.as_ref()?.saying(layer, head, token)
    }

    /// Height and width in pixels at which an image was read.
    pub fn read_size(&self, image: usize) -> (usize, usize) {
        let grid = self.grids[image];
        (grid.h * self.patch_size, grid.w * self.patch_size)
    }
}

/// Numbers of latents that statements name to be taken out, one by one: what is taken out as a whole leaves none to number.
fn gone(edits: &[Edit]) -> Vec<usize> {
    let named = edits.iter().filter_map(|edit| match edit {
        Edit::Sequence { tokens, change: SequenceChange::Remove | SequenceChange::Gap } => Some(tokens),
        _ => None,
    });
    named.flat_map(|tokens| &tokens.0).filter_map(|part| part.index.clone()).flatten().collect()
}
