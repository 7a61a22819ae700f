//! Whether a condition can be asked of a model, before it is asked.

use super::condition::Condition;
use super::edit::Edit;
use super::looks::Prompt;
use super::tokens::{LayerRange, TokenGroup, TokenPart, Tokens};
use crate::units::{Role, Span};

/// What the statements of a condition can speak of.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// K of the run.
    pub num_latents: usize,
    /// L.
    pub num_layers: usize,
    /// Of the sample; nothing where none is meant in particular.
    pub num_images: Option<usize>,
}

/// Why a condition cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It speaks of latents, and there are none.
    NoLatents(String),
    /// It speaks of tokens or layers that are not there.
    Absent(String),
}

impl Misfit {
    /// In words.
    pub fn into_text(self) -> String {
        let (Self::NoLatents(text) | Self::Absent(text)) = self;
        text
    }
}

impl Condition {
    /// Is there what its statements speak of? Numbers of visual tokens and of words are known once a sample is prepared.
    ///
    /// # Errors
    /// What is not there.
    pub fn fits(&self, reach: Reach) -> Result<(), Misfit> {
        let takes_out = self.edits.iter().any(|edit| matches!(edit, Edit::Sequence { .. }));
        for edit in &self.edits {
            let ranges = edit.layer_ranges();
            let layers =
                edit.layers().into_iter().map(|layer| LayerRange { first: layer, last: Some(layer) });
            for range in ranges.into_iter().chain(layers) {
                range.check(reach.num_layers).map_err(Misfit::Absent)?;
            }
            // Which latents are left where some are taken out is known once a sample is prepared.
            let is_known = |part: &&TokenPart| {
                let is_sequence = matches!(edit, Edit::Sequence { .. });
                !takes_out
                    || is_sequence
                    || !matches!(part.group, TokenGroup::Latents | TokenGroup::Tail | TokenGroup::Readers)
            };
            let parts = edit.selections().into_iter().flat_map(|tokens| &tokens.0);
            parts.filter(is_known).try_for_each(|part| reach.has(part))?;
        }
        Ok(())
    }
}

impl Reach {
    fn has(self, part: &TokenPart) -> Result<(), Misfit> {
        let is_of_latents =
            matches!(part.group, TokenGroup::Latents | TokenGroup::Tail | TokenGroup::Readers);
        // A prompt of one visual token an image, and of one word on each side of the latents.
        let num_images = self.num_images.unwrap_or(part.image.map_or(1, |image| image + 1));
        let mut roles = vec![Role::Image; num_images];
        roles.extend(vec![Role::Latent; self.num_latents]);
        roles.push(Role::Prompt);
        let image_spans: Vec<Span> =
            (0..num_images).map(|image| Span { start: image, end: image + 1 }).collect();
        let index = part.index.clone().filter(|_| part.group == TokenGroup::Latents);
        let part = TokenPart { index, ..part.clone() };
        let chosen =
            Prompt { roles: &roles, image_spans: &image_spans, latents: None }.select(&Tokens(vec![part]));
        chosen.map(drop).map_err(|problem| match self.num_latents {
            0 if is_of_latents => Misfit::NoLatents(problem),
            _ => Misfit::Absent(problem),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_will_not_have_is_known_before() {
        let fits = |statement: &str, num_latents, num_images| {
            let condition = Condition { edits: vec![statement.parse().unwrap()], ..Condition::default() };
            condition.fits(Reach { num_latents, num_layers: 4, num_images })
        };
        let absent = |text: &str| Err(Misfit::Absent(text.to_owned()));
        assert_eq!(fits("block latents[15]->image#1[7000] @3", 16, Some(2)), Ok(()));
        assert_eq!(fits("block latents->image#7", 16, None), Ok(()));
        assert_eq!(fits("block all[5000]+prompt[9]->all", 0, Some(0)), Ok(()));
        assert_eq!(fits("block latents[17]->image", 16, None), absent("latents[17]: there are 16 of them"));
        assert_eq!(fits("block all->image#2", 16, Some(2)), absent("image#2: this run has none"));
        assert_eq!(fits("block all->image", 16, Some(0)), absent("image: this run has none"));
        assert_eq!(
            fits("block all->image @2-4", 16, None),
            absent("layers 2-4: there are 4, counted from 0")
        );
        for statement in ["block readers->image", "allow image->latents[0]", "block tail->all"] {
            assert!(matches!(fits(statement, 0, None), Err(Misfit::NoLatents(_))), "{statement}");
        }
    }
}
