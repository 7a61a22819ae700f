//! The memoised stages between a run and the maps on the screen, each made of the one before.

use std::sync::Arc;

use super::background::{Background, Computed};
use super::maps::{Maps, MapsKey, QueryRows, RangesKey, RowsKey, all_ranges};
use super::view::View;
use crate::analysis::normalise::Range;
use crate::analysis::query::Query;
use crate::app::kit::geometry::Region;
use crate::app::kit::memo::Memo;
use crate::data::picture::Picture;
use crate::engine::ids::Run;

/// Rows, maps and ranges, each made of the one before.
#[derive(Default)]
pub struct Chain {
    rows: Memo<RowsKey, QueryRows>,
    maps: Memo<MapsKey, Maps>,
    ranges: Memo<RangesKey, Vec<Vec<Range>>>,
}

/// What rows are read from.
pub struct RowsSources<'a> {
    /// The run.
    pub run: &'a Arc<Run>,
    /// What is taken off, where differences are shown.
    pub minus: Option<&'a Arc<Run>>,
    /// How maps are made of rows.
    pub view: &'a View,
    /// Where rows are read.
    pub background: &'a Background,
}

impl Chain {
    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Brings every stage up to date; rows are read elsewhere.
    pub fn refresh(&mut self, key: RowsKey, sources: &RowsSources<'_>) {
        let RowsSources { run, minus, view, background } = *sources;
        self.rows.request(key, |key| {
            let (run, minus, none) = (run.clone(), minus.cloned(), QueryRows::none(run.clone()));
            let read = move || Computed::Rows(key, QueryRows::new(run, minus.as_deref(), key));
            background.spawn(read, Computed::Rows(key, none));
        });
        self.map(view);
    }

    /// The stages after the rows.
    fn map(&mut self, view: &View) {
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

    /// Every stage at once, of a run under a view.
    pub fn of(run: &Arc<Run>, view: &View) -> Self {
        let mut chain = Self::default();
        let key = RowsKey { run: run.id, selection: view.selection, minus: None, layers_of: None };
        chain.rows.make(key, |key| QueryRows::new(run.clone(), None, *key));
        chain.map(view);
        chain
    }

    /// What can be drawn; `query` finds the place of the one that is meant.
    pub fn in_sight(&self, query: impl FnOnce(&QueryRows) -> usize) -> Option<InSight<'_>> {
        let (rows, maps, ranges) = (self.rows.get()?, self.maps.get()?, self.ranges.get()?);
        let query = query(rows);
        (query < rows.queries.len()).then_some(InSight { rows, maps, ranges, query })
    }

    /// Takes rows that were read elsewhere.
    pub fn fill(&mut self, key: RowsKey, rows: QueryRows) {
        self.rows.fill(key, rows);
    }

    /// Are these rows what it waits for?
    pub fn waits_for(&self, key: &RowsKey) -> bool {
        self.rows.waits_for(key)
    }

    /// Is something on its way?
    pub fn is_waiting(&self) -> bool {
        self.rows.is_waiting()
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
