//! `livr eval`: accuracy and predictions over a data set; goes on where it was stopped.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::accuracies::print_accuracies;
use super::args::{ModelArgs, ModelsArgs, name_among};
use super::condition_args::{ConditionArgs, ManySamples};
use super::output::{Terminal, note, print_json};
use super::study::to_folder;
use crate::ask::{AttentionRows, Condition, Keep};
use crate::data::dataset;
use crate::engine::ids::ModelId;
use crate::engine::models::Models;
use crate::engine::study::result::{CellResult, OneCell};
use crate::engine::study::{NamedCondition, NamedModel, Share, Study};
use crate::progress::Phase;

/// Options of `livr eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    models: ModelsArgs,
    /// Data file: LIVR's JSONL, BLINK's parquet, or a file of Mirage or LVR
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// JSON file for the result; of several models the folder for it, as livr experiment writes one
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    condition: ConditionArgs<ManySamples>,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// The i-th of n shares of the samples, as 1/4; livr study collect puts them together
    #[arg(long, value_name = "I/N")]
    shard: Option<Share>,
    /// Only the first so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Print the result too
    #[arg(long)]
    json: bool,
}

/// The result, and how long it took this time: no part of the file, which is the same however it was made.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    result: &'a CellResult,
    seconds: f64,
}

/// Runs it.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let asked = args.models.each()?;
    for model in &asked {
        model.check_output(&args.out, std::slice::from_ref(&args.data))?;
    }
    let is_one = asked.len() == 1;
    if is_one {
        CellResult::check_place(&args.out)?;
    }
    let started = Instant::now();
    let mut records = dataset::read(&args.data)?;
    records.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    let attention = if is_one { AttentionRows::Nothing } else { AttentionRows::LatentsAndAnswer };
    let study = Study {
        models: if is_one {
            vec![NamedModel { name: "model".to_owned(), id: asked[0].id() }]
        } else {
            named(&asked)
        },
        conditions: vec![NamedCondition::of(args.condition.condition.clone(), &Condition::of_studies())],
        records,
        limit: None,
        keep: Keep { attention, ..Keep::default() },
        batch: args.batch as usize,
        share: args.shard,
        phase: Phase::Evaluating,
    };
    if !is_one {
        return to_folder(&study, &args.out, args.json);
    }
    let terminal = Terminal::new();
    let mut cell = OneCell::at(&args.out, &note);
    study.run(&mut Models::default(), &mut cell, &terminal)?;
    terminal.finish();
    let result = cell.result.as_ref().expect("a study of one cell");
    if args.json {
        print_json(&Report { result, seconds: started.elapsed().as_secs_f64() });
    } else {
        print_accuracies(result);
    }
    Ok(())
}

/// Models under names of their own, as files may be called.
fn named(asked: &[ModelArgs]) -> Vec<NamedModel> {
    let ids: Vec<ModelId> = asked.iter().map(ModelArgs::id).collect();
    let mut named: Vec<NamedModel> = Vec::new();
    for id in &ids {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
        let plain: String = name_among(id, &ids).chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let names = std::iter::once(plain.clone()).chain((2..).map(|n| format!("{plain} {n}")));
        let is_free = |name: &String| named.iter().all(|own| own.name != *name);
        let name = names.into_iter().find(is_free).expect("one of endlessly many");
        named.push(NamedModel { name, id: id.clone() });
    }
    named
}
