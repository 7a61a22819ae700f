//! From a run's attention rows to what is drawn, in stages that each depend on less of the controls:
//! rows (run, layers and heads) -> maps (sinks) -> ranges (clipping). Only the first is heavy; it runs elsewhere.

use std::sync::Arc;

use crate::analysis::maps::{GridMap, Scalar, all_image_maps, image_maps, matrix, visible_keys};

use crate::analysis::normalise::{MapKind, Normalisation, Range, ranges, sinks, without_sinks};
use crate::analysis::query::{Query, Selection};
use crate::engine::ids::{Run, RunId};
use crate::render::overlay::{MAX_LAYERS, MapStack};
use crate::trace::Trace;
use crate::units::LayerIdx;

/// What rows are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsKey {
    /// Whose.
    pub run: RunId,
    /// Of which layers and heads.
    pub selection: Selection,
    /// The run that is taken off.
    pub minus: Option<RunId>,
    /// One query in each layer, instead of every query.
    pub layers_of: Option<Query>,
}

/// Attention of every query over every image of a run, aggregated as selected; or of one query in every layer.
#[derive(Debug)]
pub struct QueryRows {
    /// Whose.
    pub run: Arc<Run>,
    /// Latents, then generated tokens; none where there are no images or no attention was kept. The same again and again
    /// where there is one map for each layer.
    pub queries: Vec<Query>,
    /// `[queries]`: tokens each may look at; of what reaches it in several steps, visual tokens.
    pub visible: Vec<usize>,
    /// `[queries][images]`.
    pub maps: Vec<Vec<GridMap>>,
    /// What the values are.
    pub kind: MapKind,
}

impl QueryRows {
    /// No rows of a run.
    pub fn none(run: Arc<Run>) -> Self {
        Self { run, queries: Vec::new(), visible: Vec::new(), maps: Vec::new(), kind: MapKind::Attention }
    }

    /// Reads the rows of a run, less those of another.
    pub fn new(run: Arc<Run>, minus: Option<&Run>, key: RowsKey) -> Self {
        let (mut queries, maps) = read(&run.trace, key);
        let Some(mut maps) = maps.filter(|_| !run.trace.grids.is_empty()) else { return Self::none(run) };
        let mut kind =
            if key.selection.aggregation.is_indirect() { MapKind::Indirect } else { MapKind::Attention };
        if let Some(minus) = minus {
            let (others, other_maps) = read(&minus.trace, key);
            let is_alike = minus.trace.grids == run.trace.grids
                && minus.request.sample.images == run.request.sample.images;
            let Some(other_maps) = other_maps.filter(|_| is_alike) else { return Self::none(run) };
            (queries, maps) = differences(&queries, maps, &others, &other_maps);
            kind = MapKind::Difference;
        }
        let visual = run.trace.image_spans.iter().map(|span| span.len()).sum();
        let layer = selection_of(&run.trace, key).layer;
        let visible = |(place, query): (usize, &Query)| match kind {
            MapKind::Indirect => visual,
            MapKind::Attention | MapKind::Difference => {
                let layer = if key.layers_of.is_some() { Some(LayerIdx(place)) } else { layer };
                visible_keys(&run.trace, *query, layer)
            }
        };
        let visible = queries.iter().enumerate().map(visible).collect();
        Self { run, queries, visible, maps, kind }
    }

    /// Is another run's attention taken off?
    pub fn is_difference(&self) -> bool {
        self.kind == MapKind::Difference
    }

    /// The place of a query, or of the first where it is not there.
    pub fn index_of(&self, query: Query) -> usize {
        self.queries.iter().position(|q| *q == query).unwrap_or(0)
    }
}

/// What is selected of a run, which may be of another model than the one the selection was made for.
fn selection_of(trace: &Trace, key: RowsKey) -> Selection {
    let (num_layers, num_heads) = trace.attention_dims();
    let Selection { layer, head, aggregation } = key.selection;
    Selection {
        layer: layer.filter(|layer| layer.0 < num_layers),
        head: head.filter(|head| head.0 < num_heads),
        aggregation,
    }
}

/// Queries and their maps, where the rows they take were kept.
fn read(trace: &Trace, key: RowsKey) -> (Vec<Query>, Option<Vec<Vec<GridMap>>>) {
    let (num_layers, _) = trace.attention_dims();
    let selection = selection_of(trace, key);
    if let Some(query) = key.layers_of {
        let of_layer =
            |layer| image_maps(trace, query, Selection { layer: Some(LayerIdx(layer)), ..selection });
        return (vec![query; num_layers], (0..num_layers).map(of_layer).collect());
    }
    let latents = (0..trace.num_latents()).map(Query::Latent);
    let queries: Vec<Query> = latents.chain((0..trace.generated.len()).map(Query::Answer)).collect();
    let maps = all_image_maps(trace, &queries, selection);
    (queries, maps)
}

