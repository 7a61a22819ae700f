//! Options that several subcommands share.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::checkpoint::folder::Folder;
use crate::data::picture::Picture;
use crate::data::sample::{Sample, choices_in};
use crate::device::{DeviceChoice, DtypeChoice};
use crate::engine::demo;
use crate::engine::session::{ModelSource, Session};
use crate::error::Result;
use crate::progress::Observer;
use crate::settings::{Capture, Decoding, LatentChoice, MaskKind, Settings};

/// Which model, and where.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Checkpoint folder [default: the built-in demo]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Adapter folder
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Element type of the weights
    #[arg(long, value_enum, default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
}

impl ModelArgs {
    /// The checkpoint these options name.
    pub fn source(&self) -> Result<ModelSource> {
        let folder = match &self.model {
            Some(path) => Folder::open(path)?,
            None => demo::model(),
        };
        Ok(ModelSource { folder, device: self.device, dtype: self.dtype })
    }

    /// The adapter these options name; the demo comes with its own.
    pub fn adapter_folder(&self) -> Result<Option<Folder>> {
        match (&self.adapter, &self.model) {
            (Some(path), _) => Folder::open(path).map(Some),
            (None, None) => Ok(Some(demo::adapter())),
            (None, Some(_)) => Ok(None),
        }
    }

    /// Loads the checkpoint and puts the adapter on.
    pub fn load(&self, observer: &dyn Observer) -> Result<Session> {
        let adapter = self.adapter_folder()?;
        let mut session = Session::load(self.source()?, observer)?;
        if let Some(adapter) = adapter {
            session.set_adapter_folder(Some(&adapter))?;
        }
        Ok(session)
    }
}

/// What is asked, and how it is answered.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Images, in the order the prompt speaks of them
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub image: Vec<PathBuf>,
    /// The question; <image> marks where an image goes, without marks all come first
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: String,
    /// Answers to score [default: the letters the prompt offers]
    #[arg(long, value_name = "TEXT", num_args = 1..)]
    pub choice: Vec<String>,
    /// Attention mask
    #[arg(long, value_enum, default_value_t = MaskKind::Standard)]
    pub mask: MaskKind,
    /// auto, off or a number of latents
    #[arg(long, default_value = "auto")]
    pub latents: LatentChoice,
    /// Stop after this many generated tokens
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: u32,
    /// 0 takes the most likely token, above it samples
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = non_negative)]
    pub temperature: f32,
    /// Sample among the most likely tokens that add up to this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = probability)]
    pub top_p: f32,
    /// Seed of the sampling
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

fn non_negative(text: &str) -> std::result::Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("expected a number from 0, found {text}")),
    }
}

fn probability(text: &str) -> std::result::Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err(format!("expected a number above 0, at most 1, found {text}")),
    }
}

impl RunArgs {
    /// Reads the images.
    pub fn sample(&self) -> Result<Sample> {
        let images =
            self.image.iter().map(|path| Picture::read(path).map(Arc::new)).collect::<Result<_>>()?;
        let choices = if self.choice.is_empty() { choices_in(&self.prompt) } else { self.choice.clone() };
        Ok(Sample { images, prompt: self.prompt.clone(), choices })
    }

    /// The settings these options name, keeping `capture`.
    pub fn settings(&self, capture: Capture) -> Settings {
        let decoding = Decoding {
            max_new_tokens: self.max_new_tokens as usize,
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
        };
        Settings { mask: self.mask, latents: self.latents, decoding, capture }
    }
}
