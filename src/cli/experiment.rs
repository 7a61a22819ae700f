//! `livr experiment`: the paper's test battery over several adapters, as tables and charts.

use std::path::PathBuf;

use clap::Args;

use super::output::{Terminal, print, print_json};
use crate::atomic;
use crate::data::dataset;
use crate::data::disturb::Disturbance;
use crate::engine::experiment::{Condition, ExperimentOrder, Named, Summary, measure, tables};
use crate::engine::ids::{BaseId, Source};
use crate::export::bars::{Bars, write_svg};
use crate::settings::{DeviceChoice, DtypeChoice};

/// Options of `livr experiment`.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// Checkpoint folder [default: the built-in demo]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Adapters by name: NAME=DIR, NAME=demo:livr, or NAME=none; several seeds of one way as way/1, way/2
    #[arg(long, value_name = "NAME=DIR", num_args = 1.., required = true, value_parser = named)]
    adapters: Vec<Named>,
    /// Data file
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder for the result; what it has already is not measured again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Ask disturbed samples too: occlusion=SHARE, noise=DEVIATION, rotation=DEGREES, no-images, no-question
    #[arg(long, value_name = "HOW", num_args = 1..)]
    disturb: Vec<Disturbance>,
    /// Samples of each task, the first ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_task: Option<u32>,
    /// Samples that go through the model together
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    batch: u32,
    /// Decides how samples are disturbed
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Element type of the weights
    #[arg(long, value_enum, default_value_t = DtypeChoice::Auto)]
    dtype: DtypeChoice,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

fn named(text: &str) -> Result<Named, String> {
    let wrong = || format!("expected NAME=DIR, NAME=demo:livr or NAME=none, found {text}");
    let (name, place) = text.split_once('=').ok_or_else(wrong)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    let is_part = |part: &str| part.chars().all(is_plain) && part.chars().any(|c| c.is_ascii_alphanumeric());
    if place.is_empty() || !name.split('/').all(is_part) {
        return Err(wrong());
    }
    Ok(Named { name: name.to_owned(), adapter: Source::adapter(place.as_ref())? })
}

/// Two of one name would be taken for seeds of one way, and have one file.
fn check_names(adapters: &[Named]) -> anyhow::Result<()> {
    let file = |named: &Named| named.name.replace('/', "-");
    for (i, named) in adapters.iter().enumerate() {
        let is_taken = adapters[..i].iter().any(|other| file(other) == file(named));
        anyhow::ensure!(!is_taken, "--adapters: expected names of their own, found {} twice", named.name);
    }
    Ok(())
}

/// Runs it.
pub fn run(args: ExperimentArgs) -> anyhow::Result<()> {
    check_names(&args.adapters)?;
    for (i, disturbance) in args.disturb.iter().enumerate() {
        // The same twice would be taken for two seeds.
        let is_twice = args.disturb[..i].contains(disturbance);
        anyhow::ensure!(!is_twice, "--disturb: expected each way once, found {disturbance} twice");
    }
    let source = args.model.as_ref().map_or(Source::Demo, |path| Source::named(path.as_os_str()));
    let mut records = dataset::read(&args.data)?;
    if let Some(most) = args.per_task {
        let mut taken = std::collections::BTreeMap::<String, u32>::new();
        records.retain(|record| {
            let count = taken.entry(record.task.clone()).or_default();
            *count += 1;
            *count <= most
        });
    }
    let disturbed = args.disturb.iter().map(|disturbance| Condition::disturbed(*disturbance));
    let order = ExperimentOrder {
        base: BaseId { source, device: args.device, dtype: args.dtype },
        adapters: args.adapters,
        conditions: Condition::battery().into_iter().chain(disturbed).collect(),
        records,
        batch: args.batch as usize,
        seed: args.seed,
    };
    let terminal = Terminal::new();
    let cells = measure(&order, &args.out.join("cells"), &terminal)?;
    terminal.finish();
    let summaries = Summary::of(&cells);
    let write =
        |name: &str, text: &str| atomic::write(&args.out.join(name), |out| out.write_all(text.as_bytes()));
    write("results.json", &serde_json::to_string_pretty(&summaries)?)?;
    let text = tables(&summaries);
    write("tables.md", &text)?;
    write_svg(&chart(&summaries), &args.out.join("battery.svg"))?;
    if args.json {
        print_json(&summaries);
    } else {
        print(text.trim_end());
    }
    Ok(())
}

/// A colour for each way of training, a group for each condition.
fn chart(summaries: &[Summary]) -> Bars {
    let mut groups: Vec<String> = Vec::new();
    let mut series: Vec<(String, Vec<_>)> = Vec::new();
    for summary in summaries {
        if !groups.contains(&summary.condition) {
            groups.push(summary.condition.clone());
        }
        if !series.iter().any(|(name, _)| *name == summary.variant) {
            series.push((summary.variant.clone(), Vec::new()));
        }
    }
    for (name, bars) in &mut series {
        let bar = |group: &String| {
            let own = summaries.iter().find(|s| s.variant == *name && s.condition == *group)?;
            Some((own.all.accuracy, own.all.interval))
        };
        *bars = groups.iter().map(bar).collect();
    }
    let chance = summaries.iter().find_map(|summary| summary.all.chance);
    Bars {
        title: "Accuracy over all tasks, 95 % intervals".to_owned(),
        groups,
        series,
        level: chance.map(|chance| ("chance".to_owned(), chance)),
    }
}
