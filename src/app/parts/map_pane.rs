//! The pane of maps: which run it shows, whose attention, and the memoised stages between them and the screen.

use std::sync::Arc;

use super::chain::{Chain, InSight, RowsSources};
use super::maps::{MatrixKey, RowsKey, matrix_of};
use super::view::{Strip, View};
use crate::analysis::normalise::Range;
use crate::analysis::query::{Query, Selection};
use crate::app::kit::geometry::{CanvasView, Hovered, Region};
use crate::app::kit::memo::Memo;
use crate::app::parts::background::{Background, Computed};
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
        let sources = RowsSources { run, minus, view, background };
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

    /// Takes what was made elsewhere; rows that nobody here waits for come back.
    pub fn fill(&mut self, made: Computed) -> Option<Computed> {
        match made {
            Computed::Rows(key, rows) => {
                let chain = if key.layers_of.is_some() { &mut self.layers } else { &mut self.queries };
                if !chain.waits_for(&key) {
                    return Some(Computed::Rows(key, rows));
                }
                chain.fill(key, rows);
            }
            Computed::Matrix(key, matrix) => self.matrix.fill(key, matrix),
        }
        None
    }

    /// Is something on its way?
    pub fn is_waiting(&self) -> bool {
        self.queries.is_waiting() || self.layers.is_waiting() || self.matrix.is_waiting()
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
