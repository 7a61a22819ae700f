//! `livr trace`: one run, everything captured, in one safetensors file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::args::{ModelArgs, RunArgs};
use super::output::{Terminal, json, print, say, timings};
use crate::ask::{AttentionRows, HiddenRows, Keep, LogitRows, Tokens};
use crate::export::{recording_file, trace_file};
use crate::trace::{Timings, Trace};

/// How much of a tensor to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeptPart {
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
    /// The file to write; - is standard output, and what is said then goes to standard error
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Keep every attention row: layers x heads x tokens x tokens
    #[arg(long, value_enum, default_value_t = KeptPart::Rows)]
    attentions: KeptPart,
    /// Keep hidden states of every token
    #[arg(long, value_enum, default_value_t = KeptPart::Rows)]
    hidden: KeptPart,
    /// Keep logits of every prompt position
    #[arg(long, value_enum, default_value_t = KeptPart::Rows)]
    logits: KeptPart,
    /// Record what another run may take over by --donor: states, keys, values, outputs of heads
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Of these tokens, as in latents+tail
    #[arg(long, value_name = "TOKENS", default_value = "all", requires = "record")]
    record_of: Tokens,
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

/// What was asked, for whoever finds the recording.
fn facts(trace: &Trace) -> String {
    let facts = serde_json::json!({
        "kind": "donor",
        "model": trace.model,
        "adapter": trace.adapter,
        "text": trace.text,
        "condition": trace.condition,
        "version": env!("CARGO_PKG_VERSION"),
    });
    facts.to_string()
}

/// Runs it.
pub fn run(args: TraceArgs) -> anyhow::Result<()> {
    let piped = args.out.as_os_str() == "-";
    if !piped {
        // Minutes later would be too late to say so.
        args.model.check_output(&args.out, &args.run.image)?;
    }
    if let Some(record) = &args.record {
        args.model.check_output(record, &args.run.image)?;
    }
    let sample = args.run.sample()?;
    let full = |keep: KeptPart| keep == KeptPart::Full;
    let keep = Keep {
        attention: if full(args.attentions) { AttentionRows::Full } else { AttentionRows::LatentsAndAnswer },
        hidden: full(args.hidden).then(HiddenRows::all),
        logits: if full(args.logits) { LogitRows::Full } else { LogitRows::Answer },
        pixels: true,
        recording: args.record.is_some().then(|| args.record_of.clone()),
    };
    let terminal = Terminal::new();
    let trace = args.model.run(&args.run, sample, &keep, &terminal)?;
    terminal.finish();
    if let (Some(path), Some(recording)) = (&args.record, &trace.recording) {
        recording_file::write(recording, &facts(&trace), path)?;
    }
    if piped {
        trace_file::write_to(&trace, Path::new("standard output"), &mut std::io::stdout().lock())?;
    } else {
        trace_file::write(&trace, &args.out)?;
    }
    let said = if args.json {
        json(&Report {
            num_prompt_tokens: trace.input_ids.len(),
            num_latents: trace.num_latents(),
            timings: trace.timings,
            answer: trace.answer,
            out: args.out,
        })
    } else {
        let place = if piped { "standard output".to_owned() } else { args.out.display().to_string() };
        format!("{}\n{}, written to {place}", trace.answer, timings(&trace.timings))
    };
    if piped {
        say(&said);
    } else {
        print(&said);
    }
    Ok(())
}
