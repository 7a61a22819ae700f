//! The checkpoint, adapter and photograph built into the program, so that the first minute needs no download.

use std::path::Path;

use crate::checkpoint::folder::{EmbeddedFiles, Folder};
use crate::data::picture::Picture;
use crate::error::Result;

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

/// The question the first window opens with.
pub const PROMPT: &str = "What stands next to the cup? (A) a spoon (B) a glass";

/// `coffee.png` of scikit-image: CC0 by the photographer, Rachel Michetti.
pub fn picture() -> Result<Picture> {
    const NAME: &str = "coffee.png";
    Picture::decode(NAME, include_bytes!("../../assets/photos/coffee.png"), Path::new(NAME))
}

/// A tiny Qwen3-VL with random weights: real architecture, meaningless answers.
pub fn model() -> Folder {
    Folder::embedded("demo (random weights)", MODEL)
}

/// Its adapter with 16 latent rows, random too.
pub fn adapter() -> Folder {
    Folder::embedded("demo adapter (random weights)", ADAPTER)
}
