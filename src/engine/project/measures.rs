//! What states say besides their layout: who is near whom, whether latents are many or one, what can be read off each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::store::{Chosen, StatePoint, States};
use crate::error::Result;
use crate::progress::Observer;
use crate::projection::geometry::{Collapse, Collector};
use crate::projection::probe::{Best, LinearProbe, Readout, read_off};
use crate::projection::rows::Rows;
use crate::projection::{Prepared, Yardstick};
use crate::units::Role;

/// Of one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measures {
    /// Of the latents, where there are some.
    pub collapse: Option<Collapse>,
    /// By role: the shares of its tokens' nearest that are of each role.
    pub near: BTreeMap<String, BTreeMap<String, f64>>,
    /// What each latent says of the sample's task, of its answer, and of where in the images it looks most.
    pub probes: Vec<LatentProbe>,
    /// The best latent for each, beside what the best of as many would get out of nothing.
    pub best: Vec<BestLatent>,
}

/// What is read off latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// The sample's task.
    Task,
    /// What it should be answered with.
    Answer,
    /// Where the latent looks most: which image, and which ninth of it.
    Place,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Task, Self::Answer, Self::Place];

    /// As sentences call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Answer => "answer",
            Self::Place => "place it looks at",
        }
    }
}

/// A probe of one latent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LatentProbe {
    /// Number of the latent.
    pub latent: u32,
    /// What is read off it.
    pub of: Label,
    /// How often that is right.
    #[serde(flatten)]
    pub readout: Readout,
}

/// The latent that says most.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct BestLatent {
    /// Number of the latent.
    pub latent: u32,
    /// What is read off it.
    pub of: Label,
    /// Latents it is the best of.
    pub among: usize,
    /// Share of the commonest label.
    pub commonest: f64,
    /// How often it is right, and what chance would be.
    #[serde(flatten)]
    pub best: Best,
}

impl Measures {
    /// Of the states that a layout was made of.
    ///
    /// # Errors
    /// A file that cannot be read, a stop.
    pub fn new(
        states: &States,
        chosen: &Chosen<'_>,
        prepared: &Prepared,
        yardstick: &Yardstick,
        seed: u64,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let points = chosen.points();
        let (probes, best) = probes(states, points, prepared, seed, observer)?;
        Ok(Self { collapse: collapse(chosen)?, near: near(points, yardstick), probes, best })
    }
}

fn collapse(chosen: &Chosen<'_>) -> Result<Option<Collapse>> {
    let (points, width) = (chosen.points(), chosen.width());
    let mut collector = Collector::default();
    let mut first = 0;
    // Points come sample by sample.
    for own in points.chunk_by(|a, b| a.sample == b.sample) {
        let mut rows = vec![0f32; own.len() * width];
        chosen.read(first, &mut rows)?;
        first += own.len();
        let of = |role: Role| -> Vec<f32> {
            let kept = own.iter().zip(rows.chunks_exact(width)).filter(|(point, _)| point.kept.role == role);
            kept.flat_map(|(_, row)| row.iter().copied()).collect()
        };
        collector.add(&of(Role::Latent), &of(Role::Image), &of(Role::Prompt), width);
    }
    Ok(collector.finish())
}

fn near(points: &[StatePoint], yardstick: &Yardstick) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut counts: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    let name = |i: usize| points[i].kept.role.in_figures().to_owned();
    for (i, near) in yardstick.asked.iter().zip(&yardstick.near) {
        let own = counts.entry(name(*i)).or_default();
        for other in near {
            *own.entry(name(*other as usize)).or_default() += 1.0;
        }
    }
    for own in counts.values_mut() {
        let total: f64 = own.values().sum();
        for count in own.values_mut() {
            *count /= total;
        }
    }
    counts
}

/// Probes of each latent, by what is read off it, and the best of each.
fn probes(
    states: &States,
    points: &[StatePoint],
    prepared: &Prepared,
    seed: u64,
    observer: &dyn Observer,
) -> Result<(Vec<LatentProbe>, Vec<BestLatent>)> {
    let width = prepared.points.count;
    let latents = points.iter().filter(|point| point.kept.role == Role::Latent);
    let count = latents.map(|point| point.kept.index + 1).max().unwrap_or(0);
    let rows: Vec<Vec<usize>> = (0..count)
        .map(|latent| {
            let is_own = |point: &StatePoint| point.kept.role == Role::Latent && point.kept.index == latent;
            (0..points.len()).filter(|i| is_own(&points[*i])).collect()
        })
        .collect();
    let probe = |rows: &Vec<usize>| {
        let features: Vec<f32> =
            rows.iter().flat_map(|i| prepared.points.scores[i * width..][..width].iter().copied()).collect();
        let samples: Vec<u32> = rows.iter().map(|i| points[*i].sample).collect();
        LinearProbe::new(&features, width, &samples, seed)
    };
    let (mut all, mut best) = (Vec::new(), Vec::new());
    for of in Label::ALL {
        let (mut numbers, mut fitted) = (Vec::new(), Vec::new());
        for (latent, rows) in rows.iter().enumerate() {
            observer.check()?;
            let labels: Option<Vec<String>> = rows.iter().map(|i| label(states, &points[*i], of)).collect();
            let Some(labels) = labels.map(|labels| numbered(&labels)) else { continue };
            let varies = labels.iter().any(|label| *label != labels[0]);
            if let Some(probe) = probe(rows).filter(|_| varies) {
                numbers.push(latent as u32);
                fitted.push((probe, labels));
            }
        }
        let (readouts, own) = read_off(&fitted, seed, observer)?;
        all.extend(numbers.iter().zip(&readouts).map(|(latent, readout)| LatentProbe {
            latent: *latent,
            of,
            readout: *readout,
        }));
        best.extend(own.map(|own| BestLatent {
            latent: numbers[own.which],
            of,
            among: numbers.len(),
            commonest: readouts[own.which].commonest,
            best: own,
        }));
    }
    all.sort_by_key(|probe| probe.latent);
    Ok((all, best))
}

/// Labels as numbers from 0, by name.
fn numbered(labels: &[String]) -> Vec<u32> {
    let mut names: Vec<&String> = labels.iter().collect();
    names.sort_unstable();
    names.dedup();
    labels.iter().map(|label| names.binary_search(&label).map_or(0, |place| place as u32)).collect()
}

/// What is true of a latent's sample, or of the latent; nothing where that is not known.
fn label(states: &States, point: &StatePoint, of: Label) -> Option<String> {
    let sample = &states.samples()[point.sample as usize];
    match of {
        Label::Task => Some(sample.task.clone()),
        Label::Answer => Some(sample.target.clone()),
        Label::Place => {
            let layer = sample.layers.iter().position(|layer| *layer == point.layer as usize)?;
            let patch = sample.place(*sample.looks.get(layer)?.get(point.kept.index as usize)?)?;
            let third = |place: usize, count: usize| place * 3 / count.max(1);
            let (row, column) = (third(patch.row, patch.size.0), third(patch.column, patch.size.1));
            Some(format!("{} {row} {column}", patch.image))
        }
    }
}
