//! `livr eval`: accuracy and predictions over a data set; goes on where it was stopped.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::args::ModelArgs;
use super::output::{Terminal, note, print, print_json};
use crate::atomic;
use crate::data::dataset;
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::engine::evaluate::{Accuracy, Prediction, evaluate};
use crate::engine::models::Models;
use crate::engine::protocol::ModelId;
use crate::error::{Error, Result};
use crate::memory;
use crate::model::compute::Compute;
use crate::settings::{Capture, Decoding, LatentChoice, MaskKind, PixelBudget, Settings};

/// Options of `livr eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Data file: LIVR's JSONL, BLINK's parquet, or a file of Mirage or LVR
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// JSON file for the result
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Attention mask
    #[arg(long, value_enum, default_value_t = MaskKind::Standard)]
    mask: MaskKind,
    /// auto, off or a number of latents
    #[arg(long, default_value = "auto", allow_negative_numbers = true)]
    latents: LatentChoice,
    /// Most pixels of an image: auto, checkpoint or a number
    #[arg(long, value_name = "N", default_value = "auto", allow_negative_numbers = true)]
    max_pixels: PixelBudget,
    /// Stop after this many generated tokens
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    max_new_tokens: u32,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// The i-th of n shares of the samples, as 1/4
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<(usize, usize)>,
    /// Only the first so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the result too
    #[arg(long)]
    json: bool,
}

fn parse_shard(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("expected a share as 1/4, found {text}");
    let (i, n) = text.split_once('/').ok_or_else(wrong)?;
    match (i.parse::<usize>(), n.parse::<usize>()) {
        (Ok(i), Ok(n)) if (1..=n).contains(&i) => Ok((i, n)),
        _ => Err(wrong()),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    all: Accuracy,
    tasks: BTreeMap<String, Accuracy>,
    predictions: Vec<Prediction>,
    settings: Settings,
    model: String,
    adapters: Vec<String>,
    seed: u64,
    version: &'static str,
    seconds: f64,
}

/// The first line of what a stopped run left: all that its predictions depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Heading {
    model: ModelId,
    /// What the folders of base and adapter were like.
    fingerprints: (u64, Option<u64>),
    /// Length and last change of the data file.
    data: (PathBuf, u64, Option<SystemTime>),
    settings: Settings,
}

/// Runs it.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    args.model.check_output(&args.out, std::slice::from_ref(&args.data))?;
    let started = Instant::now();
    let records = chosen(args)?;
    let terminal = Terminal::new();
    let mut models = Models::default();
    let id = args.model.id();
    let info = models.open(&id, &terminal)?;
    let decoding = Decoding { max_new_tokens: args.max_new_tokens as usize, ..Decoding::default() };
    let settings = Settings {
        mask: args.mask,
        latents: args.latents,
        max_pixels: args.max_pixels,
        decoding,
        capture: Capture::default(),
    };
    let session = models.session(&id).expect("opened above");
    let file = std::fs::metadata(&args.data).map_err(|e| Error::io("read the data file", &args.data, e))?;
    let heading = Heading {
        model: id,
        fingerprints: (session.base().fingerprint(), session.adapter_fingerprint()),
        data: (std::path::absolute(&args.data)?, file.len(), file.modified().ok()),
        settings: settings.clone(),
    };
    let mut journal = Journal::open(&args.out, &heading)?;
    let left: Vec<&Record> = records.iter().filter(|record| !journal.has(&record.id)).collect();
    let compute = Compute::observed(&terminal);
    let mut answering =
        |samples: &[&Sample]| session.run_many(samples, &settings, memory::free_bytes(), &compute);
    let mut keep = |predictions: &[Prediction]| journal.add(predictions);
    evaluate(&left, args.batch as usize, &mut answering, &terminal, &mut keep)?;
    terminal.finish();

    let predictions = journal.in_order(&records);
    let report = Report {
        all: Accuracy::of(&predictions),
        tasks: Accuracy::by_task(&predictions),
        predictions,
        seed: settings.decoding.seed,
        settings,
        model: info.name,
        adapters: info.adapter.into_iter().collect(),
        version: env!("CARGO_PKG_VERSION"),
        seconds: started.elapsed().as_secs_f64(),
    };
    let text = serde_json::to_string_pretty(&report)?;
    atomic::write(&args.out, |out| out.write_all(text.as_bytes()))?;
    journal.close()?;
    if args.json {
        print_json(&report);
    } else {
        for (task, own) in report.tasks.iter().chain(std::iter::once((&"all".to_owned(), &report.all))) {
            print(&line(task, own));
        }
    }
    Ok(())
}

fn line(task: &str, own: &Accuracy) -> String {
    let chance = own.chance.map_or_else(String::new, |c| format!(", chance {:.1}", 100.0 * c));
    let [low, high] = own.interval.map(|x| 100.0 * x);
    let name = if task.is_empty() { "no task" } else { task };
    format!("{name}: {:.1} % of {} [{low:.1}, {high:.1}]{chance}", 100.0 * own.accuracy, own.samples)
}

fn chosen(args: &EvalArgs) -> Result<Vec<Record>> {
    let mut records = dataset::read(&args.data)?;
    records.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    if let Some((i, n)) = args.shard {
        let own = |(place, record)| (place % n == i - 1).then_some(record);
        records = records.into_iter().enumerate().filter_map(own).collect();
        if records.is_empty() {
            return Err(Error::Request(format!("--shard {i}/{n}: expected at least one sample, found none")));
        }
    }
    Ok(records)
}

/// Predictions beside the result until it is whole, a line each, so that a run that is stopped goes on.
struct Journal {
    path: PathBuf,
    file: std::fs::File,
    predictions: BTreeMap<String, Prediction>,
}

impl Journal {
    fn open(out: &Path, heading: &Heading) -> Result<Self> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = out.with_file_name(name);
        let failed = |e| Error::io("keep the predictions", &path, e);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        let same = lines.next().and_then(|first| serde_json::from_str::<Heading>(first).ok());
        let mut predictions = BTreeMap::new();
        if same.as_ref() == Some(heading) {
            // The last line may have been cut off.
            let whole = lines.filter_map(|line| serde_json::from_str::<Prediction>(line).ok());
            predictions = whole.map(|prediction| (prediction.id.clone(), prediction)).collect();
            if !predictions.is_empty() {
                note(&format!("going on after {} samples ({})", predictions.len(), path.display()));
            }
        }
        // What is kept is written anew beside it first: a stop here loses nothing.
        let mut kept = serde_json::to_string(heading).expect("plain data serialises") + "\n";
        for prediction in predictions.values() {
            kept += &serde_json::to_string(prediction).expect("plain data serialises");
            kept.push('\n');
        }
        atomic::write(&path, |out| out.write_all(kept.as_bytes()))?;
        let file = std::fs::OpenOptions::new().append(true).open(&path).map_err(failed)?;
        Ok(Self { path, file, predictions })
    }

    fn has(&self, id: &str) -> bool {
        self.predictions.contains_key(id)
    }

    fn add(&mut self, predictions: &[Prediction]) -> Result<()> {
        for prediction in predictions {
            let line = serde_json::to_string(prediction).expect("plain data serialises");
            writeln!(self.file, "{line}").map_err(|e| Error::io("keep the predictions", &self.path, e))?;
            self.predictions.insert(prediction.id.clone(), prediction.clone());
        }
        Ok(())
    }

    fn in_order(&self, records: &[Record]) -> Vec<Prediction> {
        records.iter().filter_map(|record| self.predictions.get(&record.id).cloned()).collect()
    }

    fn close(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io("remove", &self.path, e))
    }
}