/// The queries that both have, with their maps less the others'. Layers of one query go by their places.
fn differences(
    queries: &[Query],
    maps: Vec<Vec<GridMap>>,
    others: &[Query],
    other_maps: &[Vec<GridMap>],
) -> (Vec<Query>, Vec<Vec<GridMap>>) {
    let paired = queries.iter().zip(maps).enumerate().filter_map(|(place, (query, mut own))| {
        let same_place = others.get(place) == Some(query);
        let other = if same_place { Some(place) } else { others.iter().position(|other| other == query) };
        for (map, other) in own.iter_mut().zip(&other_maps[other?]) {
            map.values.iter_mut().zip(&other.values).for_each(|(value, less)| *value -= less);
        }
        Some((*query, own))
    });
    paired.unzip()
}

/// What maps are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapsKey {
    /// The rows.
    pub rows: RowsKey,
    /// Are sinks taken out?
    pub remove_sinks: bool,
}

/// Maps as they are drawn.
#[derive(Debug)]
pub struct Maps {
    /// `[queries][images]`.
    pub maps: Vec<Vec<GridMap>>,
    /// `[images]`: the maps of all queries, as the GPU takes them.
    stacks: Vec<Vec<MapStack>>,
}

impl Maps {
    /// From rows.
    pub fn new(rows: &QueryRows, remove_sinks: bool) -> Self {
        let mut maps = rows.maps.clone();
        if remove_sinks && !maps.is_empty() {
            take_sinks_out(&mut maps);
        }
        let num_images = maps.first().map_or(0, Vec::len);
        let stack = |chunk: &[Vec<GridMap>], image: usize| {
            let of_image: Vec<GridMap> = chunk.iter().map(|of_query| of_query[image].clone()).collect();
            MapStack::new(&of_image)
        };
        let stacks = (0..num_images)
            .map(|image| maps.chunks(MAX_LAYERS).filter_map(|chunk| stack(chunk, image)).collect())
            .collect();
        Self { maps, stacks }
    }

    /// The map of a query over an image, as the GPU takes it: which stack, which layer of it.
    pub fn layer(&self, query: usize, image: usize) -> (MapStack, usize) {
        (self.stacks[image][query / MAX_LAYERS].clone(), query % MAX_LAYERS)
    }

    /// Percent of a map's patches below a value, for the read-out.
    pub fn rank(&self, query: usize, image: usize, value: f32) -> f32 {
        let values = &self.maps[query][image].values;
        100.0 * values.iter().filter(|v| **v < value).count() as f32 / values.len() as f32
    }
}

/// What ranges are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangesKey {
    /// The maps.
    pub maps: MapsKey,
    /// Percentile and sharing.
    pub normalisation: Normalisation,
}

/// The ends of the colours, `[queries][images]`: latents have one scale, tokens of the answer another.
pub fn all_ranges(rows: &QueryRows, maps: &Maps, normalisation: Normalisation) -> Vec<Vec<Range>> {
    let is_latent = |query: &Query| matches!(query, Query::Latent(_));
    let latents = rows.queries.iter().take_while(|query| is_latent(query)).count();
    let of = |places: std::ops::Range<usize>| {
        ranges(&maps.maps[places.clone()], &rows.visible[places], normalisation, rows.kind)
    };
    let answers = of(latents..rows.queries.len());
    of(0..latents).into_iter().chain(answers).collect()
}

/// What a matrix is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixKey {
    /// Whose.
    pub run: RunId,
    /// Which query.
    pub query: Query,
    /// Which number.
    pub scalar: Scalar,
}

/// A number for every layer and head, `[layers][heads]`; empty where no attention was kept.
pub fn matrix_of(run: &Run, key: MatrixKey) -> Vec<Vec<f32>> {
    matrix(&run.trace, key.query, key.scalar)
}

fn take_sinks_out(maps: &mut [Vec<GridMap>]) {
    for image in 0..maps[0].len() {
        let mut mean = vec![0.0; maps[0][image].values.len()];
        for of_query in maps.iter() {
            for (total, value) in mean.iter_mut().zip(&of_query[image].values) {
                *total += value / maps.len() as f32;
            }
        }
        let is_sink = sinks(&mean);
        for of_query in maps.iter_mut() {
            of_query[image] = without_sinks(&of_query[image], &is_sink);
        }
    }
}
