//! `livr trace`: one run, everything captured, in one safetensors file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::args::{ModelArgs, RunArgs};
use super::output::{Terminal, print, print_json, timings};
use crate::export::trace_file;
use crate::settings::{AttentionRows, Capture, HiddenRows, LogitRows};
use crate::trace::Timings;

/// How much of a tensor to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// Rows of latents and answer, the last logits, no hidden states.
    Rows,
    /// All of it.
    Full,
}

/// Options of `livr trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Keep every attention row: layers x heads x tokens x tokens
    #[arg(long, value_enum, default_value_t = Keep::Rows)]
    attentions: Keep,
    /// Keep hidden states of every token
    #[arg(long, value_enum, default_value_t = Keep::Rows)]
    hidden: Keep,
    /// Keep logits of every prompt position
    #[arg(long, value_enum, default_value_t = Keep::Rows)]
    logits: Keep,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    answer: String,
    num_prompt_tokens: usize,
    num_latents: usize,
    timings: Timings,
}

/// Runs it.
pub fn run(args: TraceArgs) -> anyhow::Result<()> {
    // Minutes later would be too late to say so.
    args.model.check_output(&args.out, &args.run.image)?;
    let sample = args.run.sample()?;
    let full = |keep: Keep| keep == Keep::Full;
    let capture = Capture {
        attention: if full(args.attentions) { AttentionRows::Full } else { AttentionRows::LatentsAndAnswer },
        hidden: full(args.hidden).then(HiddenRows::all),
        logits: if full(args.logits) { LogitRows::Full } else { LogitRows::Answer },
        pixels: true,
    };
    let terminal = Terminal::new();
    let trace = args.model.run(sample, args.run.settings(capture), &terminal)?;
    terminal.finish();
    trace_file::write(&trace, &args.out)?;
    if args.json {
        print_json(&Report {
            num_prompt_tokens: trace.input_ids.len(),
            num_latents: trace.num_latents(),
            timings: trace.timings,
            answer: trace.answer,
            out: args.out,
        });
    } else {
        print(&trace.answer);
        print(&format!("{}, written to {}", timings(&trace.timings), args.out.display()));
    }
    Ok(())
}
