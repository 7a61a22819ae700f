//! `livr.json`: how many latents, what they are called, where they go.

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::ask::MAX_LATENTS;
use crate::error::{Error, Result};

/// Where the latents stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// After the assistant header.
    #[default]
    AssistantPrefix,
    /// At the end of the user's turn.
    UserSuffix,
    /// Before the question, after the last image.
    BeforePrompt,
}

/// What `livr.json` says, or the defaults where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivrConfig {
    /// K.
    pub num_latents: usize,
    /// Their names in the vocabulary.
    pub latent_tokens: Vec<String>,
    /// Where they stand.
    pub placement: Placement,
    /// Text after them.
    pub separator: String,
    /// 1 or 2 for the stage they were trained to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<u8>,
}

impl LivrConfig {
    /// K latents with the usual names in the usual place.
    pub fn default_for(num_latents: usize) -> Self {
        Self {
            num_latents,
            latent_tokens: (0..num_latents).map(latent_name).collect(),
            placement: Placement::default(),
            separator: "\n".to_owned(),
            stage: None,
        }
    }

    /// Reads `livr.json`, if the folder has one.
    ///
    /// # Errors
    /// A file that cannot be read, a value that it may not have.
    pub fn read(folder: &Folder) -> Result<Option<Self>> {
        const FILE: &str = "livr.json";
        if !folder.has(FILE) {
            return Ok(None);
        }
        let json = folder.json(FILE)?;
        let num_latents =
            json.size("num_latents").ok().filter(|k| *k <= MAX_LATENTS).ok_or_else(|| {
                json.wrong("num_latents", &format!("a whole number from 1 to {MAX_LATENTS}"))
            })?;
        let latent_tokens = match json.get("latent_tokens") {
            None => (0..num_latents).map(latent_name).collect(),
            Some(value) => {
                let names: Option<Vec<String>> = value
                    .as_array()
                    .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
                names
                    .filter(|names| names.len() == num_latents && names.iter().all(|name| !name.is_empty()))
                    .ok_or_else(|| json.wrong("latent_tokens", &format!("a list of {num_latents} names")))?
            }
        };
        let placement = match json.string_or("placement", "assistant_prefix")?.as_str() {
            "assistant_prefix" => Placement::AssistantPrefix,
            "user_suffix" => Placement::UserSuffix,
            "before_prompt" => Placement::BeforePrompt,
            _ => return Err(json.wrong("placement", "assistant_prefix, user_suffix or before_prompt")),
        };
        let stage = match json.get("stage") {
            None => None,
            Some(value) => match value.as_u64() {
                Some(stage @ 0..=2) => Some(stage as u8),
                _ => return Err(json.wrong("stage", "0, 1 or 2")),
            },
        };
        let separator = json.string_or("separator", "\n")?;
        Ok(Some(Self { num_latents, latent_tokens, placement, separator, stage }))
    }
}

/// `<livr_i>`.
pub fn latent_name(index: usize) -> String {
    format!("<livr_{index}>")
}

/// Asking for more latents than there are rows.
pub fn too_many(asked: usize, has: usize, whose: &str) -> Error {
    Error::Request(format!("{whose} has {has} latents, {asked} were asked for"))
}
