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
}

/// What the reference takes where nothing is published.
const DEFAULT_TOP_K: f64 = 50.0;

impl GenerationConfig {
    /// Reads the folder's file, if it has one.
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
        Ok(read)
    }
}
