//! The paper's test battery over several adapters of one model: accuracy as it is, without latents, under the
//! bottleneck, under both, and on disturbed images; and how much the answer looks at the latents.

mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evaluate::{Accuracy, Prediction, evaluate};
use super::features::SeenImages;
use super::ids::{BaseId, ModelId, Source};
use super::models::Models;
use super::session::OpenModel;
use super::study::{Provenance, digest_of_records};
use crate::atomic;
use crate::data::disturb::Disturbance;
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::digest;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::compute::Compute;
use crate::progress::{Observer, Phase, Progress};
use crate::settings::{AttentionRows, Capture, Decoding, LatentChoice, MaskKind, PixelBudget, Settings};
use crate::trace::Trace;
use crate::units::{HeadIdx, LayerIdx, Role};

pub use self::report::{Summary, tables};

/// How a model is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// As files and tables call it.
    pub name: String,
    /// Who may look at whom.
    pub mask: MaskKind,
    /// With its latents, or without.
    pub latents: LatentChoice,
    /// What is done to the sample first.
    pub disturbance: Option<Disturbance>,
}

impl Condition {
    fn new(name: &str, mask: MaskKind, latents: LatentChoice) -> Self {
        Self { name: name.to_owned(), mask, latents, disturbance: None }
    }

    /// The four of the paper.
    pub fn battery() -> Vec<Self> {
        let (with, without) = (LatentChoice::Auto, LatentChoice::Off);
        vec![
            Self::new("normal", MaskKind::Standard, with),
            Self::new("no-latents", MaskKind::Standard, without),
            Self::new("bottleneck", MaskKind::Bottleneck, with),
            Self::new("bottleneck-no-latents", MaskKind::Bottleneck, without),
        ]
    }

    /// As it is, on disturbed samples.
    pub fn disturbed(disturbance: Disturbance) -> Self {
        let name = disturbance.to_string();
        Self { disturbance: Some(disturbance), ..Self::new(&name, MaskKind::Standard, LatentChoice::Auto) }
    }
}

/// An adapter under a name: what comes before a slash is the way it was trained, after it the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// As files and tables call it.
    pub name: String,
    /// Where it is; none for the base alone.
    pub adapter: Option<Source>,
}

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct ExperimentOrder {
    /// The model.
    pub base: BaseId,
    /// What is put on it.
    pub adapters: Vec<Named>,
    /// How each is asked.
    pub conditions: Vec<Condition>,
    /// What is asked.
    pub records: Vec<Record>,
    /// Samples that go through the model together.
    pub batch: usize,
    /// Decides how samples are disturbed.
    pub seed: u64,
}

/// One adapter under one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Its name.
    pub adapter: String,
    /// What was asked how.
    pub condition: Condition,
    /// What all of it hangs on: the adapter, the base and the samples.
    pub fingerprint: String,
    /// Over all samples.
    pub all: Accuracy,
    /// Of each task.
    pub tasks: BTreeMap<String, Accuracy>,
    /// Attention to all latents together from where the answer is said, mean over its tokens, heads, layers and samples.
    pub latent_mass: Option<f64>,
    /// Answers.
    pub predictions: Vec<Prediction>,
}

/// Measures every cell that the folder does not have yet, each in a file of its own.
///
/// # Errors
/// An adapter that does not fit, an image that cannot be read, a folder that cannot be written, a stop.
pub fn measure(order: &ExperimentOrder, folder: &Path, observer: &dyn Observer) -> Result<Vec<Cell>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, e))?;
    let mut models = Models::default();
    let mut cells: Vec<Cell> = Vec::new();
    // The conditions of the battery and most adapters show the vision tower the same images.
    let mut seen = SeenImages::up_to(memory::free_bytes().map_or(1 << 30, |free| free / 4) as usize);
    let total = order.adapters.len() * order.conditions.len() * order.records.len();
    let data = digest_of_records(&order.records, observer)?;
    for named in &order.adapters {
        let id = ModelId { base: order.base.clone(), adapter: named.adapter.clone() };
        models.open(&id, observer)?;
        let session = models.session(&id).expect("opened above");
        let has_latents = session.info().trained_latents > 0;
        let what = Provenance::of(session, data.clone(), observer)?;
        let fingerprint = fingerprint(&what, session, order.seed, folder)?;
        for condition in &order.conditions {
            // Without latents there is nothing to leave out.
            if !has_latents && condition.latents == LatentChoice::Off {
                continue;
            }
            let (path, held) = place_of(folder, named, condition)?;
            let held = held.filter(|held| held.fingerprint == fingerprint);
            let cell = if let Some(held) = held {
                held
            } else {
                let watch = Counting { observer, done: cells.len() * order.records.len(), total };
                let cell = one(order, named, condition, fingerprint.clone(), session, &mut seen, &watch)?;
                let text = atomic::json_line(&cell, &path)?;
                atomic::write(&path, |out| out.write_all(text.as_bytes()))?;
                cell
            };
            cells.push(cell);
        }
    }
    Ok(cells)
}

