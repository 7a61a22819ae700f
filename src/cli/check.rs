//! `livr check`: what a folder is, what is missing, how much memory it takes.

use clap::Args;
use serde::Serialize;

use super::args::ModelArgs;
use super::output::{Terminal, print, print_json};
use crate::ask::DtypeChoice;
use crate::engine::device;
use crate::engine::inspect::{Inspection, inspect};
use crate::engine::study::precision::{Deviation, deviations};

/// Options of `livr check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Also read the weights, and measure how far bf16, 8 and 4 bits (or the type that --dtype names) are from f32
    #[arg(long)]
    measure: bool,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    facts: serde_json::Map<String, serde_json::Value>,
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deviations: Option<Vec<Deviation>>,
    version: &'static str,
}

/// Runs it; problems found are a failure.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let device = device::open(args.model.device)?;
    let model = args.model.id();
    let place = model.base.source.path().or(args.model.adapter_path());
    let place = place.map_or_else(|| "the demo".to_owned(), |path| path.display().to_string());
    let found = match (args.model.folder(), args.model.adapter_folder()) {
        (Ok(folder), Ok(adapter)) => inspect(&folder, adapter.as_ref(), &device, args.model.dtype),
        (Err(problem), _) | (_, Err(problem)) => Inspection::failed(&problem),
    };
    let count = found.problems.len();
    let deviations = (args.measure && count == 0).then(|| measure(args)).transpose()?;
    if args.json {
        let facts = found.facts.into_iter().map(|(name, value)| (name, value.into())).collect();
        print_json(&Report {
            ok: count == 0,
            facts,
            problems: found.problems,
            deviations,
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
        for d in deviations.iter().flatten() {
            print(&format!(
                "{:4} scores off by {:.1e} in the mean, {:.1e} at most; next token {}, divergence {:.1e} nats",
                d.dtype,
                d.mean,
                d.largest,
                if d.same_token { "the same" } else { "ANOTHER" },
                d.divergence
            ));
        }
    }
    anyhow::ensure!(count == 0, "{count} problem{} found ({})", if count == 1 { "" } else { "s" }, place);
    Ok(())
}

fn measure(args: &CheckArgs) -> anyhow::Result<Vec<Deviation>> {
    let named = match args.model.dtype {
        DtypeChoice::Auto | DtypeChoice::F32 => vec![DtypeChoice::Bf16, DtypeChoice::Q8, DtypeChoice::Q4],
        one => vec![one],
    };
    Ok(deviations(&args.model.id(), &named, &Terminal::new())?)
}
