//! The pane of maps: which run it shows, whose attention, and the memoised stages between them and the screen.

use std::sync::Arc;

use super::maps::{Maps, MapsKey, MatrixKey, QueryRows, RangesKey, RowsKey, all_ranges, matrix_of};
use super::view::{Strip, View};
use crate::analysis::normalise::Range;
use crate::analysis::query::{Query, Selection};
use crate::app::kit::geometry::{CanvasView, Hovered, Region};
use crate::app::kit::memo::Memo;
use crate::app::parts::background::{Background, Computed};
use crate::data::picture::Picture;
use crate::engine::ids::{Run, RunId};
use crate::units::LayerIdx;

/// One view of one run.
pub struct MapPane {
    /// The run it shows, where it shows one.
    pub run: Option<RunId>,
    /// Whose attention is shown.
    pub query: Query,
    /// Zoom and pan.
    pub canvas: CanvasView,
    /// Patch under the pointer.
    pub hovered: Option<Hovered>,
    /// The image that has all the room.
    pub maximised: Option<usize>,
    /// A patch or a region that stays chosen.
    pub pinned: Option<Region>,
    /// The patch from which a region is stretched by keys.
    pub anchor: Option<Hovered>,
    /// The corner at which a region is begun that is being drawn.
    pub drawn_from: Option<Hovered>,
    /// Do layers go by on their own?
    pub playing: bool,
    queries: Chain,
    layers: Chain,
    matrix: Memo<MatrixKey, Vec<Vec<f32>>>,
}

/// Rows, maps and ranges, each made of the one before.
#[derive(Default)]
struct Chain {
    rows: Memo<RowsKey, QueryRows>,
    maps: Memo<MapsKey, Maps>,
    ranges: Memo<RangesKey, Vec<Vec<Range>>>,
}

/// What rows are read from.
struct Sources<'a> {
    run: &'a Arc<Run>,
    minus: Option<&'a Arc<Run>>,
    view: &'a View,
    background: &'a Background,
}

impl Chain {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Brings every stage up to date; rows are read elsewhere.
    fn refresh(&mut self, key: RowsKey, sources: &Sources<'_>) {
        let Sources { run, minus, view, background } = *sources;
        self.rows.request(key, |key| {
            let (run, minus, none) = (run.clone(), minus.cloned(), QueryRows::none(run.clone()));
            let read = move || Computed::Rows(key, QueryRows::new(run, minus.as_deref(), key));
            background.spawn(read, Computed::Rows(key, none));
        });
        let (Some(rows), Some(key)) = (self.rows.get(), self.rows.key()) else { return };
        // Sinks are what all queries have in common; in one query's layers, or a difference, nothing is.
        let remove_sinks =
            view.normalisation.remove_sinks && key.layers_of.is_none() && !rows.is_difference();
        let key = MapsKey { rows: *key, remove_sinks };
        self.maps.make(key, |key| Maps::new(rows, key.remove_sinks));
        if let Some(maps) = self.maps.get() {
            let key = RangesKey { maps: key, normalisation: view.normalisation };
            self.ranges.make(key, |key| all_ranges(rows, maps, key.normalisation));
        }
    }

    fn in_sight(&self, query: impl FnOnce(&QueryRows) -> usize) -> Option<InSight<'_>> {
        let (rows, maps, ranges) = (self.rows.get()?, self.maps.get()?, self.ranges.get()?);
        let query = query(rows);
        (query < rows.queries.len()).then_some(InSight { rows, maps, ranges, query })
    }
}

impl Default for MapPane {
    fn default() -> Self {
        Self {
            run: None,
            query: Query::Latent(0),
            canvas: CanvasView::default(),
            hovered: None,
            maximised: None,
            pinned: None,
            anchor: None,
            drawn_from: None,
            playing: false,
            queries: Chain::default(),
            layers: Chain::default(),
            matrix: Memo::default(),
        }
    }
}

/// Maps that can be drawn: every stage is there and of one run.
#[derive(Clone, Copy)]
pub struct InSight<'a> {
    /// The rows they come from, with their run.
    pub rows: &'a QueryRows,
    /// The maps.
    pub maps: &'a Maps,
    /// The ends of the colours, `[queries][images]`.
    pub ranges: &'a [Vec<Range>],
    /// Place of the query shown.
    pub query: usize,
}

