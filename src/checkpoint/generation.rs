//! `generation_config.json`: what the checkpoint publishes about decoding.

use super::config::ModelConfig;
use super::folder::Folder;
use crate::error::Result;

/// The fields that decide an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GenerationConfig {
    /// Ids that end the answer; `config.json`'s where the file names none.
    pub end_of_turn: Vec<u32>,
    /// Penalty on tokens already in the sequence; applied in greedy decoding too.
    pub repetition_penalty: Option<f32>,
    /// Most likely tokens that sampling is among; without a word of it the reference takes 50.
    pub top_k: Option<usize>,
    /// Share of probability that sampling is among.
    pub top_p: Option<f32>,
    /// Ids that are never generated.
    pub suppressed: Vec<u32>,
    /// Ids that no answer begins with.
    pub suppressed_first: Vec<u32>,
    /// No sequence of so many tokens comes twice.
    pub no_repeat: Option<usize>,
    /// The answer does not end before it has so many tokens.
    pub min_new_tokens: usize,
    /// Nor before prompt and answer together have so many.
    pub min_length: usize,
    /// Condition of the file that would change an answer and are not followed, as it has them.
    pub not_followed: Vec<String>,
}

/// Condition that change what the reference generates, with the values that change nothing.
const NOT_FOLLOWED: [(&str, &[&str]); 20] = [
    ("num_beams", &["1"]),
    ("penalty_alpha", &["0", "0.0"]),
    ("typical_p", &["1", "1.0"]),
    ("min_p", &["0", "0.0"]),
    ("top_h", &[]),
    ("epsilon_cutoff", &["0", "0.0"]),
    ("eta_cutoff", &["0", "0.0"]),
    ("bad_words_ids", &["[]"]),
    ("force_words_ids", &["[]"]),
    ("constraints", &["[]"]),
    ("forced_bos_token_id", &[]),
    ("forced_eos_token_id", &[]),
    ("forced_decoder_ids", &["[]"]),
    ("sequence_bias", &["[]", "{}"]),
    ("encoder_repetition_penalty", &["1", "1.0"]),
    ("encoder_no_repeat_ngram_size", &["0"]),
    ("exponential_decay_length_penalty", &[]),
    ("guidance_scale", &["1", "1.0"]),
    ("watermarking_config", &[]),
    ("dola_layers", &[]),
];

/// What the reference takes where nothing is published.
const DEFAULT_TOP_K: f64 = 50.0;

impl GenerationConfig {
    /// Reads the folder's file, if it has one.
    ///
    /// # Errors
    /// A file that cannot be read, a value that it may not have.
    pub fn read(folder: &Folder, config: &ModelConfig) -> Result<Self> {
        const FILE: &str = "generation_config.json";
        let top_k = Some(DEFAULT_TOP_K as usize);
        let mut read = Self { end_of_turn: config.eos_token_ids.clone(), top_k, ..Self::default() };
        if !folder.has(FILE) {
            return Ok(read);
        }
        let json = folder.json(FILE)?;
        let ids = json.ids("eos_token_id")?;
        if !ids.is_empty() {
            read.end_of_turn = ids;
        }
        let penalty = json.number_or("repetition_penalty", 1.0)?;
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(json.wrong("repetition_penalty", "a number above 0"));
        }
        read.repetition_penalty = (penalty != 1.0).then_some(penalty as f32);
        // 0 is the reference's way to say all.
        let top_k = json.number_or("top_k", DEFAULT_TOP_K)?;
        if top_k < 0.0 || top_k.fract() != 0.0 {
            return Err(json.wrong("top_k", "a whole number from 0"));
        }
        read.top_k = (top_k > 0.0).then_some(top_k as usize);
        let top_p = json.number_or("top_p", 1.0)?;
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(json.wrong("top_p", "a number above 0, at most 1"));
        }
        read.top_p = (top_p < 1.0).then_some(top_p as f32);
        read.suppressed = json.ids("suppress_tokens")?;
        read.suppressed_first = json.ids("begin_suppress_tokens")?;
        // 0 is the reference's way to say none.
        let whole = |key: &str| -> Result<usize> {
            let number = json.number_or(key, 0.0)?;
            let is_whole = number >= 0.0 && number.fract() == 0.0 && number < 1e9;
            if is_whole { Ok(number as usize) } else { Err(json.wrong(key, "a whole number from 0")) }
        };
        read.no_repeat = Some(whole("no_repeat_ngram_size")?).filter(|size| *size > 0);
        read.min_new_tokens = whole("min_new_tokens")?;
        read.min_length = whole("min_length")?;
        for (key, plain) in NOT_FOLLOWED {
            if let Some(value) = json.get(key)
                && !plain.contains(&value.to_string().as_str())
            {
                read.not_followed.push(format!("{key} = {value}"));
            }
        }
        Ok(read)
    }
}
