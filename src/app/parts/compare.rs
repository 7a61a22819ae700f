//! Checkpoints side by side: which, how each is asked, and the run of each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::background::Background;
use super::chain::{Chain, InSight, RowsSources};
use super::maps::{QueryRows, RowsKey};
use super::runs::Runs;
use super::view::View;
use crate::analysis::query::Query;
use crate::analysis::reach::reaches_images;
use crate::ask::{Condition, LatentChoice, MaskKind};
use crate::engine::ids::{ModelId, Request, Run, RunId};

/// Models side by side, at most.
pub const MOST_MODELS: usize = 4;
/// Conditions of one's own, at most.
pub const MOST_ROWS: usize = 8;

/// What rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompareRows {
    /// One: what the controls say.
    #[default]
    One,
    /// The same without the bottleneck, and with it.
    Mask,
    /// Each of these with latents, and without.
    MaskAndLatents,
    /// Those that were kept.
    Own,
}

impl CompareRows {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::One, Self::Mask, Self::MaskAndLatents, Self::Own];

    /// As controls call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::One => "One",
            Self::Mask => "Mask",
            Self::MaskAndLatents => "Mask x latents",
            Self::Own => "Own",
        }
    }
}

/// What is kept of it between starts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompareForm {
    /// The models, from the left; one of them is the one in use.
    pub columns: Vec<ModelId>,
    /// What is asked of each.
    pub rows: CompareRows,
    /// Conditions of one's own.
    pub own: Vec<Condition>,
}

impl CompareForm {
    /// The place of the model in use, which has a column: where it has none it takes the place of the one in use before.
    pub fn follow(&mut self, chosen: Option<&ModelId>, before: usize) -> usize {
        self.columns.truncate(MOST_MODELS);
        let Some(chosen) = chosen else { return before };
        if let Some(place) = self.columns.iter().position(|own| own == chosen) {
            return place;
        }
        let place = before.min(self.columns.len().saturating_sub(1));
        match self.columns.get_mut(place) {
            Some(own) => *own = chosen.clone(),
            None => self.columns.push(chosen.clone()),
        }
        place
    }

    /// The rows where the controls say this.
    pub fn conditions(&self, now: &Condition) -> Vec<Condition> {
        let masks = [MaskKind::Standard, MaskKind::Bottleneck];
        let with = if now.latents == LatentChoice::Off { LatentChoice::Auto } else { now.latents };
        match self.rows {
            CompareRows::Own if !self.own.is_empty() => self.own.clone(),
            CompareRows::One | CompareRows::Own => vec![now.clone()],
            CompareRows::Mask => masks.map(|mask| now.clone().masked(mask)).to_vec(),
            CompareRows::MaskAndLatents => {
                let both =
                    |mask| [with, LatentChoice::Off].map(|own| now.clone().masked(mask).with_latents(own));
                masks.into_iter().flat_map(both).collect()
            }
        }
    }
}

/// One model asked under one condition.
#[derive(Debug, Clone)]
pub struct GridCell {
    /// What is asked.
    pub request: Request,
    /// The run that answered it, where one has.
    pub run: Option<RunId>,
}

/// Rows of conditions, columns of models.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    /// [rows].
    pub conditions: Vec<Condition>,
    /// [rows][columns].
    pub cells: Vec<Vec<GridCell>>,
}

/// Maps of a cell's run, and what else is made of it once.
struct CellMaps {
    run: RunId,
    chain: Chain,
    is_blind: bool,
}

/// What is known of the comparison.
#[derive(Default)]
pub struct Compare {
    /// The column of the model in use.
    pub focus: usize,
    /// What of the first column's maps others differ by, rather than their own.
    pub difference: bool,
    /// Models that could not answer, and why.
    pub problems: Vec<(ModelId, String)>,
    grid: Grid,
    maps: Vec<CellMaps>,
}

impl Compare {
    /// The grid in this frame.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Looks for the run of every cell: the latest that was asked so.
    pub fn find(&mut self, form: &CompareForm, now: Option<&Request>, runs: &Runs) {
        let Some(now) = now else {
            self.grid = Grid::default();
            return;
        };
        let conditions = form.conditions(&now.condition);
        let cell = |condition: &Condition, model: &ModelId| {
            let request = Request { model: model.clone(), condition: condition.clone(), ..now.clone() };
            let answers = |run: &&Arc<Run>| run.request == request && !run.trace.stopped;
            let listed = runs.listed().iter().rev().filter_map(|own| runs.get(own.id));
            let run = listed.clone().find(answers).map(|run| run.id);
            GridCell { request, run }
        };
        let row = |condition: &Condition| form.columns.iter().map(|model| cell(condition, model)).collect();
        let cells = conditions.iter().map(row).collect();
        self.grid = Grid { conditions, cells };
    }

    /// What has no answer yet, row by row.
    pub fn missing(&self) -> Vec<Request> {
        let failed = |model: &ModelId| self.problems.iter().any(|(own, _)| own == model);
        let open = self.grid.cells.iter().flatten().filter(|cell| cell.run.is_none());
        open.filter(|cell| !failed(&cell.request.model)).map(|cell| cell.request.clone()).collect()
    }

