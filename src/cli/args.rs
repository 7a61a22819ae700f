//! Options that several subcommands share.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};

use super::condition_args::{ConditionArgs, OneSample};
use super::output::note;
use crate::ask::{Condition, DeviceChoice, DtypeChoice, Keep, LatentChoice};
use crate::atomic;
use crate::checkpoint::folder::Folder;
use crate::data::picture::{MAX_FILE_BYTES, Picture};
use crate::data::sample::{Sample, choices_in};
use crate::engine::answer::FromAfar;
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{BaseId, ModelId, Request, Source};
use crate::engine::models::Models;
use crate::error::{Error, Result};
use crate::paths;
use crate::progress::Observer;
use crate::trace::{CHANGED_NOTHING, SHAM_FAILED, Trace};

/// An adapter, or none even where one is the default.
#[derive(Debug, Clone)]
pub struct AdapterChoice(pub Option<Source>);

impl AdapterChoice {
    /// Reads one: a folder or repository, `demo:NAME`, or `none`.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|text| Source::adapter(&text).map(Self))
    }
}

/// Which model, and where.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Checkpoint folder, or a repository in the Hugging Face cache as Qwen/Qwen2.5-VL-3B-Instruct [default: the
    /// built-in demo]
    #[arg(long, value_name = "DIR")]
    pub model: Option<OsString>,
    /// Adapter folder or repository; none; or one of the demo's: demo:livr, demo:stage-1, demo:latents-only, demo:sft
    /// [default: demo:livr on the built-in demo, else none]
    #[arg(long, value_name = "DIR", value_parser = AdapterChoice::parser())]
    pub adapter: Option<AdapterChoice>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Element type of the weights
    #[arg(long, default_value = "auto", value_parser = dtypes())]
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
    pub fn run(&self, run: &RunArgs, sample: Sample, keep: &Keep, observer: &dyn Observer) -> Result<Trace> {
        self.run_in(&mut Models::default(), run, sample, keep, observer)
    }

    /// The same among models that are open already: what they share is there once.
    pub fn run_in(
        &self,
        models: &mut Models,
        run: &RunArgs,
        sample: Sample,
        keep: &Keep,
        observer: &dyn Observer,
    ) -> Result<Trace> {
        let model = self.id();
        let info = models.open(&model, observer)?;
        let condition = run.condition();
        match condition.latents {
            LatentChoice::Count(count) if count > info.trained_latents => note(&format!(
                "{} latents are asked for, {} were trained: the others are rows that no training has seen",
                count, info.trained_latents
            )),
            _ => {}
        }
        let request = Request { model, sample, condition };
        let trace = if run.no_receipt {
            models.run(&request, keep, &FromAfar(observer))
        } else {
            models.run_with_receipt(&request, keep, &FromAfar(observer))
        }?;
        if trace.receipt.as_ref().is_some_and(|receipt| !receipt.sham) {
            note(SHAM_FAILED);
        }
        for done in trace.interventions.iter().filter(|done| done.changed == 0 && !trace.condition.sham) {
            note(&format!("{}: {CHANGED_NOTHING}", done.statement));
        }
        Ok(trace)
    }
}

/// Which models, and where: as many as are named are asked side by side.
#[derive(Debug, Clone, Args)]
pub struct ModelsArgs {
    /// Checkpoint folder, or a repository in the Hugging Face cache as Qwen/Qwen2.5-VL-3B-Instruct; several are asked side
    /// by side [default: the built-in demo]
    #[arg(long, value_name = "DIR")]
    model: Vec<OsString>,
    /// Adapter folder or repository; none; or one of the demo's: demo:livr, demo:stage-1, demo:latents-only, demo:sft;
    /// several are asked side by side [default: demo:livr on the built-in demo, else none]
    #[arg(long, value_name = "DIR", value_parser = AdapterChoice::parser())]
    adapter: Vec<AdapterChoice>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Element type of the weights
    #[arg(long, default_value = "auto", value_parser = dtypes())]
    dtype: DtypeChoice,
}

impl ModelsArgs {
    /// Each of them, at least one: one model with every adapter, every model with one adapter, or pairs.
    ///
    /// # Errors
    /// Several of both that are no pairs, the same twice, one of several that is not there.
    pub fn each(&self) -> Result<Vec<ModelArgs>> {
        let (models, adapters) = (self.model.len(), self.adapter.len());
        if models > 1 && adapters > 1 && models != adapters {
            return Err(Error::Request(format!(
                "--adapter: expected one, or one for each of {models} models, found {adapters}"
            )));
        }
        let shared = |i: usize, count: usize| if count > 1 { i } else { 0 };
        let one = |i: usize| ModelArgs {
            model: self.model.get(shared(i, models)).cloned(),
            adapter: self.adapter.get(shared(i, adapters)).cloned(),
            device: self.device,
            dtype: self.dtype,
        };
        let all: Vec<ModelArgs> = (0..models.max(adapters).max(1)).map(one).collect();
        let ids: Vec<ModelId> = all.iter().map(ModelArgs::id).collect();
        if let Some(twice) = (1..ids.len()).find(|i| ids[..*i].contains(&ids[*i])) {
            let name = name_among(&ids[twice], &ids);
            return Err(Error::Request(format!("--adapter: expected each once, found {name} twice")));
        }
        if all.len() > 1 {
            // The last that is not there is said before the first is asked.
            all.iter().try_for_each(|own| own.folder().and_then(|_| own.adapter_folder()).map(|_| ()))?;
        }
        Ok(all)
    }
}

/// A model as people tell it from others beside it.
pub fn name_among(model: &ModelId, others: &[ModelId]) -> String {
    let base = model.base.source.name();
    let shares_base = others.iter().all(|other| other.base.source == model.base.source);
    match &model.adapter {
        Some(adapter) if shares_base => adapter.name(),
        Some(adapter) => format!("{base} {}", adapter.name()),
        None if shares_base => "none".to_owned(),
        None => base,
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
    /// Do not ask without the edits and with their sham as well
    #[arg(long)]
    pub no_receipt: bool,
    #[command(flatten)]
    condition: ConditionArgs<OneSample>,
}

/// One of the names there are of element types.
pub fn dtypes() -> impl TypedValueParser<Value = DtypeChoice> {
    PossibleValuesParser::new(DtypeChoice::NAMES).map(|name| name.parse().expect("one of the names"))
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

    /// How they have it asked.
    pub fn condition(&self) -> Condition {
        self.condition.condition.clone()
    }
}
