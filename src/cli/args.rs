//! Options that several subcommands share.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::output::note;
use crate::atomic;
use crate::checkpoint::folder::Folder;
use crate::data::picture::{MAX_FILE_BYTES, Picture};
use crate::data::sample::{Sample, choices_in};
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{BaseId, ModelId, Request, Source};
use crate::engine::models::Models;
use crate::error::{Error, Result};
use crate::paths;
use crate::progress::Observer;
use crate::settings::{
    Capture, Decoding, DeviceChoice, DtypeChoice, LatentChoice, MaskKind, PixelBudget, Published, Settings,
};
use crate::trace::Trace;

/// An adapter, or none even where one is the default.
#[derive(Debug, Clone)]
pub struct AdapterChoice(Option<Source>);

/// Which model, and where.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Checkpoint folder, or a repository in the Hugging Face cache as Qwen/Qwen2.5-VL-3B-Instruct [default: the
    /// built-in demo]
    #[arg(long, value_name = "DIR")]
    pub model: Option<OsString>,
    /// Adapter folder or repository; none; or one of the demo's: demo:livr, demo:stage-1, demo:latents-only, demo:sft
    /// [default: demo:livr on the built-in demo, else none]
    #[arg(long, value_name = "DIR", value_parser = OsStringValueParser::new().try_map(|text| Source::adapter(&text).map(AdapterChoice)))]
    pub adapter: Option<AdapterChoice>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Element type of the weights
    #[arg(long, value_enum, default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
}

impl ModelArgs {
    /// The model these options name; the demo comes with its own adapter.
    pub fn id(&self) -> ModelId {
        let base = self.model.as_ref().map_or(Source::Demo, |text| Source::named(text));
        let adapter = match &self.adapter {
            Some(AdapterChoice(adapter)) => adapter.clone(),
            None => self.model.is_none().then_some(Source::DemoAdapter(DemoAdapter::Livr)),
        };
        ModelId { base: BaseId { source: base, device: self.device, dtype: self.dtype }, adapter }
    }

    /// The checkpoint's folder.
    pub fn folder(&self) -> Result<Folder> {
        self.id().base.source.open()
    }

    /// The adapter's folder.
    pub fn adapter_folder(&self) -> Result<Option<Folder>> {
        self.id().adapter.as_ref().map(Source::open).transpose()
    }

    /// The adapter's folder on disk, where one is named.
    pub fn adapter_path(&self) -> Option<&Path> {
        self.adapter.as_ref().and_then(|choice| choice.0.as_ref()).and_then(Source::path)
    }

    /// Looks at where a result goes before the work: it can be written, and is nothing that the work reads.
    pub fn check_output(&self, out: &Path, images: &[PathBuf]) -> Result<()> {
        atomic::check(out)?;
        let adapter = self.adapter_path().map(Path::to_owned);
        let base = self.id().base.source.path().map(Path::to_owned);
        let folders: Vec<PathBuf> = base.into_iter().chain(adapter).collect();
        atomic::check_apart(out, images, &folders)
    }

    /// Opens the model and answers one sample by it.
    pub fn run(&self, sample: Sample, settings: Settings, observer: &dyn Observer) -> Result<Trace> {
        let mut models = Models::default();
        let model = self.id();
        let info = models.open(&model, observer)?;
        match settings.latents {
            LatentChoice::Count(count) if count > info.trained_latents => note(&format!(
                "{} latents are asked for, {} were trained: the others are rows that no training has seen",
                count, info.trained_latents
            )),
            _ => {}
        }
        models.run(&Request { model, sample, settings }, observer)
    }
}

