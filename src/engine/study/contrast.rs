//! Conditions beside the base condition of the same model, sample by sample: what each changes, and how sure that is.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::accuracy::{Accuracy, Prediction};
use super::cells::Cell;
use super::compared::{Judged, PairedResult, Verdicts, pair};
use super::result::EditDone;
use crate::analysis::statistics::{Draws, bootstrap, clustered_bootstrap, clusters_of, mean};
use crate::ask::Condition;

/// A mean over samples with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shift {
    /// In nats.
    pub mean: f64,
    /// 95 %, by samples drawn again; nothing of fewer than two.
    pub interval: Option<[f64; 2]>,
    /// It is of so many.
    pub samples: usize,
}

/// What makes a finding less than it seems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// Fewer than thirty samples.
    FewSamples,
    /// Some samples were answered under one of the two conditions only.
    Unpaired,
    /// The base is right nearly always: what makes it better cannot be seen.
    Ceiling,
    /// The base is no better than guessing: there is nothing to lose.
    Chance,
    /// No edit changed anything in any sample.
    NothingChanged,
    /// The sham changed an answer: the condition is void.
    ShamFailed,
}

impl Warning {
    /// Does it void what was found?
    pub fn voids(self) -> bool {
        matches!(self, Self::NothingChanged | Self::ShamFailed)
    }

    /// In words.
    pub fn says(self) -> &'static str {
        match self {
            Self::FewSamples => "few samples",
            Self::Unpaired => "not all samples are in both",
            Self::Ceiling => "the base is right nearly always",
            Self::Chance => "the base is no better than guessing",
            Self::NothingChanged => "the edit changed nothing",
            Self::ShamFailed => "void: its sham failed",
        }
    }
}

/// A condition of a model beside its base.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contrast {
    /// The model's name.
    pub model: String,
    /// The condition's.
    pub name: String,
    /// What it is compared with.
    pub base: String,
    /// Over all samples.
    #[serde(flatten)]
    pub all: Accuracy,
    /// Accuracy less that of the base, over samples that both have.
    pub difference: Option<f64>,
    /// 95 %, Newcombe's method 10.
    pub newcombe: Option<[f64; 2]>,
    /// 95 %, by samples drawn again; where some share a photograph or scene, by these.
    pub bootstrap: Option<[f64; 2]>,
    /// Photographs or scenes that are drawn, where samples share some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<usize>,
    /// Exact, two-sided.
    pub mcnemar_p: f64,
    /// Corrected for all conditions of the model (Holm).
    pub holm_p: f64,
    /// Samples that it alone has right.
    pub gained: Vec<String>,
    /// Samples that the base alone has right.
    pub lost: Vec<String>,
    /// Change of the margin of the right choice over the best other; nothing where no choices were scored.
    pub delta_margin: Option<Shift>,
    /// The same of samples that the base has right.
    pub delta_margin_of_right: Option<Shift>,
    /// What its edits did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<EditDone>,
    /// Did the same edits, done with what was there, give the scores without edits to the bit? Nothing where either was not
    /// asked.
    pub sham: Option<bool>,
    /// Answers that name none of the choices.
    pub parse_failures: usize,
    /// What makes it less than it seems.
    pub warnings: Vec<Warning>,
}

impl Contrast {
    /// Of all cells: each model's conditions beside its first.
    pub fn of(cells: &[Cell], draws: Draws) -> Vec<Self> {
        let mut models: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
        for cell in cells {
            models.entry(&cell.adapter).or_default().push(cell);
        }
        let order = |model: &str| cells.iter().position(|cell| cell.adapter == model);
        let mut models: Vec<_> = models.into_iter().collect();
        models.sort_by_key(|(model, _)| order(model));
        models.into_iter().flat_map(|(_, cells)| of_model(&cells, draws)).collect()
    }

    /// What it says, no more than its interval does.
    pub fn says(&self) -> String {
        let (Some(difference), Some([low, high])) = (self.difference, self.newcombe) else {
            return "no sample is in both".to_owned();
        };
        let points = format!(
            "{:+.1} points [{:+.1}, {:+.1}], {} lost, {} gained, p = {}, {} after Holm",
            100.0 * difference,
            100.0 * low,
            100.0 * high,
            self.lost.len(),
            self.gained.len(),
            p_value(self.mcnemar_p),
            p_value(self.holm_p)
        );
        let verdict = if self.warnings.contains(&Warning::ShamFailed) {
            "void"
        } else if self.warnings.contains(&Warning::NothingChanged) {
            "nothing was changed"
        } else if self.holm_p <= 0.05 {
            if difference < 0.0 { "worse" } else { "better" }
        } else {
            "no difference found"
        };
        let warnings: Vec<&str> = self.warnings.iter().map(|own| own.says()).collect();
        let warnings =
            if warnings.is_empty() { String::new() } else { format!(" ({})", warnings.join("; ")) };
        format!("{verdict}: {points}{warnings}")
    }
}

