//! `livr study`: models x conditions x records out of a file that one can write by hand; in shares, put together again.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::accuracies::print_accuracies;
use super::output::{Terminal, note, print, print_json};
use crate::atomic;
use crate::engine::ids::Source;
use crate::engine::models::Models;
use crate::engine::project::{is_of_states, store};
use crate::engine::study::cells::{self, Cell, CellFolder};
use crate::engine::study::contrast::findings;
use crate::engine::study::file::StudyFile;
use crate::engine::study::result::CellResult;
use crate::engine::study::{LeftOut, Share, Study, report};
use crate::error::Error;
use crate::units::counted;

/// What to do with a study.
#[derive(Debug, Subcommand)]
pub enum StudyCommand {
    /// Say what a study asks of whom, without asking.
    Plan(PlanArgs),
    /// Ask: what the folder has already is not asked again.
    Run(RunStudyArgs),
    /// Put shares together: results of `livr eval`, folders of `livr study` or `livr experiment`, or states that `livr project`
    /// kept.
    Collect(CollectArgs),
}

/// Options of `livr study plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The study
    #[arg(value_name = "FILE.toml")]
    study: PathBuf,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Options of `livr study run`.
#[derive(Debug, Args)]
pub struct RunStudyArgs {
    /// The study
    #[arg(value_name = "FILE.toml")]
    study: PathBuf,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The i-th of n shares of the samples, as 1/4; livr study collect puts them together
    #[arg(long, value_name = "I/N")]
    shard: Option<Share>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// Options of `livr study collect`.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// All shares: files or folders
    #[arg(value_name = "SHARE", required = true, num_args = 1..)]
    parts: Vec<PathBuf>,
    /// File or folder for the whole
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// What a share leaves.
#[derive(Serialize)]
struct SharePart<'a> {
    share: Share,
    cells: usize,
    folder: &'a Path,
}

#[derive(Serialize)]
struct Planned {
    models: Vec<String>,
    conditions: Vec<String>,
    samples: usize,
    runs: usize,
    left_out: Vec<LeftOut>,
}

impl StudyCommand {
    /// Runs it.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Plan(args) => plan(args),
            Self::Run(args) => run(args),
            Self::Collect(args) => collect(args),
        }
    }
}

fn plan(args: &PlanArgs) -> anyhow::Result<()> {
    let study = StudyFile::read(&args.study)?.study(&args.study, None)?;
    for model in &study.models {
        model.id.base.source.open()?;
        model.id.adapter.as_ref().map(Source::open).transpose()?;
    }
    let plan = study.plan()?;
    let planned = Planned {
        models: study.models.iter().map(|own| own.name.clone()).collect(),
        conditions: study.conditions.iter().map(|own| own.name.clone()).collect(),
        samples: study.records.len(),
        runs: plan.cells.len() * plan.samples,
        left_out: plan.left_out.clone(),
    };
    if args.json {
        print_json(&planned);
        return Ok(());
    }
    for (what, names) in [("models", &planned.models), ("conditions", &planned.conditions)] {
        print(&format!("{what:10} {}", names.join(", ")));
    }
    print(&format!("{:10} {}, {} in all", "samples", planned.samples, counted(planned.runs, "run")));
    plan.notes().for_each(|note| print(&note));
    Ok(())
}

fn run(args: &RunStudyArgs) -> anyhow::Result<()> {
    let study = StudyFile::read(&args.study)?.study(&args.study, args.shard)?;
    to_folder(&study, &args.out, args.json)
}

/// Asks a study's cells, each in a file of the folder, and says what came of them; of a share the cells alone are there.
pub fn to_folder(study: &Study, out: &Path, json: bool) -> anyhow::Result<()> {
    let terminal = Terminal::new();
    let mut cells = CellFolder::at(out, &note);
    study.run(&mut Models::default(), &mut cells, &terminal)?;
    terminal.finish();
    match study.share {
        None => said(&cells.whole, out, json),
        Some(share) if json => {
            print_json(&SharePart { share, cells: cells.whole.len(), folder: out });
            Ok(())
        }
        Some(share) => {
            print(&format!(
                "share {share} of {}: livr study collect puts all shares together ({})",
                counted(cells.whole.len(), "cell"),
                out.display()
            ));
            Ok(())
        }
    }
}

fn said(cells: &[Cell], out: &Path, json: bool) -> anyhow::Result<()> {
    let report = report::write(cells, out)?;
    if json {
        print_json(&report.summaries);
    } else {
        print(report::tables(&report.summaries).trim_end());
        if !report.conditions.is_empty() {
            print(&format!("\n{}", findings(&report.conditions)));
        }
    }
    Ok(())
}

fn collect(args: &CollectArgs) -> anyhow::Result<()> {
    if args.parts.iter().all(|part| part.is_file()) {
        atomic::check_apart(&args.out, &args.parts, &[])?;
        CellResult::check_place(&args.out)?;
        let whole = CellResult::collect(&args.parts)?;
        atomic::write_json(&args.out, &whole)?;
        if args.json {
            print_json(&whole);
        } else {
            print_accuracies(&whole);
        }
        return Ok(());
    }
    if args.parts.iter().all(|part| is_of_states(part)) {
        let samples = store::collect_shares(&args.parts, &args.out)?;
        print(&format!("states of {} ({})", counted(samples, "sample"), args.out.display()));
        return Ok(());
    }
    if let Some(file) = args.parts.iter().find(|part| !part.is_dir()) {
        let found = if file.exists() { "a file among folders" } else { "nothing" };
        return Err(
            Error::field(file, "the share", "results of livr eval alone, or folders alone", found).into()
        );
    }
    let cells = cells::collect(&args.parts, &args.out)?;
    said(&cells, &args.out, args.json)
}
