//! `livr ask`: the answer, the probability of each choice, timings.

use clap::Args;
use serde::Serialize;

use super::args::{ModelArgs, RunArgs};
use super::output::{Terminal, print, print_json, timings};
use crate::settings::{Capture, Settings};
use crate::trace::{ChoiceScore, GeneratedToken, Timings};

/// Options of `livr ask`.
#[derive(Debug, Args)]
pub struct AskArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    answer: &'a str,
    choices: &'a [ChoiceScore],
    tokens: &'a [GeneratedToken],
    num_prompt_tokens: usize,
    num_latents: usize,
    timings: Timings,
    settings: &'a Settings,
    model: &'a str,
    adapter: &'a str,
    version: &'static str,
}

/// Runs it.
pub fn run(args: &AskArgs) -> anyhow::Result<()> {
    let sample = args.run.sample()?;
    let terminal = Terminal::new();
    let mut session = args.model.load(&terminal)?;
    let trace = session.run(&sample, &args.run.settings(Capture::default()), &terminal)?;
    terminal.finish();
    if args.json {
        print_json(&Report {
            answer: &trace.answer,
            choices: &trace.choices,
            tokens: &trace.generated,
            num_prompt_tokens: trace.input_ids.len(),
            num_latents: trace.num_latents(),
            timings: trace.timings,
            settings: &trace.settings,
            model: &trace.model,
            adapter: &trace.adapter,
            version: env!("CARGO_PKG_VERSION"),
        });
        return Ok(());
    }
    print(&trace.answer);
    for choice in &trace.choices {
        print(&format!(
            "  {}  {:5.1} %  (log-probability {:.3})",
            choice.choice,
            100.0 * choice.probability,
            choice.logprob
        ));
    }
    print(&format!(
        "{} tokens in, {} out, {}",
        trace.input_ids.len(),
        trace.generated.len(),
        timings(&trace.timings)
    ));
    Ok(())
}