    /// The run of the first column that a cell's maps are compared with.
    fn base(&self, row: usize, column: usize) -> Option<RunId> {
        if self.difference && column > 0 { self.grid.cells[row][0].run } else { None }
    }

    /// Every cell that has a run: row, column, run, what it is compared with.
    fn answered(&self) -> Vec<(RunId, Option<RunId>)> {
        let mut all = Vec::new();
        for (row, cells) in self.grid.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                if let Some(run) = cell.run {
                    all.push((run, self.base(row, column).filter(|base| *base != run)));
                }
            }
        }
        all
    }

    /// The runs in sight.
    pub fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.grid.cells.iter().flatten().filter_map(|cell| cell.run)
    }

    /// Brings the maps of every cell up to date.
    pub fn refresh(&mut self, runs: &Runs, view: &View, background: &Background) {
        let answered = self.answered();
        self.maps.retain(|own| answered.iter().any(|(run, _)| *run == own.run));
        for (id, minus) in answered {
            let is_there = |id: &RunId| !runs.is_reading(*id);
            let Some(run) = runs.get(id).filter(|_| is_there(&id)) else { continue };
            let minus = minus.filter(is_there).and_then(|id| runs.get(id));
            let place = self.maps.iter().position(|own| own.run == id).unwrap_or_else(|| {
                let is_blind = !run.trace.image_spans.is_empty() && !reaches_images(&run.trace);
                self.maps.push(CellMaps { run: id, chain: Chain::default(), is_blind });
                self.maps.len() - 1
            });
            let key = RowsKey {
                run: id,
                selection: view.selection,
                minus: minus.map(|run| run.id),
                layers_of: None,
            };
            self.maps[place].chain.refresh(key, &RowsSources { run, minus, view, background });
        }
    }

    /// Takes rows that were made elsewhere; those that nobody here waits for come back.
    pub fn fill(&mut self, key: RowsKey, rows: QueryRows) -> Option<QueryRows> {
        match self.maps.iter_mut().find(|own| own.chain.waits_for(&key)) {
            Some(own) => {
                own.chain.fill(key, rows);
                None
            }
            None => Some(rows),
        }
    }

    /// Is something on its way?
    pub fn is_waiting(&self) -> bool {
        self.maps.iter().any(|own| own.chain.is_waiting())
    }

    /// The maps of a run under a query.
    pub fn in_sight(&self, run: RunId, query: Query) -> Option<InSight<'_>> {
        self.maps.iter().find(|own| own.run == run)?.chain.in_sight(|rows| rows.index_of(query))
    }

    /// Was a run answered without a way to the images?
    pub fn is_blind(&self, run: RunId) -> bool {
        self.maps.iter().any(|own| own.run == run && own.is_blind)
    }

    /// The ends of the colours in all cells, in times uniform attention: one scale, so that cells can be compared.
    pub fn scale(&self, query: Query, image: usize, is_difference: bool) -> Option<[f32; 2]> {
        let of = |own: &CellMaps| {
            let shown = own.chain.in_sight(|rows| rows.index_of(query))?;
            if shown.rows.is_difference() != is_difference {
                return None;
            }
            let range = shown.ranges[shown.query].get(image)?;
            Some([range.low, range.high].map(|value| shown.times_uniform(shown.query, value)))
        };
        let all: Vec<[f32; 2]> = self.maps.iter().filter_map(of).collect();
        let low = all.iter().map(|own| own[0]).reduce(f32::min)?;
        let high = all.iter().map(|own| own[1]).reduce(f32::max)?;
        Some([low, high])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{DeviceChoice, DtypeChoice};
    use crate::engine::demo::DemoAdapter;
    use crate::engine::ids::Source;

    fn model(adapter: DemoAdapter) -> ModelId {
        let demo = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32);
        demo.with_adapter(Some(Source::DemoAdapter(adapter)))
    }

    #[test]
    fn the_model_in_use_has_a_column() {
        let (livr, sft, stage) =
            (model(DemoAdapter::Livr), model(DemoAdapter::Sft), model(DemoAdapter::Stage1));
        let mut form = CompareForm::default();
        assert_eq!(form.follow(None, 0), 0);
        assert_eq!(form.follow(Some(&livr), 0), 0);
        form.columns.push(sft.clone());
        assert_eq!(form.follow(Some(&sft), 0), 1, "a click on a cell goes to its column");
        assert_eq!(form.follow(Some(&stage), 1), 1, "another model takes its place");
        assert_eq!(form.columns, [livr, stage]);
    }

    #[test]
    fn rows_are_what_the_controls_say_but_for_what_they_vary() {
        let now =
            Condition { mask: MaskKind::Bottleneck, latents: LatentChoice::Off, ..Condition::default() };
        let rows = |rows| CompareForm { rows, ..CompareForm::default() }.conditions(&now);
        assert_eq!(rows(CompareRows::One), std::slice::from_ref(&now));
        assert!(rows(CompareRows::Mask).iter().all(|row| row.latents == LatentChoice::Off));
        let four = rows(CompareRows::MaskAndLatents);
        assert_eq!(four.len(), 4);
        assert_eq!((four[0].latents, four[1].latents), (LatentChoice::Auto, LatentChoice::Off));
        assert_eq!(rows(CompareRows::Own), [now]);
    }
}
