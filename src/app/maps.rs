//! From a run's attention rows to what is drawn, in stages that each depend on less of the controls:
//! rows (run, layers and heads) -> maps (sinks) -> ranges (clipping). Only the first is heavy; it runs elsewhere.

use std::sync::Arc;

use crate::analysis::maps::{GridMap, Query, Scalar, Selection, image_maps, matrix};
use crate::analysis::normalise::{Normalisation, Range, ranges, sinks, without_sinks};
use crate::engine::protocol::{Run, RunId};
use crate::render::overlay::{MAX_LAYERS, MapStack};

/// What rows are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsKey {
    /// Whose.
    pub run: RunId,
    /// Of which layers and heads.
    pub selection: Selection,
}

/// Attention of every query over every image of a run, aggregated as selected.
#[derive(Debug)]
pub struct Rows {
    /// Whose.
    pub run: Arc<Run>,
    /// Latents, then generated tokens; none where there are no images or no attention was kept.
    pub queries: Vec<Query>,
    /// `[queries][images]`.
    pub maps: Vec<Vec<GridMap>>,
}

impl Rows {
    /// No rows of a run.
    pub fn none(run: Arc<Run>) -> Self {
        Self { run, queries: Vec::new(), maps: Vec::new() }
    }

    /// Reads the rows of a run.
    pub fn new(run: Arc<Run>, selection: Selection) -> Self {
        let trace = &run.trace;
        let (num_layers, num_heads) = trace.attention_dims();
        let mut selection = selection;
        // The run may be of another model than the one the selection was made for.
        selection.layer = selection.layer.filter(|layer| layer.0 < num_layers);
        selection.head = selection.head.filter(|head| head.0 < num_heads);
        let latents = (0..trace.num_latents()).map(Query::Latent);
        let mut queries: Vec<Query> = latents.chain((0..trace.generated.len()).map(Query::Answer)).collect();
        let maps: Option<Vec<_>> = queries.iter().map(|query| image_maps(trace, *query, selection)).collect();
        let maps = maps.filter(|_| !trace.grids.is_empty()).unwrap_or_else(|| {
            queries.clear();
            Vec::new()
        });
        Self { run, queries, maps }
    }

    /// The place of a query, or of the first where it is not there.
    pub fn index_of(&self, query: Query) -> usize {
        self.queries.iter().position(|q| *q == query).unwrap_or(0)
    }
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
    pub fn new(rows: &Rows, remove_sinks: bool) -> Self {
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

/// The ends of the colours, `[queries][images]`.
pub fn all_ranges(maps: &Maps, normalisation: Normalisation) -> Vec<Vec<Range>> {
    maps.maps.iter().map(|of_query| ranges(of_query, normalisation)).collect()
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
