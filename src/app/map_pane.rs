//! The pane of maps: which run it shows, whose attention, and the memoised stages between them and the screen.

use std::sync::Arc;

use super::background::{Background, Made};
use super::canvas::{CanvasView, Hovered};
use super::kept::View;
use super::maps::{Maps, MapsKey, MatrixKey, RangesKey, Rows, RowsKey, all_ranges, matrix_of};
use super::memo::Memo;
use crate::analysis::maps::Query;
use crate::analysis::normalise::Range;
use crate::data::picture::Picture;
use crate::engine::protocol::{Run, RunId};

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
    rows: Memo<RowsKey, Rows>,
    maps: Memo<MapsKey, Maps>,
    ranges: Memo<RangesKey, Vec<Vec<Range>>>,
    matrix: Memo<MatrixKey, Vec<Vec<f32>>>,
}

impl Default for MapPane {
    fn default() -> Self {
        Self {
            run: None,
            query: Query::Latent(0),
            canvas: CanvasView::default(),
            hovered: None,
            rows: Memo::default(),
            maps: Memo::default(),
            ranges: Memo::default(),
            matrix: Memo::default(),
        }
    }
}

/// Maps that can be drawn: every stage is there and of one run.
#[derive(Clone, Copy)]
pub struct InSight<'a> {
    /// The rows they come from, with their run.
    pub rows: &'a Rows,
    /// The maps.
    pub maps: &'a Maps,
    /// The ends of the colours, `[queries][images]`.
    pub ranges: &'a [Vec<Range>],
    /// Place of the query shown.
    pub query: usize,
}

impl InSight<'_> {
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

    /// Brings every stage up to date with the run and the view; what is heavy is begun elsewhere.
    pub fn refresh(&mut self, run: Option<&Arc<Run>>, view: &View, background: &Background) {
        let Some(run) = run else {
            self.rows.clear();
            self.maps.clear();
            self.ranges.clear();
            self.matrix.clear();
            return;
        };
        // It may have been chosen among those of the run before, whose maps stay in sight until these are there.
        self.fit_query(run);
        self.rows.request(RowsKey { run: run.id, selection: view.selection }, |key| {
            let (run, none) = (run.clone(), Rows::none(run.clone()));
            background.spawn(move || Made::Rows(key, Rows::new(run, key.selection)), Made::Rows(key, none));
        });
        let matrix = MatrixKey { run: run.id, query: self.query, scalar: view.scalar };
        self.matrix.request(matrix, |key| {
            let run = run.clone();
            let none = Made::Matrix(key, Vec::new());
            background.spawn(move || Made::Matrix(key, matrix_of(&run, key)), none);
        });
        let (Some(rows), Some(key)) = (self.rows.get(), self.rows.key()) else { return };
        let key = MapsKey { rows: *key, remove_sinks: view.normalisation.remove_sinks };
        self.maps.make(key, |key| Maps::new(rows, key.remove_sinks));
        if let Some(maps) = self.maps.get() {
            let key = RangesKey { maps: key, normalisation: view.normalisation };
            self.ranges.make(key, |key| all_ranges(maps, key.normalisation));
        }
    }

    /// Takes what was made elsewhere.
    pub fn fill(&mut self, made: Made) {
        match made {
            Made::Rows(key, rows) => self.rows.fill(key, rows),
            Made::Matrix(key, matrix) => self.matrix.fill(key, matrix),
        }
    }

    /// Is something on its way?
    pub fn is_waiting(&self) -> bool {
        self.rows.is_waiting() || self.matrix.is_waiting()
    }

    /// What can be drawn; nothing where the run has no images or no attention was kept.
    pub fn in_sight(&self) -> Option<InSight<'_>> {
        let (rows, maps, ranges) = (self.rows.get()?, self.maps.get()?, self.ranges.get()?);
        let query = rows.index_of(self.query);
        (!rows.queries.is_empty()).then_some(InSight { rows, maps, ranges, query })
    }

    /// A number for every layer and head, `[layers][heads]`.
    pub fn matrix(&self) -> Option<&[Vec<f32>]> {
        self.matrix.get().map(Vec::as_slice)
    }
}
