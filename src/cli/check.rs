//! `livr check`: what a folder is, what is missing, how much memory it takes.

use clap::Args;
use serde::Serialize;

use super::args::ModelArgs;
use super::output::{print, print_json};
use crate::engine::device;
use crate::engine::inspect::inspect;

/// Options of `livr check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    facts: serde_json::Map<String, serde_json::Value>,
    problems: Vec<String>,
    version: &'static str,
}

/// Runs it; problems found are a failure.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let folder = args.model.folder()?;
    let adapter = args.model.adapter_folder()?;
    let device = device::open(args.model.device)?;
    let found = inspect(&folder, adapter.as_ref(), &device, args.model.dtype);
    let count = found.problems.len();
    if args.json {
        let facts = found.facts.into_iter().map(|(name, value)| (name, value.into())).collect();
        print_json(&Report {
            ok: count == 0,
            facts,
            problems: found.problems,
            version: env!("CARGO_PKG_VERSION"),
        });
    } else {
        let width = found.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &found.facts {
            print(&format!("{name:width$}  {value}"));
        }
        print(if count == 0 { "complete and readable" } else { "problems:" });
        for problem in &found.problems {
            print(&format!("  {problem}"));
        }
    }
    anyhow::ensure!(
        count == 0,
        "{count} problem{} found ({})",
        if count == 1 { "" } else { "s" },
        folder.root().display()
    );
    Ok(())
}
