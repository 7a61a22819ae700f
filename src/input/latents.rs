//! The latent tokens of the checkpoint or adapter in use, and how many of them a run takes.

use std::sync::Arc;

use tokenizers::Tokenizer;

use crate::ask::{LatentChoice, MAX_LATENTS};
use crate::checkpoint::livr::{LivrConfig, latent_name, too_many};
use crate::error::{Error, Result};

/// What `--latents` chooses from.
#[derive(Debug, Clone)]
pub struct LatentSetup {
    /// Names, placement and separator.
    pub livr: LivrConfig,
    /// Vocabulary id of each name.
    pub token_ids: Vec<u32>,
    /// K that `auto` takes: those that were trained, 0 where none were.
    pub trained: usize,
}

/// The latents of one run.
#[derive(Debug, Clone, Copy)]
pub struct Latents<'a> {
    /// Names, in order.
    pub names: &'a [String],
    /// Ids, in order.
    pub token_ids: &'a [u32],
}

impl LatentSetup {
    /// The latents a choice stands for.
    ///
    /// # Errors
    /// More than there are.
    pub fn select(&self, choice: LatentChoice) -> Result<Latents<'_>> {
        let count = match choice {
            LatentChoice::Auto => self.trained,
            LatentChoice::Off => 0,
            LatentChoice::Count(n) if n > self.token_ids.len() => {
                let whose = if self.trained > 0 { "the model in use" } else { "the vocabulary of the model" };
                return Err(too_many(n, self.token_ids.len(), whose));
            }
            LatentChoice::Count(n) => n,
        };
        Ok(Latents { names: &self.livr.latent_tokens[..count], token_ids: &self.token_ids[..count] })
    }
}

/// Finds the latents of a checkpoint or adapter and makes a tokenizer know them: those it lacks come after
/// its last id.
///
/// A tokenizer that knows `<livr_0>` and on is that of a merged LIVR checkpoint, with or without `livr.json`.
/// Where none were trained the tokenizer stays as it is, and the spare rows of the embedding are at hand for
/// a run that asks for them (see [`add_names`]).
///
/// # Errors
/// A name that the tokenizer does not take.
pub fn register(
    tokenizer: &mut Arc<Tokenizer>,
    livr: Option<&LivrConfig>,
    trained: usize,
    vocab_size: usize,
) -> Result<LatentSetup> {
    let known = (0..MAX_LATENTS).take_while(|i| tokenizer.token_to_id(&latent_name(*i)).is_some()).count();
    let trained = if livr.is_none() && trained == 0 { known } else { trained };
    let livr = match livr {
        Some(livr) => livr.clone(),
        None if trained > 0 => LivrConfig::default_for(trained),
        None => {
            let first = next_id(tokenizer);
            let spare = vocab_size.saturating_sub(first as usize).min(MAX_LATENTS);
            let token_ids = (first..first + spare as u32).collect();
            return Ok(LatentSetup { livr: LivrConfig::default_for(spare), token_ids, trained });
        }
    };
    if livr.latent_tokens.iter().any(|name| tokenizer.token_to_id(name).is_none()) {
        add_names(Arc::make_mut(tokenizer), &livr.latent_tokens)?;
    }
    let token_ids = livr
        .latent_tokens
        .iter()
        .map(|name| {
            tokenizer
                .token_to_id(name)
                .ok_or_else(|| Error::Request(format!("the tokenizer does not take the latent token {name}")))
        })
        .collect::<Result<_>>()?;
    Ok(LatentSetup { livr, token_ids, trained })
}

/// Makes a tokenizer know names as special tokens, after its last id where it lacks them.
///
/// # Errors
/// Names that the tokenizer does not take.
pub fn add_names(tokenizer: &mut Tokenizer, names: &[String]) -> Result<()> {
    let added: Vec<_> = names.iter().map(|name| tokenizers::AddedToken::from(name.clone(), true)).collect();
    tokenizer
        .add_special_tokens(added)
        .map_err(|e| Error::Request(format!("the tokenizer does not take the latent tokens: {e}")))?;
    Ok(())
}

/// One past the largest id the tokenizer gives out.
fn next_id(tokenizer: &Tokenizer) -> u32 {
    let added = tokenizer.get_added_tokens_decoder().keys().max().map_or(0, |id| id + 1);
    added.max(tokenizer.get_vocab_size(false) as u32)
}
