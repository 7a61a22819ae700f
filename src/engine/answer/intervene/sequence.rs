//! Statements that make another sequence: latents taken out, before anything else is done.

use crate::ask::{Edit, LatentChoice, SequenceChange, TokenGroup, Tokens};
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::{Behind, Processor};
use crate::units::Role;

/// What becomes of the latents of a prompt.
#[derive(Debug, Clone)]
pub struct EditedSequence {
    /// Latents that the prompt is rendered with.
    pub choice: LatentChoice,
    /// Numbers of the latents that are left, among those of the unedited prompt.
    pub left: Vec<usize>,
    /// Tokens taken out by the statement that did it, by its place among the edits.
    pub taken_out: Option<(usize, usize)>,
    /// Numbers of latents to be taken out of what was rendered, and where what is behind comes to stand.
    gone: Option<(Vec<usize>, Behind)>,
}

impl EditedSequence {
    /// Of a sample under these edits.
    ///
    /// # Errors
    /// More than one change of the sequence, one that cannot be.
    pub fn of(edits: &[Edit], choice: LatentChoice, sample: &Sample, processor: &Processor) -> Result<Self> {
        let count = processor.latents().select(choice)?.names.len();
        let all: Vec<usize> = (0..count).collect();
        let mut changes = edits.iter().enumerate().filter_map(|(place, edit)| match edit {
            Edit::Sequence { tokens, change } => Some((place, edit, tokens, *change)),
            _ => None,
        });
        let Some((place, edit, tokens, change)) = changes.next() else {
            return Ok(Self { choice, left: all, taken_out: None, gone: None });
        };
        let refused = |why: String| Error::Request(format!("{edit}: {why}"));
        if let Some((_, other, ..)) = changes.next() {
            return Err(refused(format!("expected one change of the sequence, found {other} too")));
        }
        let chosen = numbers(tokens, count).map_err(refused)?;
        let whole = chosen.len() == count;
        let taken = |count: usize| Some((place, count));
        match change {
            SequenceChange::Truncate { .. } | SequenceChange::Markers if !whole => {
                Err(refused("it is of all latents".to_owned()))
            }
            SequenceChange::Truncate { keep } if keep == 0 || keep > count => Err(refused(format!(
                "truncate keeps 1 to {count}; remove, markers and gap are what keeps none"
            ))),
            SequenceChange::Truncate { keep } => Ok(Self {
                choice: LatentChoice::Count(keep),
                left: all[..keep].to_vec(),
                taken_out: taken(count - keep),
                gone: None,
            }),
            SequenceChange::Remove if whole => {
                let [with, without] = [choice, LatentChoice::Off].map(|own| processor.length(sample, own));
                let taken_out = taken(with?.saturating_sub(without?));
                Ok(Self { choice: LatentChoice::Off, left: Vec::new(), taken_out, gone: None })
            }
            SequenceChange::Remove | SequenceChange::Markers | SequenceChange::Gap => {
                let behind = if change == SequenceChange::Gap { Behind::Stays } else { Behind::ClosesUp };
                let left = all.into_iter().filter(|number| !chosen.contains(number)).collect();
                Ok(Self { choice, left, taken_out: taken(chosen.len()), gone: Some((chosen, behind)) })
            }
        }
    }

    /// Takes what is to go out of a prompt that was rendered with the latents of the choice.
    pub fn take_out(&self, input: &mut ModelInput, processor: &Processor) {
        let Some((numbers, behind)) = &self.gone else { return };
        let latents = (0..input.num_tokens()).filter(|token| input.roles[*token] == Role::Latent);
        let gone: Vec<usize> = latents
            .enumerate()
            .filter(|(number, _)| numbers.contains(number))
            .map(|(_, token)| token)
            .collect();
        processor.without(input, &gone, *behind);
    }
}

/// Numbers of latents that are named, ascending.
fn numbers(tokens: &Tokens, count: usize) -> std::result::Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for part in &tokens.0 {
        if part.group != TokenGroup::Latents {
            return Err("it is for latents".to_owned());
        }
        let own: Vec<usize> = part.index.clone().unwrap_or_else(|| (0..count).collect());
        if count == 0 || own.iter().any(|number| *number >= count) {
            return Err(format!("{part}: this run has latents {:?}", (0..count).collect::<Vec<_>>()));
        }
        all.extend(own);
    }
    all.sort_unstable();
    if all.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("{tokens}: a token is named twice"));
    }
    Ok(all)
}