/// One cell.
fn one(
    order: &ExperimentOrder,
    named: &Named,
    condition: &Condition,
    fingerprint: String,
    session: &mut OpenModel,
    seen: &mut SeenImages,
    watch: &dyn Observer,
) -> Result<Cell> {
    let settings = settings(condition);
    let compute = Compute::observed(watch);
    let (mut asked, mut masses) = (order.records.iter(), Vec::new());
    let mut answering = |samples: &[&Sample]| {
        let ready = |(sample, record): (&&Sample, &Record)| match condition.disturbance {
            Some(disturbance) => disturbance.of(sample, &record.id, order.seed),
            None => Sample::clone(sample),
        };
        let ready: Vec<Sample> = samples.iter().zip(asked.by_ref().take(samples.len())).map(ready).collect();
        let ready: Vec<&Sample> = ready.iter().collect();
        let traces = session.run_many_seen(&ready, &settings, memory::free_bytes(), seen, &compute)?;
        masses.extend(traces.iter().filter_map(latent_mass));
        Ok(traces)
    };
    let records: Vec<&Record> = order.records.iter().collect();
    let predictions = evaluate(&records, order.batch, &mut answering, watch, &mut |_| Ok(()))?;
    Ok(Cell {
        adapter: named.name.clone(),
        condition: condition.clone(),
        fingerprint,
        all: Accuracy::of(&predictions),
        tasks: Accuracy::by_task(&predictions),
        latent_mass: (!masses.is_empty()).then(|| masses.iter().sum::<f64>() / masses.len() as f64),
        predictions,
    })
}

fn settings(condition: &Condition) -> Settings {
    let decoding = Decoding::of_studies();
    let capture = Capture { attention: AttentionRows::LatentsAndAnswer, ..Capture::default() };
    Settings {
        mask: condition.mask,
        latents: condition.latents,
        max_pixels: PixelBudget::Auto,
        decoding,
        capture,
    }
}

/// Attention to all latents together of the positions that the answer is said from, each token's one before it: mean over
/// them, layers and heads. None where there are no latents.
fn latent_mass(trace: &Trace) -> Option<f64> {
    let latents: Vec<usize> = trace.positions_of(Role::Latent).collect();
    let (layers, heads) = trace.attention_dims();
    if latents.is_empty() || trace.generated.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    for token in 0..trace.generated.len() {
        for (layer, head) in (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head))) {
            let row = trace.saying_row(LayerIdx(layer), HeadIdx(head), token)?;
            sum += latents.iter().map(|key| f64::from(row[*key])).sum::<f64>();
        }
    }
    Some(sum / (trace.generated.len() * layers * heads) as f64)
}

fn kept(path: &Path) -> Option<Cell> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// A cell's file, and what it holds of this cell. Where names run together, as `x` under `bottleneck-no-latents` and
/// `x-bottleneck` under `no-latents`, the second has a file of its own.
fn place_of(folder: &Path, named: &Named, condition: &Condition) -> Result<(PathBuf, Option<Cell>)> {
    let name = format!("{}-{}", named.name.replace('/', "-"), condition.name);
    let own = digest::of_bytes(format!("{}\0{}", named.name, condition.name).as_bytes());
    let places = [format!("{name}.json"), format!("{name}-{}.json", &own[..8])].map(|name| folder.join(name));
    let is_it = |held: &Cell| held.adapter == named.name && held.condition == *condition;
    let held = places.iter().find_map(|place| Some((place, kept(place).filter(is_it)?)));
    if let Some((place, held)) = held {
        if held.fingerprint.len() != own.len() {
            let found = "one of an earlier version of this program: remove it, or name another output";
            return Err(Error::field(place, "the cell", "one of this version", found));
        }
        return Ok((place.clone(), Some(held)));
    }
    // One that is damaged, or of another condition of this name, is made anew.
    let [plain, apart] = places;
    let is_anothers = kept(&plain).is_some_and(|held| held.adapter != named.name);
    Ok((if is_anothers { apart } else { plain }, None))
}

/// Of all that an answer hangs on besides the condition.
fn fingerprint(what: &Provenance, session: &OpenModel, seed: u64, folder: &Path) -> Result<String> {
    let facts = (what, seed, session.info().auto_max_pixels);
    Ok(digest::of_bytes(atomic::json_line(&facts, folder)?.as_bytes()))
}

/// Tells of samples over all cells.
struct Counting<'a> {
    observer: &'a dyn Observer,
    done: usize,
    total: usize,
}

impl Observer for Counting<'_> {
    fn progress(&self, progress: Progress) -> Result<()> {
        if progress.phase != Phase::Evaluating {
            return self.observer.check();
        }
        self.observer.progress(Progress { done: self.done + progress.done, total: self.total, ..progress })
    }

    fn check(&self) -> Result<()> {
        self.observer.check()
    }
}
