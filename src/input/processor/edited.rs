//! Prompts of which tokens are taken out: ids are, the text is never tokenised again.

use tokenizers::Tokenizer;

use super::Processor;
use crate::ask::LatentChoice;
use crate::data::sample::Sample;
use crate::error::Result;
use crate::input::latents::{Latents, add_names};
use crate::input::model_input::ModelInput;
use crate::input::positions::positions_of;
use crate::progress::Unobserved;
use crate::units::{Role, Span};

/// Where what is behind tokens that are taken out comes to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Positions are computed anew: it closes up.
    ClosesUp,
    /// It stays where it was.
    Stays,
}

impl Processor {
    /// Tokens of a rendered prompt, each image counted as one.
    ///
    /// # Errors
    /// As [`Processor::process`].
    pub fn length(&self, sample: &Sample, choice: LatentChoice) -> Result<usize> {
        let latents = self.latents.select(choice)?;
        Ok(self.encode_rendered(&self.render(sample, latents, &Unobserved)?, latents)?.len())
    }

    /// Token ids of a prompt that was rendered with these latents.
    pub(super) fn encode_rendered(&self, rendered: &str, latents: Latents<'_>) -> Result<Vec<u32>> {
        if latents.names.is_empty() || self.latents.trained > 0 {
            return self.encode(rendered);
        }
        // Spare rows, which the tokenizer has no names for outside such a run.
        let mut tokenizer = Tokenizer::clone(&self.tokenizer);
        add_names(&mut tokenizer, latents.names)?;
        self.encode_with(&tokenizer, rendered)
    }

    /// Takes tokens out of a prompt, none of them of an image, by their positions in it, ascending.
    pub fn without(&self, input: &mut ModelInput, gone: &[usize], behind: Behind) {
        let stays = |token: &usize| gone.binary_search(token).is_err();
        for token in gone {
            let name = self.token_text(input.input_ids[*token]);
            input.text = input.text.replacen(&name, "", 1);
        }
        let left: Vec<usize> = (0..input.num_tokens()).filter(stays).collect();
        let before = |place: usize| gone.partition_point(|token| *token < place);
        input.input_ids = left.iter().map(|token| input.input_ids[*token]).collect();
        input.roles = left.iter().map(|token| input.roles[*token]).collect();
        input.image_spans = input
            .image_spans
            .iter()
            .map(|span| Span { start: span.start - before(span.start), end: span.end - before(span.end) })
            .collect();
        match behind {
            Behind::Stays => input.positions = left.iter().map(|token| input.positions[*token]).collect(),
            Behind::ClosesUp => {
                let is_image = input.roles.iter().map(|role| *role == Role::Image);
                (input.positions, input.next_position) =
                    positions_of(self.family, is_image, &input.grids, input.merge_size);
            }
        }
    }
}
