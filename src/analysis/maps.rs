//! Attention of one query over the visual tokens of each image, for one head or an aggregation of many.

use serde::{Deserialize, Serialize};

use super::query::{Aggregation, Query, Selection};
use super::rollout::rollout;
use crate::ask::looks::{Edges, Looks, Prompt};
use crate::trace::Trace;
use crate::units::{HeadIdx, LayerIdx, Role, Span};

/// Attention over the merged patch grid of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct GridMap {
    /// Rows of visual tokens.
    pub rows: usize,
    /// Columns of visual tokens.
    pub cols: usize,
    /// Attention probabilities, row by row.
    pub values: Vec<f32>,
}

impl GridMap {
    /// All the attention on this image.
    pub fn mass(&self) -> f32 {
        self.values.iter().sum()
    }
}

/// Entropy of attention over patches, as a share of that of uniform attention: 0 for one patch, 1 for all alike; 0 where
/// there is none.
pub fn entropy(values: &[f32]) -> f32 {
    let mass: f32 = values.iter().sum();
    if mass <= 0.0 || values.len() < 2 {
        return 0.0;
    }
    let nats: f32 = values.iter().filter(|v| **v > 0.0).map(|v| -(v / mass) * (v / mass).ln()).sum();
    nats / (values.len() as f32).ln()
}

/// The softmax row of a query in one head.
pub fn row(trace: &Trace, query: Query, layer: LayerIdx, head: HeadIdx) -> Option<&[f32]> {
    match query {
        Query::Latent(latent) => trace.latent_row(layer, head, latent),
        Query::Answer(token) => trace.saying_row(layer, head, token),
    }
}

/// Attention of a query over all keys, aggregated as selected; `None` where the rows it takes were not kept.
pub fn aggregated_row(trace: &Trace, query: Query, selection: Selection) -> Option<Vec<f32>> {
    match (selection.aggregation, query) {
        (Aggregation::ThroughLatents, Query::Answer(_)) => through_latents(trace, query, selection),
        (Aggregation::Rollout, _) => rollout(trace, &[query], selection)?.pop(),
        _ => plain_row(trace, query, selection),
    }
}

/// The share that reaches each key of the prompt by way of one latent, summed over latents.
fn through_latents(trace: &Trace, query: Query, selection: Selection) -> Option<Vec<f32>> {
    let mean = Selection { aggregation: Aggregation::Mean, ..selection };
    let own = plain_row(trace, query, mean)?;
    let mut sum = vec![0.0; trace.roles.len()];
    for (latent, place) in trace.positions_of(Role::Latent).enumerate() {
        let row = plain_row(trace, Query::Latent(latent), mean)?;
        sum.iter_mut().zip(row).for_each(|(total, value)| *total += own[place] * value);
    }
    Some(sum)
}

fn plain_row(trace: &Trace, query: Query, selection: Selection) -> Option<Vec<f32>> {
    let (num_layers, num_heads) = trace.attention_dims();
    let layers = selection.layer.map_or(0..num_layers, |l| l.0..l.0 + 1);
    let heads = selection.head.map_or(0..num_heads, |h| h.0..h.0 + 1);
    let count = (layers.len() * heads.len()) as f32;
    let mut sum: Vec<f32> = Vec::new();
    for layer in layers {
        for head in heads.clone() {
            let row = row(trace, query, LayerIdx(layer), HeadIdx(head))?;
            if sum.is_empty() {
                sum = row.to_vec();
                continue;
            }
            for (total, value) in sum.iter_mut().zip(row) {
                match selection.aggregation {
                    Aggregation::Max => *total = total.max(*value),
                    _ => *total += value,
                }
            }
        }
    }
    if selection.aggregation != Aggregation::Max {
        for value in &mut sum {
            *value /= count;
        }
    }
    (!sum.is_empty()).then_some(sum)
}

