//! `livr ask`: the answer, the probability of each choice, timings.

use clap::Args;
use serde::Serialize;

use super::args::{ModelArgs, RunArgs};
use super::output::{Terminal, print, print_json, timings};
use crate::ask::{Condition, Keep};
use crate::trace::{Applied, ChoiceScore, GeneratedToken, Intervened, Timings, Trace};

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
    image_sizes: Vec<[usize; 2]>,
    settings: &'a Condition,
    #[serde(skip_serializing_if = "<[Intervened]>::is_empty")]
    interventions: &'a [Intervened],
    applied: Applied,
    model: &'a str,
    adapter: &'a str,
    version: &'static str,
}

/// Runs it.
pub fn run(args: &AskArgs) -> anyhow::Result<()> {
    let sample = args.run.sample()?;
    let terminal = Terminal::new();
    let trace = args.model.run(&args.run, sample, &Keep::default(), &terminal)?;
    terminal.finish();
    if args.json {
        print_json(&Report {
            answer: &trace.answer,
            choices: &trace.choices,
            tokens: &trace.generated,
            num_prompt_tokens: trace.input_ids.len(),
            num_latents: trace.num_latents(),
            timings: trace.timings,
            image_sizes: image_sizes(&trace),
            settings: &trace.condition,
            interventions: &trace.interventions,
            applied: trace.applied,
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
    for done in &trace.interventions {
        print(&format!("  {}: {} changed", done.statement, done.changed));
    }
    let sizes: Vec<String> = image_sizes(&trace).iter().map(|[w, h]| format!("{w} x {h}")).collect();
    let read =
        if sizes.is_empty() { String::new() } else { format!(", images read at {}", sizes.join(", ")) };
    let penalty = trace.applied.repetition_penalty;
    let penalty = penalty.map_or_else(String::new, |x| format!(", repetition penalty {x}"));
    print(&format!(
        "{} tokens in, {} out{read}{penalty}, {}",
        trace.input_ids.len(),
        trace.generated.len(),
        timings(&trace.timings)
    ));
    Ok(())
}

/// Width and height at which each image was read.
fn image_sizes(trace: &Trace) -> Vec<[usize; 2]> {
    (0..trace.grids.len()).map(|image| trace.read_size(image)).map(|(h, w)| [w, h]).collect()
}
