//! The checkpoint, adapter and photograph built into the program, so that the first minute needs no download.

use crate::checkpoint::folder::{EmbeddedFiles, Folder};

macro_rules! embed {
    ($dir:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_bytes!(concat!("../../assets/demo/", $dir, "/", $file)))),+]
    };
}

const MODEL: EmbeddedFiles = embed!("model":
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "chat_template.jinja",
);

const ADAPTER: EmbeddedFiles = embed!("adapter":
    "adapter_config.json",
    "adapter_model.safetensors",
    "latent_rows.safetensors",
    "livr.json",
);

/// A tiny Qwen3-VL with random weights: real architecture, meaningless answers.
pub fn model() -> Folder {
    Folder::embedded("demo (random weights)", MODEL)
}

/// Its adapter with 16 latent rows, random too.
pub fn adapter() -> Folder {
    Folder::embedded("demo adapter (random weights)", ADAPTER)
}
