//! `livr eval`: accuracy and predictions over a data set; goes on where it was stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
use crate::engine::study::journal::{Journal, OpenedJournal};
use crate::engine::study::{Provenance, Share, digest_of_records};
use crate::error::{Error, Result};
use crate::memory;
use crate::model::compute::Compute;
use crate::settings::{Capture, Decoding, LatentChoice, MaskKind, PixelBudget, STUDY_TOKENS, Settings};

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
    #[arg(long, value_name = "N", default_value_t = STUDY_TOKENS as u32, value_parser = clap::value_parser!(u32).range(1..))]
    max_new_tokens: u32,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// The i-th of n shares of the samples, as 1/4
    #[arg(long, value_name = "I/N")]
    shard: Option<Share>,
    /// Only the first so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the result too
    #[arg(long)]
    json: bool,
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

/// All that predictions depend on: the first line of the journal.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Heading {
    what: Provenance,
    settings: Settings,
    share: Option<Share>,
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
    let decoding = Decoding { max_new_tokens: args.max_new_tokens as usize, ..Decoding::of_studies() };
    let settings = Settings {
        mask: args.mask,
        latents: args.latents,
        max_pixels: args.max_pixels,
        decoding,
        capture: Capture::default(),
    };
    let session = models.session(&id).expect("opened above");
    let data = digest_of_records(&records, &terminal)?;
    let what = Provenance::of(session, data, &terminal)?;
    let heading = Heading { what, settings: settings.clone(), share: args.shard };
    let mut journal = Predictions::open(&args.out, &heading)?;
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
    atomic::write_json(&args.out, &report)?;
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
    if let Some(share) = args.shard {
        records = share.of(records);
        if records.is_empty() {
            return Err(Error::Request(format!("--shard {share}: expected at least one sample, found none")));
        }
    }
    Ok(records)
}

/// Predictions beside the result until it is whole.
struct Predictions {
    /// Where the result goes to a device there is no place beside it.
    journal: Option<Journal>,
    by_id: BTreeMap<String, Prediction>,
}

impl Predictions {
    fn open(out: &Path, heading: &Heading) -> Result<Self> {
        if out.exists() && !out.is_file() {
            return Ok(Self { journal: None, by_id: BTreeMap::new() });
        }
        let OpenedJournal { journal, lines } = Journal::open(&out.with_added_extension("partial"), heading)?;
        let by_id: BTreeMap<String, Prediction> =
            lines.into_iter().map(|own: Prediction| (own.id.clone(), own)).collect();
        if !by_id.is_empty() {
            note(&format!("going on after {} samples ({})", by_id.len(), journal.path().display()));
        }
        Ok(Self { journal: Some(journal), by_id })
    }

    fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    fn add(&mut self, predictions: &[Prediction]) -> Result<()> {
        for prediction in predictions {
            if let Some(journal) = &mut self.journal {
                journal.add(prediction)?;
            }
            self.by_id.insert(prediction.id.clone(), prediction.clone());
        }
        Ok(())
    }

    fn in_order(&self, records: &[Record]) -> Vec<Prediction> {
        records.iter().filter_map(|record| self.by_id.get(&record.id).cloned()).collect()
    }

    fn close(self) -> Result<()> {
        self.journal.map_or(Ok(()), Journal::remove)
    }
}
