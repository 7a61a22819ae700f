//! The latents of each column in a strip, one below the other's place: the same latent stands in the same place in all.

use egui::{Align2, FontId, Rect, Role, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

use super::cell::{range_of, style_of};
use crate::analysis::likeness::latent_cosines;
use crate::analysis::query::Query;
use crate::app::hub::actions::{Actions, ViewAction};
use crate::app::hub::model_choices::name_of;
use crate::app::hub::state::State;
use crate::app::kit::geometry::{fit_row, sizes, visible_part};
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::chain::InSight;
use crate::app::parts::compare::{Grid, GridCell};
use crate::app::rooms::maps::canvas::is_masked;
use crate::render::overlay::OverlayPaint;
use crate::render::paint::in_rect;
use crate::units::LayerIdx;

/// Slots of their pictures are apart from those of other panes.
const SLOTS: u64 = 1 << 41;
/// Pictures narrower than this stand in two lines.
const LEAST_WIDTH: f32 = 30.0;
const LINE: f32 = 44.0;
const NAME: f32 = 12.0;

fn num_latents(state: &State) -> usize {
    let runs = state.compare.runs().filter_map(|id| state.runs.get(id));
    runs.map(|run| run.trace.num_latents()).max().unwrap_or(0)
}

fn num_lines(state: &State, width: f32) -> usize {
    if width / (num_latents(state).max(1) as f32) < LEAST_WIDTH { 2 } else { 1 }
}

/// Room that a strip as wide as a column takes.
pub fn strip_height(state: &State, width: f32) -> f32 {
    if num_latents(state) == 0 { 0.0 } else { LINE * num_lines(state, width) as f32 }
}

/// Draws those of the row whose run the other panes show, else of the first.
pub fn strips_ui(ui: &mut Ui, state: &State, grid: &Grid, width: f32, gap: f32, actions: &mut Actions) {
    let columns = grid.cells[0].len();
    let height = strip_height(state, width);
    if columns < 2 || height == 0.0 || ui.available_height() < height {
        return;
    }
    let run = |cell: &GridCell| cell.run.and_then(|id| state.runs.get(id));
    let has_latents =
        |row: &&Vec<GridCell>| row.iter().filter_map(run).any(|run| run.trace.num_latents() > 0);
    let is_shown =
        |row: &&Vec<GridCell>| row.iter().any(|cell| cell.run.is_some() && cell.run == state.panes.map.run);
    let rows = || grid.cells.iter().filter(has_latents);
    let Some(row) = rows().find(is_shown).or_else(|| rows().next()) else { return };
    let (strip, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    for (column, cell) in row.iter().enumerate() {
        let left = strip.min.x + column as f32 * (width + gap);
        let rect = Rect::from_min_size(pos2(left, strip.min.y), vec2(width, height));
        let shown = cell.run.and_then(|run| state.compare.in_sight(run, state.panes.map.query));
        if let Some(shown) = shown {
            let name = name_of(&cell.request.model, &state.kept.compare.columns);
            let first = row[0].run.filter(|_| column > 0).and_then(|id| state.runs.get(id));
            let after = state.kept.view.selection.layer;
            let cosines = first.and_then(|first| latent_cosines(&first.trace, &shown.rows.run.trace, after));
            let strip = Strip { shown, name: &name, column, cosines: cosines.unwrap_or_default() };
            strip_ui(ui, state, &strip, rect, actions);
        } else if cell.run.is_some() {
            let (weak, font) = (palette(ui.visuals()).weak, FontId::proportional(11.0));
            ui.painter().text(rect.center(), Align2::CENTER_CENTER, "no latents, no maps", font, weak);
        }
    }
}

/// The latents of a column.
struct Strip<'a> {
    shown: InSight<'a>,
    /// What the column is called.
    name: &'a str,
    /// Its number.
    column: usize,
    /// Of each latent with the same of the first column; none where that is not known.
    cosines: Vec<f32>,
}

impl Strip<'_> {
    /// Below the picture of a latent, as far as there is room.
    fn below(&self, latent: usize, room: f32) -> String {
        const FOR_COSINE: f32 = 44.0;
        match self.cosines.get(latent).filter(|_| room >= FOR_COSINE) {
            Some(cosine) => format!("{latent} · {cosine:.2}"),
            None => latent.to_string(),
        }
    }

    fn in_words(&self, latent: usize, after: Option<LayerIdx>) -> String {
        let name = self.name;
        match self.cosines.get(latent) {
            Some(cosine) => {
                let after =
                    after.map_or_else(|| "the last layer".to_owned(), |layer| format!("layer {}", layer.0));
                format!(
                    "{name}, latent {latent}: cosine {cosine:.3} with that of the first column after {after}"
                )
            }
            None => format!("{name}, latent {latent}"),
        }
    }
}

fn strip_ui(ui: &mut Ui, state: &State, strip: &Strip<'_>, rect: Rect, actions: &mut Actions) {
    let Strip { shown, name, column, .. } = *strip;
    let palette = palette(ui.visuals());
    let queries = &shown.rows.queries;
    let latents: Vec<usize> =
        (0..queries.len()).filter(|i| matches!(queries[*i], Query::Latent(_))).collect();
    if latents.is_empty() {
        let centre = rect.center();
        ui.painter().text(
            centre,
            Align2::CENTER_CENTER,
            "no latents",
            FontId::proportional(11.0),
            palette.weak,
        );
        return;
    }
    let lines = num_lines(state, rect.width());
    let in_a_line = num_latents(state).div_ceil(lines);
    let each = rect.width() / in_a_line as f32;
    for (i, index) in latents.into_iter().enumerate() {
        let (line, place) = (i / in_a_line, i % in_a_line);
        let place = Rect::from_min_size(
            pos2(rect.min.x + place as f32 * each, rect.min.y + line as f32 * LINE),
            vec2(each - 1.0, LINE - 1.0),
        );
        let query = queries[index];
        let is_chosen = query == state.panes.map.query;
        let response = ui.interact(place, ui.scope_id().with(("strip", column, i)), Sense::click());
        name_widget(ui, &response, Role::Button, Some(is_chosen), || format!("{name}, latent {i}"));
        let pictures = Rect::from_min_max(place.min, pos2(place.max.x, place.max.y - NAME));
        let masked = is_masked(state, InSight { query: index, ..shown });
        let images = &shown.rows.run.request.sample.images;
        for (image, own) in fit_row(&sizes(images), pictures, 1.0).iter().enumerate() {
            let visible = own.intersect(ui.clip_rect());
            if !visible.is_positive() {
                continue;
            }
            let (stack, layer) = shown.maps.layer(index, image);
            let paint = OverlayPaint {
                image: images[image].clone(),
                map: (!masked).then(|| (stack, layer, range_of(state, shown, index, image))),
                style: style_of(state, shown),
                view: visible_part(*own, visible),
                slot: SLOTS | ((column << 12 | i) as u64) << 16 | image as u64,
            };
            ui.painter().add(in_rect(visible, paint));
        }
        let colour = if is_chosen { palette.accent } else { palette.weak };
        let at = pos2(place.center().x, place.max.y);
        let below = strip.below(i, place.width());
        ui.painter().text(at, Align2::CENTER_BOTTOM, below, FontId::proportional(10.0), colour);
        if is_chosen || response.has_focus() {
            let stroke = Stroke::new(1.5, palette.accent);
            ui.painter().rect_stroke(pictures, 1.0, stroke, StrokeKind::Inside);
        }
        if response.clicked() {
            actions.push(ViewAction::SelectQuery(query));
        }
        response.on_hover_text(strip.in_words(i, state.kept.view.selection.layer));
    }
}
