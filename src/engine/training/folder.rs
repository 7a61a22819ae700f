//! The folder of a run: everything it needs to be repeated, what it measured, where it stands, and its result.
//!
//! ```text
//! recipe.toml        nothing left open, paths absolute
//! run.json           versions, machine, hashes of data and model
//! metrics.jsonl      a line a step and a validation
//! state.safetensors  where it stands
//! stage-1/ best/     adapters, or checkpoints
//! adapter_config.json ...   the result, in the folder itself
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::device;
use super::open::OpenedRun;
use super::{Before, Validation};
use crate::atomic::{self, Hold, LOCK};
use crate::digest;
use crate::error::{Error, Result};
use crate::ops::isa::Isa;
use crate::train::{Data, Recipe, Step, Trainer};

pub(super) const RECIPE: &str = "recipe.toml";
const RUN: &str = "run.json";
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "state.safetensors";

/// A line of the metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Metric {
    /// A step.
    Step(Step),
    /// A validation.
    Validation(Validation),
}

/// A folder in use.
pub(super) struct RunFolder {
    root: PathBuf,
    /// Opened by the first line.
    metrics: Option<File>,
    metrics_bytes: u64,
    /// From the first file on.
    hold: Option<Hold>,
}

impl RunFolder {
    /// A new one, which is not made yet, or that of a run to go on with.
    pub(super) fn open(root: &Path, resume: bool) -> Result<Self> {
        let is_empty = match std::fs::read_dir(root) {
            Ok(entries) => entries.flatten().all(|entry| entry.file_name() == LOCK),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
            Err(e) => return Err(Error::io("look into the folder", root, e)),
        };
        if resume && !root.join(RECIPE).is_file() {
            return Err(Error::Missing {
                what: format!("{RECIPE} of a run to resume"),
                path: root.to_owned(),
            });
        }
        if !resume && !is_empty {
            let is_run = root.join(RECIPE).is_file();
            let found = if is_run { "a run; --resume goes on with it" } else { "files in it" };
            return Err(Error::field(root, "the folder to train into", "a new or empty one", found));
        }
        let hold = if resume { Some(Hold::of_folder(root)?) } else { None };
        if resume {
            atomic::clear_parts(root)?;
        }
        let folder = Self { root: root.to_owned(), metrics: None, metrics_bytes: 0, hold };
        for model in std::iter::once(folder.best()).chain((1..=9).map(|stage| folder.stage(stage))) {
            crate::train::mend_folder(&model)?;
        }
        Ok(folder)
    }

    pub(super) fn best(&self) -> PathBuf {
        self.root.join("best")
    }

    pub(super) fn stage(&self, stage: usize) -> PathBuf {
        self.root.join(format!("stage-{stage}"))
    }

    pub(super) fn state_path(&self) -> PathBuf {
        self.root.join(STATE)
    }

    /// The state, where one was saved.
    pub(super) fn state(&self) -> Option<PathBuf> {
        Some(self.state_path()).filter(|path| path.is_file())
    }

    /// How long the metrics are, once that much is on disk: a state that counts on more could not be resumed.
    pub(super) fn metrics_kept(&self) -> Result<u64> {
        if let Some(file) = &self.metrics {
            file.sync_data().map_err(|e| Error::io("write the metrics", self.root.join(METRICS), e))?;
        }
        Ok(self.metrics_bytes)
    }

    /// Sees that a run to go on with is one of this recipe, data and model, whether or not it has saved a state yet.
    ///
    /// # Errors
    /// Another run.
    pub(super) fn check(&self, opened: &OpenedRun, fingerprint: &str) -> Result<()> {
        #[derive(Deserialize)]
        struct Run {
            fingerprint: Option<String>,
            model_sha256: String,
            data_sha256: String,
        }
        let path = self.root.join(RUN);
        let run: Option<Run> = match std::fs::read(&path) {
            Ok(bytes) => Some(
                serde_json::from_slice(&bytes)
                    .map_err(|e| Error::format(&path, format!("{RUN} cannot be read"), e))?,
            ),
            // It was stopped as it began.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let same = match run {
            Some(Run { fingerprint: Some(own), .. }) => own == fingerprint,
            // As earlier versions wrote it.
            run => {
                let recipe = Recipe::read(&self.root.join(RECIPE))?;
                let is_of =
                    |run: Run| run.model_sha256 == opened.model_hash && run.data_sha256 == opened.data_hash;
                plain(&recipe) == plain(&opened.recipe) && run.is_none_or(is_of)
            }
        };
        if same { Ok(()) } else { Err(another_run(&path)) }
    }

