//! The maps in sight: every query over every image, made when the trace or the choice changes.

use std::sync::Arc;

use crate::analysis::maps::{GridMap, Query, Scalar, Selection, image_maps, matrix};
use crate::analysis::normalise::{Normalisation, Range, ranges, sinks, without_sinks};
use crate::render::overlay::{MAX_LAYERS, MapStack};
use crate::trace::Trace;

/// Maps of one trace under one choice of layers, heads and normalisation.
pub struct MapView {
    trace: Arc<Trace>,
    selection: Selection,
    normalisation: Normalisation,
    /// Latents, then generated tokens.
    pub queries: Vec<Query>,
    /// `[queries][images]`, before sinks are taken out.
    raw: Vec<Vec<GridMap>>,
    /// `[queries][images]`.
    pub maps: Vec<Vec<GridMap>>,
    /// `[queries][images]`.
    pub ranges: Vec<Vec<Range>>,
    /// `[images]`: the maps of all queries, as the GPU takes them.
    pub stacks: Vec<Vec<MapStack>>,
}

impl MapView {
    /// Makes the maps; `None` where there are no images or no attention was kept. `earlier` maps of the same
    /// trace and selection save reading the rows again.
    pub fn new(
        trace: &Arc<Trace>,
        selection: Selection,
        normalisation: Normalisation,
        earlier: Option<Self>,
    ) -> Option<Self> {
        if trace.grids.is_empty() {
            return None;
        }
        let latents = (0..trace.num_latents()).map(Query::Latent);
        let queries: Vec<Query> = latents.chain((0..trace.generated.len()).map(Query::Answer)).collect();
        let raw: Vec<Vec<GridMap>> = match earlier {
            Some(earlier) => earlier.raw,
            None => {
                queries.iter().map(|query| image_maps(trace, *query, selection)).collect::<Option<_>>()?
            }
        };
        let mut maps = raw.clone();
        if normalisation.remove_sinks {
            remove_sinks(&mut maps);
        }
        let ranges = maps.iter().map(|of_query| ranges(of_query, normalisation)).collect();
        let stacks = (0..trace.grids.len())
            .map(|image| {
                maps.chunks(MAX_LAYERS)
                    .map(|chunk| {
                        MapStack::new(
                            &chunk.iter().map(|of_query| of_query[image].clone()).collect::<Vec<_>>(),
                        )
                    })
                    .collect::<Option<_>>()
            })
            .collect::<Option<_>>()?;
        Some(Self { trace: trace.clone(), selection, normalisation, queries, raw, maps, ranges, stacks })
    }

    /// The map of a query over an image, as the GPU takes it: which stack, which layer of it.
    pub fn layer(&self, query: usize, image: usize) -> (MapStack, usize) {
        (self.stacks[image][query / MAX_LAYERS].clone(), query % MAX_LAYERS)
    }

    /// Do its rows come from this trace and selection?
    pub fn is_from(&self, trace: &Arc<Trace>, selection: Selection) -> bool {
        Arc::ptr_eq(&self.trace, trace) && self.selection == selection
    }

    /// Is it still what it should be?
    pub fn is_of(&self, trace: &Arc<Trace>, selection: Selection, normalisation: Normalisation) -> bool {
        self.is_from(trace, selection) && self.normalisation == normalisation
    }

    /// The place of a query, or of the first where it is not there.
    pub fn index_of(&self, query: Query) -> usize {
        self.queries.iter().position(|q| *q == query).unwrap_or(0)
    }

    /// Percent of the map's patches below a value, for the read-out.
    pub fn rank(&self, query: usize, image: usize, value: f32) -> f32 {
        let values = &self.maps[query][image].values;
        100.0 * values.iter().filter(|v| **v < value).count() as f32 / values.len() as f32
    }

    /// Latents that look most at a patch, best first: latent, probability.
    pub fn who_looks_at(&self, image: usize, row: usize, col: usize) -> Vec<(usize, f32)> {
        let mut lookers: Vec<(usize, f32)> = self
            .queries
            .iter()
            .zip(&self.maps)
            .filter_map(|(query, maps)| match query {
                Query::Latent(latent) => Some((*latent, maps[image].values[row * maps[image].cols + col])),
                Query::Answer(_) => None,
            })
            .collect();
        lookers.sort_by(|a, b| b.1.total_cmp(&a.1));
        lookers
    }
}

/// The matrix in sight: made when the trace, the query or the scalar changes, not in every frame.
pub struct MatrixView {
    trace: Arc<Trace>,
    query: Query,
    scalar: Scalar,
    /// `[layers][heads]`; empty where no attention was kept.
    pub values: Vec<Vec<f32>>,
}

impl MatrixView {
    /// Computes the scalar for every layer and head.
    pub fn new(trace: &Arc<Trace>, query: Query, scalar: Scalar) -> Self {
        Self { trace: trace.clone(), query, scalar, values: matrix(trace, query, scalar) }
    }

    /// Is it still what it should be?
    pub fn is_of(&self, trace: &Arc<Trace>, query: Query, scalar: Scalar) -> bool {
        Arc::ptr_eq(&self.trace, trace) && self.query == query && self.scalar == scalar
    }
}

fn remove_sinks(maps: &mut [Vec<GridMap>]) {
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
