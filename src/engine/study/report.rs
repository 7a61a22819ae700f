//! What the cells say, by the way of training: over its seeds, with how sure that is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::accuracy::{Accuracy, Prediction};
use super::cells::Cell;
use super::contrast::{Contrast, findings};
use super::page::page;
use crate::analysis::statistics::{Draws, wilson};
use crate::atomic;
use crate::error::Result;
use crate::export::bars::{Bars, svg};
use crate::export::csv::quoted;

/// All seeds of a way of training under one condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The way it was trained: the adapters' names before the slash.
    pub variant: String,
    /// How it was asked.
    pub condition: String,
    /// Mean over all seeds, of as many samples as one has: what seeds say of one sample is not independent. The interval is
    /// that of so many samples, and leaves out how much seeds differ.
    pub all: Accuracy,
    /// Of each task, in the same way.
    pub tasks: BTreeMap<String, Accuracy>,
    /// Accuracy of each seed.
    pub seeds: Vec<f64>,
    /// Attention of the answer to the latents, mean over seeds.
    pub latent_mass: Option<f64>,
}

impl Summary {
    /// One for each way of training and condition, in the cells' order.
    pub fn of(cells: &[Cell]) -> Vec<Self> {
        let mut groups: Vec<((&str, &str), Vec<&Cell>)> = Vec::new();
        for cell in cells {
            let variant = cell.adapter.split('/').next().unwrap_or_default();
            let key = (variant, cell.condition.name.as_str());
            match groups.iter_mut().find(|(other, _)| *other == key) {
                Some((_, group)) => group.push(cell),
                None => groups.push((key, vec![cell])),
            }
        }
        let one = |((variant, condition), cells): ((&str, &str), Vec<&Cell>)| {
            let all: Vec<Prediction> = cells.iter().flat_map(|cell| cell.predictions.clone()).collect();
            let masses: Vec<f64> = cells.iter().filter_map(|cell| cell.latent_mass).collect();
            Self {
                variant: variant.to_owned(),
                condition: condition.to_owned(),
                all: of_samples(&Accuracy::of(&all), cells.len()),
                tasks: Accuracy::by_task(&all)
                    .into_iter()
                    .map(|(task, own)| (task, of_samples(&own, cells.len())))
                    .collect(),
                seeds: cells.iter().map(|cell| cell.all.accuracy).collect(),
                latent_mass: (!masses.is_empty()).then(|| masses.iter().sum::<f64>() / masses.len() as f64),
            }
        };
        groups.into_iter().map(one).collect()
    }
}

/// The mean over seeds as one of one seed's number of samples.
fn of_samples(over_seeds: &Accuracy, seeds: usize) -> Accuracy {
    let samples = over_seeds.samples / seeds.max(1);
    let correct = (over_seeds.accuracy * samples as f64).round() as usize;
    Accuracy { samples, interval: wilson(correct, samples), ..*over_seeds }
}

fn percent(accuracy: &Accuracy) -> String {
    let [low, high] = accuracy.interval.map(|x| 100.0 * x);
    format!("{:.1} [{low:.1}, {high:.1}]", 100.0 * accuracy.accuracy)
}

/// Names in the order they come first.
fn firsts<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut firsts = Vec::new();
    for name in names {
        if !firsts.contains(&name) {
            firsts.push(name);
        }
    }
    firsts
}

/// The summaries as Markdown: all tasks by condition, then each condition by task.
pub fn tables(summaries: &[Summary]) -> String {
    let variants = firsts(summaries.iter().map(|s| s.variant.as_str()));
    let conditions = firsts(summaries.iter().map(|s| s.condition.as_str()));
    let of = |variant: &str, condition: &str| {
        summaries.iter().find(|s| s.variant == variant && s.condition == condition)
    };
    let rows = variants.iter().map(|variant| {
        let mass = of(variant, "normal").and_then(|s| s.latent_mass);
        let mass = mass.map_or_else(String::new, |mass| format!("{mass:.4}"));
        let cell = |condition: &&str| of(variant, condition).map_or_else(String::new, with_seeds);
        std::iter::once((*variant).to_owned()).chain(conditions.iter().map(cell)).chain([mass]).collect()
    });
    let heads = [&["accuracy, %"], &conditions[..], &["attention to latents"]].concat();
    let several = summaries.iter().any(|s| s.seeds.len() > 1);
    let note = if several {
        "\nIn brackets 95 % intervals (Wilson) of one seed's number of samples, which leave out how much seeds differ; in \
         parentheses each seed.\n"
    } else {
        "\nIn brackets 95 % intervals (Wilson).\n"
    };
    let mut text = table(&heads, rows.collect()) + note;
    for condition in &conditions {
        let own = summaries.iter().filter(|s| s.condition == *condition);
        let tasks = firsts(own.flat_map(|s| s.tasks.keys().map(String::as_str)));
        let rows = tasks.iter().map(|task| {
            let chance = variants.iter().find_map(|v| of(v, condition)?.tasks.get(*task)?.chance);
            let chance = chance.map_or_else(String::new, |c| format!("{:.1}", 100.0 * c));
            let cell = |variant: &&str| {
                of(variant, condition).and_then(|s| s.tasks.get(*task)).map_or_else(String::new, percent)
            };
            [(*task).to_owned(), chance].into_iter().chain(variants.iter().map(cell)).collect()
        });
        let heads = [&["accuracy, %", "chance"], &variants[..]].concat();
        let own = table(&heads, rows.collect());
        text = text + "\n### " + condition + "\n\n" + &own;
    }
    text
}

