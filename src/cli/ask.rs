//! `livr ask`: the answer, the probability of each choice, timings.

use clap::Args;
use serde::Serialize;

use super::args::{ModelArgs, ModelsArgs, RunArgs, name_among};
use super::output::{Terminal, print, print_json, timings};
use crate::ask::{Condition, Keep};
use crate::engine::ids::ModelId;
use crate::engine::models::Models;
use crate::trace::{Applied, ChoiceScore, GeneratedToken, Intervened, Receipt, Timings, Trace};

/// Options of `livr ask`.
#[derive(Debug, Args)]
pub struct AskArgs {
    #[command(flatten)]
    models: ModelsArgs,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Receipt>,
    applied: Applied,
    model: &'a str,
    adapter: &'a str,
    version: &'static str,
}

/// The answers of several models, in the order they were named.
#[derive(Serialize)]
struct Comparison<'a> {
    #[serde(rename = "comparison")]
    answers: Vec<Report<'a>>,
}

impl<'a> Report<'a> {
    fn of(trace: &'a Trace) -> Self {
        Self {
            answer: &trace.answer,
            choices: &trace.choices,
            tokens: &trace.generated,
            num_prompt_tokens: trace.input_ids.len(),
            num_latents: trace.num_latents(),
            timings: trace.timings,
            image_sizes: image_sizes(trace),
            settings: &trace.condition,
            interventions: &trace.interventions,
            receipt: trace.receipt.as_deref(),
            applied: trace.applied,
            model: &trace.model,
            adapter: &trace.adapter,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Runs it.
pub fn run(args: &AskArgs) -> anyhow::Result<()> {
    let asked = args.models.each()?;
    let sample = args.run.sample()?;
    let terminal = Terminal::new();
    let mut models = Models::default();
    let keep = Keep::default();
    let mut traces = Vec::new();
    for model in &asked {
        traces.push(model.run_in(&mut models, &args.run, sample.clone(), &keep, &terminal)?);
    }
    terminal.finish();
    match &traces[..] {
        [one] if args.json => print_json(&Report::of(one)),
        [one] => print_answer(one),
        several if args.json => print_json(&Comparison { answers: several.iter().map(Report::of).collect() }),
        several => {
            let ids: Vec<ModelId> = asked.iter().map(ModelArgs::id).collect();
            let names: Vec<String> = ids.iter().map(|id| name_among(id, &ids)).collect();
            for line in table(&names, several) {
                print(&line);
            }
        }
    }
    Ok(())
}

fn print_answer(trace: &Trace) {
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
        let moved = done.moved.map_or_else(String::new, |moved| format!(", by {moved:.3} in all"));
        print(&format!("  {}: {} changed{moved}", done.statement, done.changed));
    }
    if let Some(receipt) = &trace.receipt {
        print_receipt(trace, receipt);
    }
    let sizes: Vec<String> = image_sizes(trace).iter().map(|[w, h]| format!("{w} x {h}")).collect();
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
}

/// What the edits did, beside the run without them.
fn print_receipt(trace: &Trace, receipt: &Receipt) {
    let sham = if receipt.sham { "the sham changed no bit" } else { "the sham failed" };
    print(&format!(
        "  without: {}; the state that says the answer moved by {:.1} % of its length; {sham}",
        receipt.base_answer,
        100.0 * receipt.last_state
    ));
    let changes = trace.choices.iter().zip(receipt.changes(trace));
    let changes: Vec<String> =
        changes.map(|(choice, change)| format!("{} {change:+.3}", choice.choice)).collect();
    if !changes.is_empty() {
        print(&format!("  nats: {}", changes.join(", ")));
    }
}

/// A line for each model under one of what the columns are; an answer other than the first model's is marked.
fn table(names: &[String], traces: &[Trace]) -> Vec<String> {
    let choices: Vec<&str> = traces[0].choices.iter().map(|own| own.choice.as_str()).collect();
    let head = ["", "answer"].into_iter().chain(choices).map(str::to_owned).collect();
    let row = |(name, trace): (&String, &Trace)| {
        let mark = if trace.answer == traces[0].answer { "" } else { " *" };
        let shares = trace.choices.iter().map(|own| format!("{:.1} %", 100.0 * own.probability));
        [name.clone(), format!("{}{mark}", trace.answer.replace('\n', " "))]
            .into_iter()
            .chain(shares)
            .collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(names.iter().zip(traces).map(row)).collect();
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let other = traces.iter().any(|own| own.answer != traces[0].answer);
    let legend = other.then(|| format!("* other than {}", names[0]));
    rows.iter().map(line).chain(legend).collect()
}

/// Width and height at which each image was read.
fn image_sizes(trace: &Trace) -> Vec<[usize; 2]> {
    (0..trace.grids.len()).map(|image| trace.read_size(image)).map(|(h, w)| [w, h]).collect()
}