/// Tokens a query may look at, in a layer or in the layer where most are: what uniform attention would be spread over.
pub fn visible_keys(trace: &Trace, query: Query, layer: Option<LayerIdx>) -> usize {
    let Some(place) = place_of(trace, query) else { return 0 };
    let seen = |looks: &Looks| (0..=place).filter(|key| looks.allows(place, *key)).count();
    layers_of(trace, layer).map(|layer| seen(&looks(trace, place + 1, layer))).max().unwrap_or(0)
}

/// May a query look at the images at all, in any layer?
pub fn sees_images(trace: &Trace, query: Query) -> bool {
    let Some(place) = place_of(trace, query) else { return false };
    let visual = || trace.image_spans.iter().flat_map(|span| span.range());
    layers_of(trace, None).any(|layer| {
        let looks = looks(trace, place + 1, layer);
        visual().any(|key| looks.allows(place, key))
    })
}

/// The position in the sequence that a query looks from: of a generated token the one that says it.
fn place_of(trace: &Trace, query: Query) -> Option<usize> {
    match query {
        Query::Latent(latent) => trace.positions_of(Role::Latent).nth(latent),
        Query::Answer(token) => (trace.roles.len() + token).checked_sub(1),
    }
}

/// One layer, or those that differ in who may look at whom: where no edge says so, one stands for all.
fn layers_of(trace: &Trace, layer: Option<LayerIdx>) -> impl Iterator<Item = usize> {
    let (num_layers, _) = trace.attention_dims();
    let edged = trace.condition.acting().iter().any(|edit| edit.edge().is_some());
    match layer {
        Some(LayerIdx(layer)) => layer..layer + 1,
        None if edged => 0..num_layers.max(1),
        None => 0..1,
    }
}

/// Who may look at whom in a layer, among the first so many tokens of the sequence.
pub(super) fn looks(trace: &Trace, count: usize, layer: usize) -> Looks {
    let mut roles = trace.roles.clone();
    roles.resize(count.max(roles.len()), Role::Answer);
    let mut looks = Looks::of_roles(trace.condition.mask.rule(), &roles);
    let left = trace.latent_numbers();
    let prompt = Prompt { roles: &trace.roles, image_spans: &trace.image_spans, latents: Some(&left) };
    // The run was made with them, so that they fit.
    if let Ok(edges) = Edges::new(trace.condition.acting(), prompt, usize::MAX) {
        edges.apply(&mut looks, layer);
    }
    looks
}

/// Maps of several queries, `[queries][images]`; `None` where the rows they take were not kept.
pub fn all_image_maps(trace: &Trace, queries: &[Query], selection: Selection) -> Option<Vec<Vec<GridMap>>> {
    if selection.aggregation == Aggregation::Rollout {
        let rows = rollout(trace, queries, selection)?;
        return Some(rows.iter().map(|row| cut(trace, row)).collect());
    }
    queries.iter().map(|query| image_maps(trace, *query, selection)).collect()
}

/// One map per image.
pub fn image_maps(trace: &Trace, query: Query, selection: Selection) -> Option<Vec<GridMap>> {
    Some(cut(trace, &aggregated_row(trace, query, selection)?))
}

/// The parts of a row that are of images.
fn cut(trace: &Trace, row: &[f32]) -> Vec<GridMap> {
    let maps = trace.image_spans.iter().zip(&trace.grids).map(|(span, grid): (&Span, _)| {
        let (rows, cols) = grid.merged(trace.merge_size);
        GridMap { rows, cols, values: row[span.range()].to_vec() }
    });
    maps.collect()
}

/// A number per layer and head, for the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Scalar {
    /// Attention that falls on the images.
    #[default]
    ImageMass,
    /// Attention that falls on the latents.
    LatentMass,
    /// Entropy over the visual tokens, 0 for one patch to 1 for all alike.
    Entropy,
}

impl Scalar {
    /// All, in the order they are offered.
    pub const ALL: [Self; 3] = [Self::ImageMass, Self::LatentMass, Self::Entropy];

