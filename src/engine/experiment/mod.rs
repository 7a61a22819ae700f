//! The paper's test battery over several adapters of one model: accuracy as it is, without latents, under the
//! bottleneck, under both, and on disturbed images; and how much the answer looks at the latents.

mod report;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::evaluate::{Accuracy, Prediction, evaluate};
use super::features::SeenImages;
use super::models::Models;
use super::protocol::{BaseId, ModelId, Source};
use super::session::Session;
use crate::atomic;
use crate::data::disturb::Disturbance;
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::compute::Compute;
use crate::progress::{Observer, Phase, Progress};
use crate::settings::{
    AttentionRows, Capture, Decoding, LatentChoice, MaskKind, PixelBudget, Published, Settings,
};
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
pub struct Order {
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
    /// Attention to all latents together where the answer begins, mean over heads, layers and samples.
    pub latent_mass: Option<f64>,
    /// Answers.
    pub predictions: Vec<Prediction>,
}

/// Measures every cell that the folder does not have yet, each in a file of its own.
///
/// # Errors
/// An adapter that does not fit, an image that cannot be read, a folder that cannot be written, a stop.
pub fn measure(order: &Order, folder: &Path, observer: &dyn Observer) -> Result<Vec<Cell>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, e))?;
    let mut models = Models::default();
    let mut cells: Vec<Cell> = Vec::new();
    // The conditions of the battery and most adapters show the vision tower the same images.
    let mut seen = SeenImages::up_to(memory::free_bytes().map_or(1 << 30, |free| free / 4) as usize);
    let total = order.adapters.len() * order.conditions.len() * order.records.len();
    let data = hash_of_data(&order.records, observer)?;
    for named in &order.adapters {
        let id = ModelId { base: order.base.clone(), adapter: named.adapter.clone() };
        models.open(&id, observer)?;
        let session = models.session(&id).expect("opened above");
        let has_latents = session.info().trained_latents > 0;
        let fingerprint = fingerprint(order, named, session, &data);
        for condition in &order.conditions {
            // Without latents there is nothing to leave out.
            if !has_latents && condition.latents == LatentChoice::Off {
                continue;
            }
            let path = folder.join(format!("{}-{}.json", named.name.replace('/', "-"), condition.name));
            let held = kept(&path).filter(|held| {
                held.condition == *condition && held.fingerprint == fingerprint && held.adapter == named.name
            });
            let cell = if let Some(held) = held {
                held
            } else {
                let watch = Counting { observer, done: cells.len() * order.records.len(), total };
                let cell = one(order, named, condition, fingerprint.clone(), session, &mut seen, &watch)?;
                let text = serde_json::to_string(&cell).expect("plain data serialises");
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
    order: &Order,
    named: &Named,
    condition: &Condition,
    fingerprint: String,
    session: &mut Session,
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
    // The longest answer of the nine tasks is a word or a number.
    let decoding = Decoding { max_new_tokens: 8, repetition_penalty: Published::Off, ..Decoding::default() };
    let capture = Capture { attention: AttentionRows::LatentsAndAnswer, ..Capture::default() };
    Settings {
        mask: condition.mask,
        latents: condition.latents,
        max_pixels: PixelBudget::Auto,
        decoding,
        capture,
    }
}

/// Attention to all latents together of the position that the answer's first token is said from: mean over layers and
/// heads. None where there are no latents.
fn latent_mass(trace: &Trace) -> Option<f64> {
    let latents: Vec<usize> = trace.positions_of(Role::Latent).collect();
    let (layers, heads) = trace.attention_dims();
    if latents.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    for (layer, head) in (0..layers).flat_map(|layer| (0..heads).map(move |head| (layer, head))) {
        let row = trace.saying_row(LayerIdx(layer), HeadIdx(head), 0)?;
        sum += latents.iter().map(|key| f64::from(row[*key])).sum::<f64>();
    }
    Some(sum / (layers * heads) as f64)
}

fn kept(path: &Path) -> Option<Cell> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn hash_of_data(records: &[Record], observer: &dyn Observer) -> Result<Sha256> {
    let mut hash = Sha256::new();
    for record in records {
        observer.check()?;
        record.hash_into(&mut hash)?;
    }
    Ok(hash)
}

/// Of all that an answer hangs on besides the condition.
fn fingerprint(order: &Order, named: &Named, session: &Session, data: &Sha256) -> String {
    let mut hash = data.clone();
    let info = session.info();
    hash.update(format!("{:?} {:?}", session.base().fingerprint(), session.adapter_fingerprint()));
    hash.update(format!(" {:?} {:?} {}", order.base, named.adapter, order.seed));
    hash.update(format!(" {} {} {}", info.device, info.dtype, info.auto_max_pixels));
    hash.finalize().iter().take(12).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
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
