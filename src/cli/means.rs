//! `livr means`: mean states of the latents over a data set, for `latents=mean@SITE`.

use std::path::PathBuf;

use clap::Args;

use super::args::ModelArgs;
use super::condition_args::{ConditionArgs, StatesOnly};
use super::output::{Terminal, print};
use crate::data::dataset;
use crate::engine::models::Models;
use crate::engine::study::means::means;
use crate::error::Error;
use crate::export::recording_file;

/// Options of `livr means`.
#[derive(Debug, Args)]
pub struct MeansArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Data file
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// File for the means, which --donor takes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave these samples out: those that are to be asked with the means in their latents' place
    #[arg(long, value_name = "ID", num_args = 1..)]
    leave_out: Vec<String>,
    /// Only the first so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    condition: ConditionArgs<StatesOnly>,
}

/// Runs it.
pub fn run(args: &MeansArgs) -> anyhow::Result<()> {
    args.model.check_output(&args.out, std::slice::from_ref(&args.data))?;
    let mut records = dataset::read(&args.data)?;
    if let Some(missing) = args.leave_out.iter().find(|id| records.iter().all(|record| record.id != **id)) {
        return Err(Error::field(
            &args.data,
            "id",
            "the samples to leave out",
            format!("none called {missing}"),
        )
        .into());
    }
    records.retain(|record| !args.leave_out.contains(&record.id));
    records.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
    let terminal = Terminal::new();
    let (means, count) =
        means(args.model.id(), &args.condition.condition, records, &mut Models::default(), &terminal)?;
    terminal.finish();
    let facts = serde_json::json!({"kind": "mean", "of": ids, "version": env!("CARGO_PKG_VERSION")});
    recording_file::write(&means, &facts.to_string(), &args.out)?;
    print(&format!(
        "means of {} latents over {count} samples, written to {}",
        means.tokens.len(),
        args.out.display()
    ));
    Ok(())
}
