//! What states say besides their map: who is near whom, whether latents are many or one, what can be read off each.

use std::collections::BTreeMap;

use serde::Serialize;

use super::store::{Chosen, Point, States};
use crate::error::Result;
use crate::projection::Prepared;
use crate::projection::geometry::{Collapse, Collector};
use crate::projection::probe::{Readout, readout};
use crate::projection::rows::Rows;
use crate::units::Role;

/// Of one layer.
#[derive(Debug, Clone, Serialize)]
pub struct Measures {
    /// Of the latents, where there are some.
    pub collapse: Option<Collapse>,
    /// By role: the shares of its tokens' nearest that are of each role.
    pub near: BTreeMap<&'static str, BTreeMap<&'static str, f64>>,
    /// What each latent says of the sample's task, of its answer, and of where in the images it looks most.
    pub probes: Vec<Probe>,
}

/// A probe of one latent.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Probe {
    /// Number of the latent.
    pub latent: u32,
    /// task, answer, or place: which image, and which ninth of it.
    pub of: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub readout: Readout,
}

/// What is read off latents.
pub const READ: [&str; 3] = ["task", "answer", "place"];

/// Nearest others that count.
const NEAR: usize = 10;

impl Measures {
    /// Of the states that a map was made of.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn new(states: &States, chosen: &Chosen<'_>, prepared: &Prepared, seed: u64) -> Result<Self> {
        let points = chosen.points();
        Ok(Self {
            collapse: collapse(chosen)?,
            near: near(points, prepared),
            probes: probes(states, points, prepared, seed),
        })
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

fn near(points: &[Point], prepared: &Prepared) -> BTreeMap<&'static str, BTreeMap<&'static str, f64>> {
    let mut counts: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for (i, point) in points.iter().enumerate() {
        let near = prepared.neighbours.of(i);
        let own = counts.entry(point.kept.role.in_figures()).or_default();
        for other in &near[..NEAR.min(near.len())] {
            *own.entry(points[*other as usize].kept.role.in_figures()).or_default() += 1.0;
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

fn probes(states: &States, points: &[Point], prepared: &Prepared, seed: u64) -> Vec<Probe> {
    let width = prepared.points.count;
    let latents = points.iter().filter(|point| point.kept.role == Role::Latent);
    let count = latents.map(|point| point.kept.index + 1).max().unwrap_or(0);
    let mut probes = Vec::new();
    for latent in 0..count {
        let is_own = |point: &Point| point.kept.role == Role::Latent && point.kept.index == latent;
        let rows: Vec<usize> = (0..points.len()).filter(|i| is_own(&points[*i])).collect();
        let features: Vec<f32> =
            rows.iter().flat_map(|i| prepared.points.scores[i * width..][..width].iter().copied()).collect();
        let samples: Vec<u32> = rows.iter().map(|i| points[*i].sample).collect();
        for of in READ {
            let labels: Option<Vec<String>> = rows.iter().map(|i| label(states, &points[*i], of)).collect();
            let Some(labels) = labels else { continue };
            let mut names: Vec<&String> = labels.iter().collect();
            names.sort_unstable();
            names.dedup();
            let place = |label: &String| names.binary_search(&label).map_or(0, |place| place as u32);
            let labels: Vec<u32> = labels.iter().map(place).collect();
            let found = readout(&features, width, &labels, &samples, seed);
            probes.extend(found.map(|readout| Probe { latent, of, readout }));
        }
    }
    probes
}

/// What is true of a latent's sample, or of the latent; nothing where that is not known.
fn label(states: &States, point: &Point, of: &str) -> Option<String> {
    let sample = &states.samples()[point.sample as usize];
    match of {
        "task" => Some(sample.task.clone()),
        "answer" => Some(sample.target.clone()),
        _ => {
            let layer = sample.layers.iter().position(|layer| *layer == point.layer as usize)?;
            let patch = sample.place(*sample.looks.get(layer)?.get(point.kept.index as usize)?)?;
            let third = |place: usize, count: usize| place * 3 / count.max(1);
            let (row, column) = (third(patch.row, patch.size.0), third(patch.column, patch.size.1));
            Some(format!("{} {row} {column}", patch.image))
        }
    }
}
