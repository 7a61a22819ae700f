//! What is said of layouts: on lines, and in the metadata of their files.

use serde::Serialize;

use crate::engine::project::{Layout, Measures, Sampled, States};
use crate::projection::geometry::Collapse;
use crate::projection::probe::Best;
use crate::projection::{Quality, Seconds};

/// What is said of a layout.
#[derive(Debug, Serialize)]
pub struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    pub points: usize,
    pub kl: f64,
    #[serde(flatten)]
    pub quality: Quality,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measures: Option<Measures>,
    /// By role, the likeliest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<(&'static str, Vec<(String, f32)>)>,
    pub seconds: Seconds,
}

impl Said {
    /// Of a layout of a data set's states.
    pub fn of(layout: &Layout) -> Self {
        Self {
            layer: Some(layout.layer),
            points: layout.places.len(),
            kl: layout.divergence,
            quality: layout.quality,
            measures: Some(layout.measures.clone()),
            words: Vec::new(),
            seconds: layout.seconds,
        }
    }
}

/// The words of a role, on a line.
pub fn spoken((role, words): &(&'static str, Vec<(String, f32)>)) -> String {
    let words: Vec<String> =
        words.iter().map(|(word, share)| format!("{word:?} {:.1} %", 100.0 * share)).collect();
    format!("  {role} would say {}", words.join(", "))
}

/// On one line.
pub fn line(said: &Said) -> String {
    let layer = said.layer.map_or_else(String::new, |layer| format!("layer {layer}: "));
    let silhouette =
        said.quality.silhouette.map_or_else(String::new, |s| format!(", silhouette by role {s:.3}"));
    let found =
        said.quality.found.map_or_else(String::new, |share| format!(" ({:.1} % found)", 100.0 * share));
    let Quality { neighbours, recall, trustworthiness, .. } = said.quality;
    let Seconds { components, neighbours: near, affinities, map } = said.seconds;
    format!(
        "{layer}{} points, KL {:.4}, {:.1} % of {neighbours} neighbours kept, trustworthiness {trustworthiness:.3}\
         {silhouette}; components {components:.2} s, neighbours {near:.2} s{found}, affinities {affinities:.2} s, map {map:.2} s",
        said.points,
        said.kl,
        100.0 * recall
    )
}

/// What measures say, a line each.
pub fn told(measures: &Measures) -> Vec<String> {
    let mut lines = Vec::new();
    for (role, near) in &measures.near {
        let shares: Vec<String> =
            near.iter().map(|(other, share)| format!("{:.1} % {other}", 100.0 * share)).collect();
        lines.push(format!("  nearest to {role}: {}", shares.join(", ")));
    }
    if let Some(collapse) = &measures.collapse {
        let Collapse { within, across, rank, with_image, with_text, to_image, .. } = collapse;
        lines.push(format!(
            "  latents: cosine {within:.3} within a sample, {across:.3} with themselves in others, {with_image:.3} with \
             image, {with_text:.3} with text; {rank:.1} directions; {to_image:.2} times as long as image"
        ));
    }
    for own in &measures.best {
        let Best { right, shuffled, shuffled_95, p, .. } = own.best;
        lines.push(format!(
            "  {} read off latent {}, the best of {}: {:.1} % (with labels shuffled the best has {:.1} %, in one of twenty \
             {:.1} % or more; p = {p:.2}; commonest {:.1} %)",
            own.of.name(),
            own.latent,
            own.among,
            100.0 * right,
            100.0 * shuffled,
            100.0 * shuffled_95,
            100.0 * own.commonest
        ));
    }
    lines
}

/// What `sample` counts.
#[derive(Serialize)]
pub struct SampleSaid<'a> {
    id: &'a str,
    task: &'a str,
    answer: &'a str,
    correct: bool,
}

impl<'a> SampleSaid<'a> {
    fn of(sample: &'a Sampled) -> Self {
        Self { id: &sample.id, task: &sample.task, answer: &sample.answer, correct: sample.correct }
    }
}

/// Of all samples.
pub fn samples(states: &States) -> Vec<SampleSaid<'_>> {
    states.samples().iter().map(SampleSaid::of).collect()
}