/// A line for each condition of each model, beside its base.
pub fn findings(conditions: &[Contrast]) -> String {
    let several = conditions.iter().any(|own| own.model != conditions[0].model);
    let line = |own: &Contrast| {
        let model = if several { format!("{}, ", own.model) } else { String::new() };
        format!("- {model}{} beside {}: {}", own.name, own.base, own.says())
    };
    conditions.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn of_model(cells: &[&Cell], draws: Draws) -> Vec<Contrast> {
    let Some((base, others)) = cells.split_first() else { return Vec::new() };
    let is_sham = |cell: &&&Cell| cell.condition.condition.sham;
    let others: Vec<&&Cell> = others.iter().filter(|cell| !is_sham(cell)).collect();
    let named =
        |cell: &&&Cell| Verdicts { name: cell.condition.name.clone(), all: verdicts(&cell.predictions) };
    let pairs = pair(&verdicts(&base.predictions), &others.iter().map(named).collect::<Vec<_>>(), draws);
    let one = |(cell, pair): (&&&Cell, PairedResult)| {
        let condition = &cell.condition.condition;
        let asked = |own: &Condition| cells.iter().find(|cell| cell.condition.condition == *own);
        let sham = asked(&Condition { sham: true, ..condition.clone() });
        let unedited = asked(&condition.clone().unedited());
        let sham = unedited.zip(sham).map(|(unedited, sham)| is_same(unedited, sham));
        contrast(base, cell, sham, &pair, draws)
    };
    others.iter().zip(pairs).map(one).collect()
}

fn verdicts(predictions: &[Prediction]) -> Vec<Judged> {
    let one =
        |own: &Prediction| Judged { id: own.id.clone(), target: own.target.clone(), correct: own.correct };
    predictions.iter().map(one).collect()
}

/// Are the scores of two cells the same to the bit?
fn is_same(a: &Cell, b: &Cell) -> bool {
    let bits = |cell: &Cell| -> Vec<(String, String, Vec<u32>)> {
        let one = |own: &Prediction| {
            let scores = own.choice_logprobs.iter().map(|score| score.to_bits()).collect();
            (own.id.clone(), own.answer.clone(), scores)
        };
        cell.predictions.iter().map(one).collect()
    };
    bits(a) == bits(b)
}

fn contrast(base: &Cell, cell: &Cell, sham: Option<bool>, pair: &PairedResult, draws: Draws) -> Contrast {
    let by_id: HashMap<&str, &Prediction> =
        base.predictions.iter().map(|own| (own.id.as_str(), own)).collect();
    let both: Vec<(&Prediction, &Prediction)> =
        cell.predictions.iter().filter_map(|own| Some((own, *by_id.get(own.id.as_str())?))).collect();
    let flipped = |to: bool| -> Vec<String> {
        let own = both.iter().filter(|(own, base)| own.correct == to && base.correct != to);
        own.map(|(own, _)| own.id.clone()).collect()
    };
    let shifts = |of_right: bool| {
        let own = both.iter().filter(|(_, base)| !of_right || base.correct);
        let changes: Vec<f64> = own.filter_map(|(own, base)| Some(margin(own)? - margin(base)?)).collect();
        let interval = bootstrap(&changes, draws.rows(changes.len()));
        mean(&changes).map(|mean| Shift { mean, interval, samples: changes.len() })
    };
    let clusters = clustered(&both, draws);
    let changed = EditDone::all(&cell.condition.condition, &cell.predictions);
    let chance = base.all.chance.is_some_and(|chance| base.all.interval[0] <= chance);
    let found = [
        (pair.n < 30, Warning::FewSamples),
        (pair.only_base + pair.only_other + pair.other_targets > 0, Warning::Unpaired),
        (base.all.accuracy >= 0.97, Warning::Ceiling),
        (chance, Warning::Chance),
        (!changed.is_empty() && changed.iter().all(|own| own.changed == 0), Warning::NothingChanged),
        (sham == Some(false), Warning::ShamFailed),
    ];
    Contrast {
        model: cell.adapter.clone(),
        name: cell.condition.name.clone(),
        base: base.condition.name.clone(),
        all: cell.all.clone(),
        difference: pair.difference,
        newcombe: pair.newcombe,
        bootstrap: clusters.as_ref().map_or(pair.bootstrap, |own| own.1),
        clusters: clusters.as_ref().map(|own| own.0),
        mcnemar_p: pair.mcnemar_p,
        holm_p: pair.holm_p,
        gained: flipped(true),
        lost: flipped(false),
        delta_margin: shifts(false),
        delta_margin_of_right: shifts(true),
        changed,
        sham,
        parse_failures: cell.predictions.iter().filter(|own| names_no_choice(own)).count(),
        warnings: found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, warning)| warning).collect(),
    }
}

