//! What lies in a Hugging Face folder or a PEFT adapter, read without judgement of what runs it.

pub mod adapter;
pub mod config;
pub mod folder;
pub mod generation;
pub mod hub_cache;
pub mod json;
pub mod latent_rows;
pub mod livr;
pub mod names;
pub mod pickle;
pub mod safetensors;
pub mod source;
