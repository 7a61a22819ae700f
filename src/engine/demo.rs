//! The model, adapters and samples built into the program, so that the first minute needs no download.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::checkpoint::folder::{EmbeddedFiles, Folder};
use crate::data::dataset;
use crate::data::record::{ImageSource, Record};

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

const LIVR: EmbeddedFiles = embed!("livr":
    "adapter_config.json",
    "adapter_model.safetensors",
    "latent_rows.safetensors",
    "livr.json",
);

const STAGE_1: EmbeddedFiles = embed!("stage-1":
    "adapter_config.json",
    "adapter_model.safetensors",
    "latent_rows.safetensors",
    "livr.json",
);

const LATENTS_ONLY: EmbeddedFiles = embed!("latents-only":
    "adapter_config.json",
    "adapter_model.safetensors",
    "latent_rows.safetensors",
    "livr.json",
);

const SFT: EmbeddedFiles = embed!("sft":
    "adapter_config.json",
    "adapter_model.safetensors",
);

/// A small Qwen3-VL, trained from nothing on drawn scenes; see `docs/DEMO.md`.
pub fn model() -> Folder {
    Folder::embedded("LIVR demo", MODEL)
}

/// The sample that tells the story of the paper in one Ctrl+M: right as it is, without latents, and through the latents
/// alone; wrong where neither is left.
const FIRST: &str = "visual_correspondence-test-000003";

/// The sample to begin with.
pub fn first() -> &'static Record {
    gallery().iter().find(|record| record.id == FIRST).unwrap_or(&gallery()[0])
}

/// Its adapters: one data set, one budget, four ways to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DemoAdapter {
    /// Both stages: first the bottleneck mask, then none.
    Livr,
    /// The same after the first stage.
    #[serde(rename = "stage-1")]
    Stage1,
    /// Latents, and never the mask.
    LatentsOnly,
    /// Neither.
    Sft,
}

impl DemoAdapter {
    /// All of them, the one that the program begins with first.
    pub const ALL: [Self; 4] = [Self::Livr, Self::Stage1, Self::LatentsOnly, Self::Sft];

    /// As the command line has it, after `demo:`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Livr => "livr",
            Self::Stage1 => "stage-1",
            Self::LatentsOnly => "latents-only",
            Self::Sft => "sft",
        }
    }

    /// As the user reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Livr => "LIVR",
            Self::Stage1 => "LIVR after Stage 1",
            Self::LatentsOnly => "latents only",
            Self::Sft => "direct SFT",
        }
    }

    /// Its files.
    pub fn folder(self) -> Folder {
        let files = match self {
            Self::Livr => LIVR,
            Self::Stage1 => STAGE_1,
            Self::LatentsOnly => LATENTS_ONLY,
            Self::Sft => SFT,
        };
        Folder::embedded(self.name(), files)
    }
}

impl fmt::Display for DemoAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl FromStr for DemoAdapter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys = Self::ALL.map(Self::key).join(", demo:");
        let found = Self::ALL.into_iter().find(|adapter| adapter.key() == text);
        found.ok_or_else(|| format!("expected one of demo:{keys}, found demo:{text}"))
    }
}

static GALLERY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/demo/gallery");

/// Samples of each of the nine tasks, of which no training saw any.
pub fn gallery() -> &'static [Record] {
    static RECORDS: OnceLock<Vec<Record>> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let name = Path::new("gallery.jsonl");
        let text = GALLERY.get_file(name).and_then(|file| file.contents_utf8()).expect("built in");
        let mut records = dataset::parse(text, name).expect("a data file of this program");
        for image in records.iter_mut().flat_map(|record| &mut record.images) {
            let ImageSource::File(path) = image else { continue };
            let bytes = GALLERY.get_file(&*path).expect("built in with its data file").contents();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            *image = ImageSource::Held { name, bytes: bytes.into(), within: "the built-in gallery".into() };
        }
        records
    })
}