    /// Writes what is needed to repeat the run.
    pub(super) fn describe(
        &mut self,
        opened: &OpenedRun,
        trainer: &Trainer,
        fingerprint: &str,
    ) -> Result<()> {
        std::fs::create_dir_all(&self.root).map_err(|e| Error::io("make the folder", &self.root, e))?;
        self.hold = Some(Hold::of_folder(&self.root)?);
        let write = |name: &str, text: &str| {
            atomic::write(&self.root.join(name), |out| out.write_all(text.as_bytes()))
        };
        write(RECIPE, &opened.recipe.to_toml())?;
        let run = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "fingerprint": fingerprint,
            "model": opened.base_name(),
            "model_sha256": opened.model_hash,
            "data_sha256": opened.data_hash,
            "train_samples": trainer.examples().len(),
            "validation_samples": opened.validation.len(),
            "seed": opened.recipe.seed,
            "max_pixels": opened.max_pixels,
            "steps": trainer.total_steps(),
            "trained_values": trainer.trained().num_values(),
            "dtype": opened.precision.name(),
            "device": device::describe(&opened.device),
            "threads": rayon::current_num_threads(),
            "instructions": Isa::best().name(),
        });
        atomic::write_json(&self.root.join(RUN), &run)
    }

    /// Adds a line to the metrics.
    pub(super) fn log(&mut self, metric: &Metric) -> Result<()> {
        let line = atomic::json_line(metric, &self.root.join(METRICS))? + "\n";
        let written = if let Some(file) = &mut self.metrics {
            file.write_all(line.as_bytes())
        } else {
            let opened = OpenOptions::new().create(true).append(true).open(self.root.join(METRICS));
            opened.and_then(|file| self.metrics.insert(file).write_all(line.as_bytes()))
        };
        written.map_err(|e| Error::io("write the metrics", self.root.join(METRICS), e))?;
        self.metrics_bytes += line.len() as u64;
        Ok(())
    }

    /// Cuts the metrics to a length they once had, and reads them.
    pub(super) fn cut_metrics(&mut self, bytes: u64) -> Result<Before> {
        let path = self.root.join(METRICS);
        let failed = |e| Error::io("write the metrics", &path, e);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        let held = file.metadata().map_err(failed)?.len();
        if held < bytes {
            let expected = format!("at least the {bytes} bytes it had when the state was saved");
            return Err(Error::field(&path, "the metrics", expected, held.to_string()));
        }
        file.set_len(bytes).map_err(failed)?;
        self.metrics = Some(file);
        self.metrics_bytes = bytes;
        read_metrics(&self.root)
    }

    /// Accuracy of the last validation.
    pub(super) fn last_accuracy(&self) -> Result<Option<f64>> {
        Ok(read_metrics(&self.root)?.validations.last().map(|validation| validation.all.accuracy))
    }

    /// Copies a model's files into the folder itself; the weights last, so that where they are all is there.
    pub(super) fn take_result(&self, from: &Path) -> Result<()> {
        let failed = |e| Error::io("read the result", from, e);
        let entries = std::fs::read_dir(from).map_err(failed)?;
        let mut names: Vec<_> =
            entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>().map_err(failed)?;
        names.sort_by_key(|name| name == "model.safetensors" || name == "adapter_model.safetensors");
        for name in names {
            let path = from.join(&name);
            let bytes = std::fs::read(&path).map_err(|e| Error::io("read the result", &path, e))?;
            atomic::write(&self.root.join(name), |out| out.write_all(&bytes))?;
        }
        Ok(())
    }
}

/// The steps and validations of a run.
///
/// # Errors
/// A file that is not there or cannot be read, a line that is none of these.
pub fn read_metrics(root: &Path) -> Result<Before> {
    let path = root.join(METRICS);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read the metrics", &path, e))?;
    let mut all = Before::default();
    for (i, line) in text.lines().enumerate() {
        let metric = serde_json::from_str(line)
            .map_err(|e| Error::format(&path, format!("line {} is no metric", i + 1), e))?;
        match metric {
            Metric::Step(step) => all.steps.push(step),
            Metric::Validation(validation) => all.validations.push(validation),
        }
    }
    Ok(all)
}

/// A recipe without what changes no value: how often is saved and shown, what memory may be used, and where files lie whose
/// content counts.
fn plain(recipe: &Recipe) -> Recipe {
    let (train, validation) = (Vec::new(), Vec::new());
    let data = Data { train, validation, cache_mib: None, ..recipe.data.clone() };
    let model = recipe.model.as_ref().map(|_| PathBuf::new());
    Recipe { model, data, save_every: 1, probe_every: 0, ..recipe.clone() }
}

/// What is said of a run to go on with that began otherwise.
pub(super) fn another_run(path: &Path) -> Error {
    let (field, expected) = ("the recipe and data of the run to resume", "those it began with");
    Error::field(path, field, expected, "others; train into another folder")
}

/// Of all that decides what a run computes.
pub(super) fn fingerprint(opened: &OpenedRun) -> String {
    let plain = plain(&opened.recipe);
    let OpenedRun { data_hash, model_hash, max_pixels, precision, device, .. } = opened;
    let device = if device.is_cpu() { "cpu" } else { "gpu" };
    let facts = format!("{data_hash}\0{model_hash}\0{max_pixels}\0{}\0{device}", precision.name());
    digest::of_bytes(format!("{}\0{facts}", plain.to_toml()).as_bytes())
}