    /// The name shown to the user.
    pub fn label(self) -> &'static str {
        match self {
            Self::ImageMass => "Mass on images",
            Self::LatentMass => "Mass on latents",
            Self::Entropy => "Entropy over patches",
        }
    }

    fn of(self, trace: &Trace, row: &[f32]) -> f32 {
        let over = |role| trace.positions_of(role).map(|i| row[i]);
        match self {
            Self::ImageMass => over(Role::Image).sum(),
            Self::LatentMass => over(Role::Latent).sum(),
            Self::Entropy => entropy(&over(Role::Image).collect::<Vec<_>>()),
        }
    }
}

/// A scalar for every layer and head, `[L][H]`; empty where no rows were kept.
pub fn matrix(trace: &Trace, query: Query, scalar: Scalar) -> Vec<Vec<f32>> {
    let (num_layers, num_heads) = trace.attention_dims();
    (0..num_layers)
        .map(|layer| {
            (0..num_heads)
                .filter_map(|head| Some(scalar.of(trace, row(trace, query, LayerIdx(layer), HeadIdx(head))?)))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;
    use crate::units::GridThw;

    /// Two layers, one head, one latent; tokens: prompt, two visual, latent.
    fn trace() -> Trace {
        Trace {
            roles: vec![Role::Prompt, Role::Image, Role::Image, Role::Latent],
            grids: vec![GridThw { t: 1, h: 2, w: 4 }],
            merge_size: 2,
            image_spans: vec![Span { start: 1, end: 3 }],
            latent_attentions: Some(Array::new([2, 1, 1, 4], vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.25, 0.25, 0.0])),
            ..Trace::default()
        }
    }

    #[test]
    fn maps_aggregate_over_layers() {
        let all = |aggregation| Selection { aggregation, ..Selection::default() };
        let mean = image_maps(&trace(), Query::Latent(0), all(Aggregation::Mean)).unwrap();
        assert_eq!((mean[0].rows, mean[0].cols), (1, 2));
        assert!((mean[0].values[0] - 0.225).abs() < 1e-6 && (mean[0].values[1] - 0.275).abs() < 1e-6);
        let max = image_maps(&trace(), Query::Latent(0), all(Aggregation::Max)).unwrap();
        assert_eq!(max[0].values, [0.25, 0.3]);
        let one = Selection { layer: Some(LayerIdx(1)), ..Selection::default() };
        assert_eq!(image_maps(&trace(), Query::Latent(0), one).unwrap()[0].values, [0.25, 0.25]);
        assert_eq!(image_maps(&trace(), Query::Answer(0), one), None);
    }

    #[test]
    fn what_comes_through_the_latents_is_a_product() {
        let before = Array::new([2, 1, 4], vec![0.1, 0.1, 0.2, 0.6, 0.3, 0.5, 0.0, 0.2]);
        let rows = crate::trace::AnswerRows::after(Some(before));
        let trace = Trace { answer_attentions: Some(rows), ..trace() };
        let through = Selection { aggregation: Aggregation::ThroughLatents, ..Selection::default() };
        let map = &image_maps(&trace, Query::Answer(0), through).unwrap()[0];
        // Means over both layers: 0.4 on the latent, which gives the patches 0.225 and 0.275.
        assert!((map.values[0] - 0.4 * 0.225).abs() < 1e-6 && (map.values[1] - 0.4 * 0.275).abs() < 1e-6);
        // Three prompt tokens before it and itself; the answer is begun from there, and goes on from its first token.
        let keys = [Query::Latent(0), Query::Answer(0), Query::Answer(1)]
            .map(|query| visible_keys(&trace, query, None));
        assert_eq!(keys, [4, 4, 5]);
    }

    #[test]
    fn scalars_of_a_row() {
        let masses = matrix(&trace(), Query::Latent(0), Scalar::ImageMass);
        assert_eq!(masses, [[0.5], [0.5]]);
        assert_eq!(matrix(&trace(), Query::Latent(0), Scalar::LatentMass), [[0.4], [0.0]]);
        let entropy = matrix(&trace(), Query::Latent(0), Scalar::Entropy);
        assert!(entropy[0][0] < 1.0 && (entropy[1][0] - 1.0).abs() < 1e-6);
    }
}