/// How many photographs or scenes there are, and the interval of the difference by these; nothing where no samples share one.
fn clustered(both: &[(&Prediction, &Prediction)], draws: Draws) -> Option<(usize, Option<[f64; 2]>)> {
    let sources: Option<Vec<&String>> = both.iter().map(|(own, _)| own.source.as_ref()).collect();
    let (clusters, count) = clusters_of(&sources?);
    let share = |own: bool| f64::from(u8::from(own));
    let differences: Vec<f64> =
        both.iter().map(|(own, base)| share(own.correct) - share(base.correct)).collect();
    let interval = || clustered_bootstrap(&differences, &clusters, draws.rows(count));
    (count < both.len()).then(|| (count, interval()))
}

/// A p-value as people write it.
pub fn p_value(p: f64) -> String {
    if p >= 0.001 { format!("{p:.3}") } else { format!("{p:.1e}") }
}

/// The letter of a choice, by its number: "B" or "(B)" is 1.
fn letter(text: &str) -> Option<usize> {
    let text = text.trim().trim_matches(['(', ')']);
    match text.as_bytes() {
        [own] if own.is_ascii_uppercase() => Some((own - b'A') as usize),
        _ => None,
    }
}

/// Log-probability of the right choice less that of the best other; nothing where either is not known.
fn margin(own: &Prediction) -> Option<f64> {
    let gold = letter(&own.target).filter(|gold| *gold < own.choice_logprobs.len())?;
    let scores = || own.choice_logprobs.iter().enumerate();
    let best = scores().filter(|(i, _)| *i != gold).map(|(_, score)| f64::from(*score)).reduce(f64::max)?;
    let margin = f64::from(own.choice_logprobs[gold]) - best;
    margin.is_finite().then_some(margin)
}

fn names_no_choice(own: &Prediction) -> bool {
    match letter(&own.target) {
        Some(_) => letter(&own.pred).is_none(),
        None => own.pred.trim().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::study::NamedCondition;

    fn cell(condition: &str, rights: &[bool], margin: f32) -> Cell {
        let usual = Condition::of_studies();
        let condition = NamedCondition::of(Condition::named(condition, &usual).unwrap(), &usual);
        let one = |(i, correct): (usize, &bool)| Prediction {
            id: format!("s{i}"),
            task: "t".to_owned(),
            target: "B".to_owned(),
            pred: if *correct { "B" } else { "?" }.to_owned(),
            answer: String::new(),
            correct: *correct,
            choice_logprobs: vec![-2.0, -2.0 + margin + i as f32 * 0.01],
            chance: Some(0.5),
            latent_mass: None,
            source: Some(format!("scene {}", i / 3)),
            changed: vec![0; condition.condition.edits.len()],
        };
        let predictions: Vec<Prediction> = rights.iter().enumerate().map(one).collect();
        Cell {
            adapter: "a".to_owned(),
            fingerprint: String::new(),
            share: None,
            all: Accuracy::of(&predictions),
            tasks: BTreeMap::new(),
            latent_mass: None,
            condition,
            predictions,
        }
    }

    #[test]
    fn a_condition_is_what_it_changes_sample_by_sample() {
        let right: Vec<bool> = (0..60).map(|i| i % 6 != 0).collect();
        let worse: Vec<bool> = (0..60).map(|i| i % 2 == 1).collect();
        let edit = "'do=latents=zero@embedding'";
        let cells = [
            cell("normal", &right, 1.0),
            cell("bottleneck", &worse, 0.5),
            cell(edit, &right, 1.0),
            cell(&format!("{edit} sham=yes"), &right, 1.0),
        ];
        let draws = Draws { count: 1000, seed: 3 };
        let all = Contrast::of(&cells, draws);
        assert_eq!(all.len(), 2);
        let (bottleneck, zero) = (&all[0], &all[1]);
        assert_eq!((bottleneck.lost.len(), bottleneck.gained.len()), (20, 0));
        assert!((bottleneck.difference.unwrap() + 1.0 / 3.0).abs() < 1e-9 && bottleneck.holm_p < 1e-4);
        let shift = bottleneck.delta_margin.unwrap();
        assert!((shift.mean + 0.5).abs() < 1e-5 && shift.samples == 60, "{shift:?}");
        assert_eq!(bottleneck.delta_margin_of_right.unwrap().samples, 50);
        // Three samples of each scene.
        assert_eq!(bottleneck.clusters, Some(20));
        assert!(bottleneck.bootstrap.is_some_and(|[low, high]| low < -0.3 && high > -0.36));
        assert_eq!((bottleneck.parse_failures, bottleneck.sham), (30, None));
        assert!(bottleneck.says().starts_with("worse: -33.3 points"), "{}", bottleneck.says());
        assert_eq!((zero.sham, zero.warnings.as_slice()), (Some(true), &[Warning::NothingChanged][..]));
        assert!(zero.says().starts_with("nothing was changed"), "{}", zero.says());
        // A sham that changes a bit voids its condition.
        let failed = [cells[0].clone(), cells[2].clone(), cell(&format!("{edit} sham=yes"), &right, 1.001)];
        let void = &Contrast::of(&failed, draws)[0];
        assert!(void.sham == Some(false) && void.says().starts_with("void"), "{}", void.says());
    }
}