impl InSight<'_> {
    /// Times uniform attention that a value of a query is.
    pub fn times_uniform(&self, query: usize, value: f32) -> f32 {
        value * self.rows.visible[query] as f32
    }

    /// Attention of a query on a region of an image.
    pub fn mass_in(&self, query: usize, image: usize, region: &Region) -> f32 {
        let map = &self.maps.maps[query][image];
        let rows = region.rows.0..=region.rows.1.min(map.rows - 1);
        let row_mass = |row: usize| -> f32 {
            map.values[row * map.cols..][..map.cols][region.cols.0..=region.cols.1.min(map.cols - 1)]
                .iter()
                .sum()
        };
        rows.map(row_mass).sum()
    }

    /// Each latent's attention on a region, in the order of the latents.
    pub fn latents_on(&self, image: usize, region: &Region) -> Vec<f32> {
        let latents = self.rows.queries.iter().take_while(|query| matches!(query, Query::Latent(_)));
        (0..latents.count()).map(|query| self.mass_in(query, image, region)).collect()
    }

    /// Which image of the run a picture of the canvas is: the one in the same place, or the first like it.
    pub fn image_of(&self, place: usize, picture: &Picture) -> Option<usize> {
        let images = &self.rows.run.request.sample.images;
        if images.get(place).is_some_and(|image| **image == *picture) {
            return Some(place);
        }
        images.iter().position(|image| **image == *picture)
    }

    /// Latents that look most at a patch, best first: latent, probability.
    pub fn who_looks_at(&self, image: usize, row: usize, col: usize) -> Vec<(usize, f32)> {
        let values = self.rows.queries.iter().zip(&self.maps.maps);
        let mut lookers: Vec<(usize, f32)> = values
            .filter_map(|(query, maps)| match query {
                Query::Latent(latent) => Some((*latent, maps[image].values[row * maps[image].cols + col])),
                Query::Answer(_) => None,
            })
            .collect();
        lookers.sort_by(|a, b| b.1.total_cmp(&a.1));
        lookers
    }
}

impl MapPane {
    /// The query, where the run has it; else its first.
    fn fit_query(&mut self, run: &Run) {
        let trace = &run.trace;
        self.query = match self.query {
            Query::Latent(i) if i < trace.num_latents() => Query::Latent(i),
            Query::Answer(i) if i < trace.generated.len() => Query::Answer(i),
            _ if trace.num_latents() > 0 => Query::Latent(0),
            _ => Query::Answer(0),
        };
    }

    /// Brings every stage up to date with the run, the one it is compared with, and the view; what is heavy is begun
    /// elsewhere.
    pub fn refresh(
        &mut self,
        run: Option<&Arc<Run>>,
        base: Option<&Arc<Run>>,
        view: &View,
        background: &Background,
    ) {
        let Some(run) = run else {
            self.queries.clear();
            self.layers.clear();
            self.matrix.clear();
            return;
        };
        // It may have been chosen among those of the run before, whose maps stay in sight until these are there.
        self.fit_query(run);
        let minus = base.filter(|base| view.difference && base.id != run.id);
        let sources = Sources { run, minus, view, background };
        let minus = minus.map(|base| base.id);
        let key = RowsKey { run: run.id, selection: view.selection, minus, layers_of: None };
        self.queries.refresh(key, &sources);
        if view.strip == Strip::Layers {
            let selection = Selection { layer: None, ..view.selection };
            self.layers.refresh(RowsKey { selection, layers_of: Some(self.query), ..key }, &sources);
        } else {
            self.layers.clear();
        }
        let matrix = MatrixKey { run: run.id, query: self.query, scalar: view.scalar };
        self.matrix.request(matrix, |key| {
            let run = run.clone();
            let none = Computed::Matrix(key, Vec::new());
            background.spawn(move || Computed::Matrix(key, matrix_of(&run, key)), none);
        });
    }

    /// Takes what was made elsewhere.
    pub fn fill(&mut self, made: Computed) {
        match made {
            Computed::Rows(key, rows) => {
                let chain = if key.layers_of.is_some() { &mut self.layers } else { &mut self.queries };
                chain.rows.fill(key, rows);
            }
            Computed::Matrix(key, matrix) => self.matrix.fill(key, matrix),
        }
    }

    /// Is something on its way?
    pub fn is_waiting(&self) -> bool {
        self.queries.rows.is_waiting() || self.layers.rows.is_waiting() || self.matrix.is_waiting()
    }

    /// What can be drawn; nothing where the run has no images or no attention was kept.
    pub fn in_sight(&self) -> Option<InSight<'_>> {
        self.queries.in_sight(|rows| rows.index_of(self.query))
    }

    /// What is drawn large: on the scale of all layers where these are in sight beside it.
    pub fn large(&self, layer: Option<LayerIdx>) -> Option<(InSight<'_>, &[Range])> {
        let shown = self.in_sight()?;
        let of_layers = layer.and_then(|layer| self.layers_in_sight(Some(layer)));
        let own = shown.ranges[shown.query].as_slice();
        let fits = |layers: &InSight<'_>| {
            let queries = (layers.rows.queries[layers.query], shown.rows.queries[shown.query]);
            layers.rows.run.id == shown.rows.run.id && queries.0 == queries.1
        };
        let ranges = of_layers.filter(fits).map_or(own, |layers| layers.ranges[layers.query].as_slice());
        Some((shown, ranges))
    }

    /// The query's map in each layer, where these are asked for.
    pub fn layers_in_sight(&self, layer: Option<LayerIdx>) -> Option<InSight<'_>> {
        self.layers.in_sight(|_| layer.map_or(0, |layer| layer.0))
    }

    /// A number for every layer and head, `[layers][heads]`.
    pub fn matrix(&self) -> Option<&[Vec<f32>]> {
        self.matrix.get().map(Vec::as_slice)
    }
}
