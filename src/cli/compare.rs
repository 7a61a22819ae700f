//! `livr compare`: result files of the same samples, paired.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::{note, print, print_json};
use crate::analysis::statistics::Draws;
use crate::engine::study::{PairedResult, Verdicts, pair};
use crate::error::Error;

/// Options of `livr compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Result that the others are compared with: of livr eval, or a folder of livr experiment or study, of which it is the first
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// The others; of a folder, all in it
    #[arg(value_name = "OTHER")]
    others: Vec<PathBuf>,
    /// Samples drawn again so often for the bootstrap intervals
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    draws: u32,
    /// One seed, the same intervals
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Compared<'a> {
    base: &'a str,
    pairs: &'a [PairedResult],
    draws: u32,
    seed: u64,
    version: &'static str,
}

/// Runs it.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let paths = std::iter::once(&args.base).chain(&args.others);
    let mut results: Vec<Verdicts> = Vec::new();
    for path in paths {
        results.extend(Verdicts::read(path)?);
    }
    let (base, others) = results.split_first().expect("a file has one result, a folder at least one");
    if others.is_empty() {
        let what = args.base.display();
        return Err(
            Error::Request(format!("expected another result to compare with {what}, found none")).into()
        );
    }
    let pairs = pair(&base.all, others, Draws { count: args.draws as usize, seed: args.seed });
    for pair in pairs.iter().filter(|pair| pair.n == 0) {
        note(&format!("{}: no sample of {} is in it", pair.name, base.name));
    }
    if args.json {
        let version = env!("CARGO_PKG_VERSION");
        print_json(&Compared {
            base: &base.name,
            pairs: &pairs,
            draws: args.draws,
            seed: args.seed,
            version,
        });
    } else {
        print(&table(&base.name, &pairs));
    }
    Ok(())
}

fn table(base: &str, pairs: &[PairedResult]) -> String {
    let mut lines = vec![format!("Compared with {base}, in points of accuracy:")];
    let name = pairs.iter().map(|pair| pair.name.chars().count()).max().unwrap_or(0).max(4);
    lines.push(format!(
        "{:name$}  {:>5}  {:>6} {:>6} {:>6} {:>7}  {:>6}  {:>16}  {:>16}  {:>8}  {:>8}",
        "",
        "n",
        "both",
        "gained",
        "lost",
        "neither",
        "points",
        "Newcombe 95 %",
        "bootstrap 95 %",
        "McNemar",
        "Holm"
    ));
    let interval = |own: Option<[f64; 2]>| {
        own.map_or("-".to_owned(), |[low, high]| format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high))
    };
    for pair in pairs {
        let points = pair.difference.map_or("-".to_owned(), |own| format!("{:+.1}", 100.0 * own));
        lines.push(format!(
            "{:name$}  {:>5}  {:>6} {:>6} {:>6} {:>7}  {points:>6}  {:>16}  {:>16}  {:>8.2e}  {:>8.2e}",
            pair.name,
            pair.n,
            pair.both,
            pair.gained,
            pair.lost,
            pair.neither,
            interval(pair.newcombe),
            interval(pair.bootstrap),
            pair.mcnemar_p,
            pair.holm_p
        ));
        let apart = [
            (pair.only_base, "only in the base"),
            (pair.only_other, "only in this one"),
            (pair.other_targets, "of one id with other targets"),
        ];
        let apart: Vec<String> = apart
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !apart.is_empty() {
            lines.push(format!("{:name$}  left out: {}", "", apart.join(", ")));
        }
    }
    lines.join("\n")
}