fn with_seeds(summary: &Summary) -> String {
    let seeds: Vec<String> = summary.seeds.iter().map(|a| format!("{:.1}", 100.0 * a)).collect();
    let seeds = if seeds.len() > 1 { format!(" ({})", seeds.join(", ")) } else { String::new() };
    percent(&summary.all) + &seeds
}

fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule = heads.iter().map(|_| "---".to_owned()).collect();
    // Names are whatever a data file says.
    let plain = |cell: String| cell.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ");
    let line = |cells: Vec<String>| cells.into_iter().map(plain).collect::<Vec<_>>().join(" | ");
    let lines = [head, rule].into_iter().chain(rows).map(line);
    lines.fold(String::new(), |text, line| text + "| " + &line + " |\n")
}

/// What cells say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudyReport {
    /// By the way of training and the condition.
    pub summaries: Vec<Summary>,
    /// Conditions beside the first of each model.
    pub conditions: Vec<Contrast>,
}

/// The conditions as a file has them.
#[derive(Serialize)]
struct Battery<'a> {
    conditions: &'a [Contrast],
    draws: usize,
    seed: u64,
    version: &'static str,
}

/// Writes what cells say into a folder: `results.json`, `tables.md`, `battery.svg`, `battery.json`, `samples.csv`,
/// `report.html`.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(cells: &[Cell], out: &Path) -> Result<StudyReport> {
    // A sham says whether its condition is void, and nothing of itself.
    let asked: Vec<Cell> = cells.iter().filter(|cell| !cell.condition.condition.sham).cloned().collect();
    let summaries = Summary::of(&asked);
    let path = out.join("results.json");
    let text = serde_json::to_string_pretty(&summaries).expect("plain data serialises");
    atomic::write(&path, |file| file.write_all(text.as_bytes()))?;
    let chart = svg(&chart(&summaries), &out.join("battery.svg"))?;
    atomic::write(&out.join("battery.svg"), |file| file.write_all(chart.as_bytes()))?;
    let draws = Draws::default();
    let conditions = Contrast::of(cells, draws);
    let text =
        format!("{}\n### Beside the first condition\n\n{}\n", tables(&summaries), findings(&conditions));
    atomic::write(&out.join("tables.md"), |file| file.write_all(text.as_bytes()))?;
    let battery = Battery {
        conditions: &conditions,
        draws: draws.count,
        seed: draws.seed,
        version: env!("CARGO_PKG_VERSION"),
    };
    atomic::write_json(&out.join("battery.json"), &battery)?;
    let page = page(cells, &conditions, &chart, draws);
    atomic::write(&out.join("report.html"), |file| file.write_all(page.as_bytes()))?;
    atomic::write(&out.join("samples.csv"), |file| file.write_all(samples(cells).as_bytes()))?;
    Ok(StudyReport { summaries, conditions })
}

/// A line for each sample under each condition of each model.
fn samples(cells: &[Cell]) -> String {
    let line = |cell: &Cell, own: &Prediction| {
        let words = [&cell.adapter, &cell.condition.name, &own.id, &own.task, &own.target, &own.pred];
        let words: Vec<String> = words.into_iter().map(|word| quoted(word)).collect();
        let changed: Vec<String> = own.changed.iter().map(ToString::to_string).collect();
        format!("{},{},{}\n", words.join(","), own.correct, changed.join(" "))
    };
    let lines = cells.iter().flat_map(|cell| cell.predictions.iter().map(|own| line(cell, own)));
    let head = "model,condition,sample,task,target,pred,correct,changed\n".to_owned();
    std::iter::once(head).chain(lines).collect::<Vec<_>>().concat()
}

/// A condition's name in the room below its bars.
fn short(name: &str) -> String {
    const LONGEST: usize = 20;
    let plain = name.replace("'do=", "").replace('\'', "");
    match plain.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &plain[..cut]),
        None => plain,
    }
}

/// A colour for each way of training, a group for each condition.
fn chart(summaries: &[Summary]) -> Bars {
    let of = |variant: &str, condition: &str| {
        let own = summaries.iter().find(|s| s.variant == variant && s.condition == condition)?;
        Some((own.all.accuracy, own.all.interval))
    };
    let groups = firsts(summaries.iter().map(|s| s.condition.as_str()));
    let variants = firsts(summaries.iter().map(|s| s.variant.as_str()));
    let bars = |variant: &&str| {
        ((*variant).to_owned(), groups.iter().map(|condition| of(variant, condition)).collect())
    };
    let chance = summaries.iter().find_map(|summary| summary.all.chance);
    Bars {
        title: "Accuracy over all tasks, 95 % intervals".to_owned(),
        series: variants.iter().map(bars).collect(),
        groups: groups.iter().map(|name| short(name)).collect(),
        level: chance.map(|chance| ("chance".to_owned(), chance)),
    }
}
