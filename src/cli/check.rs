//! `livr check`: what a folder is, what is missing, how much memory it takes.

use clap::Args;
use serde::Serialize;

use super::args::ModelArgs;
use super::output::{print, print_json};
use crate::engine::device;
use crate::engine::inspect::{Inspection, inspect};

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
    let device = device::open(args.model.device)?;
    let place = args.model.model.as_ref().or(args.model.adapter.as_ref());
    let place = place.map_or_else(|| "the demo".to_owned(), |path| path.display().to_string());
    let found = match (args.model.folder(), args.model.adapter_folder()) {
        (Ok(folder), Ok(adapter)) => inspect(&folder, adapter.as_ref(), &device, args.model.dtype),
        (Err(problem), _) | (_, Err(problem)) => Inspection::failed(&problem),
    };
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
    anyhow::ensure!(count == 0, "{count} problem{} found ({})", if count == 1 { "" } else { "s" }, place);
    Ok(())
}