/// What is asked, and how it is answered.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Images, in the order the prompt speaks of them: files, folders of them, patterns; - reads one from standard input
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub image: Vec<PathBuf>,
    /// The question; `<image>` marks where an image goes, without marks all come first
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: String,
    /// Answers to score [default: the letters the prompt offers]
    #[arg(long, value_name = "TEXT", num_args = 1..)]
    pub choice: Vec<String>,
    /// Attention mask
    #[arg(long, value_enum, default_value_t = MaskKind::Standard)]
    pub mask: MaskKind,
    /// auto, off or a number of latents
    #[arg(long, default_value = "auto", allow_negative_numbers = true)]
    pub latents: LatentChoice,
    /// Stop after this many generated tokens
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: u32,
    /// 0 takes the most likely token, above it samples
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = non_negative, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Sample among the most likely tokens that add up to this probability: auto (as the checkpoint publishes), off
    /// or a number
    #[arg(long, value_name = "P", default_value = "auto", value_parser = probability, allow_negative_numbers = true)]
    pub top_p: Published<f32>,
    /// Sample among so many of the most likely tokens: auto (as the checkpoint publishes), off or a number
    #[arg(long, value_name = "K", default_value = "auto", value_parser = top_k, allow_negative_numbers = true)]
    pub top_k: Published<usize>,
    /// Make tokens already in the sequence less likely: auto (as the checkpoint publishes), off or a number
    #[arg(long, value_name = "X", default_value = "auto", value_parser = penalty, allow_negative_numbers = true)]
    pub repetition_penalty: Published<f32>,
    /// Most pixels of an image: auto, checkpoint or a number. On a CPU auto reads images of a large model smaller
    #[arg(long, value_name = "N", default_value = "auto", allow_negative_numbers = true)]
    pub max_pixels: PixelBudget,
    /// Seed of the sampling
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

fn top_k(text: &str) -> std::result::Result<Published<usize>, String> {
    match text.parse()? {
        Published::Value(0) => Err("expected auto, off or a number from 1, found 0".to_owned()),
        top_k => Ok(top_k),
    }
}

fn penalty(text: &str) -> std::result::Result<Published<f32>, String> {
    match text.parse()? {
        Published::Value(x) if !(x > 0.0 && f32::is_finite(x)) => {
            Err(format!("expected auto, off or a number above 0, found {text}"))
        }
        penalty => Ok(penalty),
    }
}

fn non_negative(text: &str) -> std::result::Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("expected a number from 0, found {text}")),
    }
}

fn probability(text: &str) -> std::result::Result<Published<f32>, String> {
    match text.parse()? {
        Published::Value(p) if !(p > 0.0 && p <= 1.0) => {
            Err(format!("expected auto, off or a number above 0, at most 1, found {text}"))
        }
        top_p => Ok(top_p),
    }
}

/// Reads what `--image` names; `-` is standard input, once.
pub fn read_images(named: &[PathBuf]) -> Result<Vec<Arc<Picture>>> {
    let mut images = Vec::new();
    for name in named {
        if name.as_os_str() == "-" {
            images.push(Arc::new(from_standard_input()?));
            continue;
        }
        // What the shell has expanded already is there under its name.
        let paths = if name.exists() { vec![name.clone()] } else { paths::named(&name.to_string_lossy())? };
        for path in paths::images(paths)? {
            images.push(Arc::new(Picture::read(&path)?));
        }
    }
    Ok(images)
}

fn from_standard_input() -> Result<Picture> {
    const NAME: &str = "standard input";
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(MAX_FILE_BYTES + 1);
    input.read_to_end(&mut bytes).map_err(|e| Error::io("read the image from", NAME, e))?;
    if bytes.is_empty() {
        return Err(Error::field(NAME, "the image", "the bytes of an image file", "nothing"));
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::field(NAME, "the image", format!("at most {MAX_FILE_BYTES} bytes"), "more"));
    }
    Picture::decode(NAME, &bytes, Path::new(NAME))
}

impl RunArgs {
    /// Reads the images.
    pub fn sample(&self) -> Result<Sample> {
        let images = read_images(&self.image)?;
        let choices = if self.choice.is_empty() { choices_in(&self.prompt) } else { self.choice.clone() };
        Ok(Sample { images, prompt: self.prompt.clone(), choices })
    }

    /// The settings these options name, keeping `capture`.
    pub fn settings(&self, capture: Capture) -> Settings {
        let decoding = Decoding {
            max_new_tokens: self.max_new_tokens as usize,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        Settings { mask: self.mask, latents: self.latents, max_pixels: self.max_pixels, decoding, capture }
    }
}
