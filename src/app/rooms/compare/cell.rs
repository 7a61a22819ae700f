//! A cell: the run of one model under one condition, its pictures under the map in hand, what it said and how sure it was.

use egui::{Align2, FontId, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

use super::heads::row_name;
use crate::analysis::normalise::Range;
use crate::app::hub::actions::{Actions, RunAction, ViewAction};
use crate::app::hub::model_choices::name_of;
use crate::app::hub::state::State;
use crate::app::kit::geometry::{Hovered, patch_from_point, place, rect_from_patch, visible_part};
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::app::kit::words::query_name;
use crate::app::parts::chain::InSight;
use crate::app::parts::compare::GridCell;
use crate::app::rooms::maps::canvas::{is_masked, navigate};
use crate::app::rooms::maps::colour_bar::paint_note;
use crate::ask::LatentChoice;
use crate::engine::ids::Run;
use crate::render::blend::{ColourMap, OverlayStyle};
use crate::render::fill::fill;
use crate::render::overlay::OverlayPaint;
use crate::render::paint::in_rect;
use crate::render::still::still;

/// Height of the line that says the answer.
const LINE: f32 = 18.0;
/// Height of the bars of the choices.
const BARS: f32 = 12.0;
/// Slots of pictures in cells are apart from those of other panes.
const SLOTS: u64 = 1 << 40;

/// Draws it.
pub fn cell_ui(
    ui: &mut Ui,
    state: &State,
    (row, column): (usize, usize),
    cell: &GridCell,
    rect: Rect,
    actions: &mut Actions,
) {
    let palette = palette(ui.visuals());
    let id = ui.scope_id().with(("cell", row, column));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let run = cell.run.and_then(|id| state.runs.get(id));
    let said = run.map(|run| Said::of(state, run, (row, column)));
    name_widget(ui, &response, Role::Button, Some(is_in_sight(state, cell)), || {
        let name = name_of(&cell.request.model, &state.kept.compare.columns);
        let what = said.as_ref().map_or_else(|| waiting_for(state, cell).to_owned(), Said::in_words);
        format!("{name}, {}: {what}", row_name(&cell.request.condition))
    });
    let painter = ui.painter_at(rect);
    let has_bars = run.is_some_and(|run| !run.trace.choices.is_empty());
    let foot = LINE + if has_bars { BARS } else { 0.0 };
    let pictures = Rect::from_min_max(rect.min, pos2(rect.max.x, rect.max.y - foot)).shrink(2.0);
    let rects = place(&state.image_sizes(), pictures, 6.0, state.panes.map.canvas, state.panes.map.maximised);
    let shown = run.and_then(|run| state.compare.in_sight(run.id, state.panes.map.query));
    still(ui, ("cell", row, column), rect, |ui| {
        fill(&ui.painter_at(rect), rect, palette.canvas);
        paint_images(ui, state, shown, (row, column), &rects, pictures);
        if let (Some(run), Some(said)) = (run, &said) {
            foot_ui(ui, run, said, Rect::from_min_max(pos2(rect.min.x, rect.max.y - foot), rect.max));
            notes_ui(ui, state, run, said, shown, pictures);
        } else {
            let (at, font) = (pos2(rect.center().x, rect.max.y - LINE / 2.0), FontId::proportional(12.0));
            let waits = waiting_for(state, cell);
            ui.painter_at(rect).text(at, Align2::CENTER_CENTER, waits, font, palette.weak);
        }
    });
    navigate(ui, &response, pictures, state, actions);
    if let Some(shown) = shown {
        hover(ui, &response, state, shown, &rects, actions);
    }
    frame_hovered(ui, state, shown, &rects, pictures);
    // The verdict is a colour and a sign, never a colour alone.
    let verdict = said.as_ref().and_then(|said| said.correct);
    let edge = match verdict {
        _ if is_in_sight(state, cell) && cell.run.is_some() => palette.accent,
        Some(true) => palette.right,
        Some(false) => palette.warning,
        None => palette.trough,
    };
    let width = if response.has_focus() || response.hovered() { 2.5 } else { 1.5 };
    painter.rect_stroke(rect, 2.0, Stroke::new(width, edge), StrokeKind::Inside);
    if let (true, Some(run)) = (response.clicked(), run) {
        actions.push(RunAction::Show(run.id));
    }
}

/// What has to be known of a cell's maps.
fn notes_ui(ui: &Ui, state: &State, run: &Run, said: &Said, shown: Option<InSight<'_>>, pictures: Rect) {
    let top = Rect::from_min_size(pictures.min, vec2(pictures.width(), 20.0));
    if said.is_blind {
        paint_note(ui, top, "blind: no way to the images is left", 11.0);
        return;
    }
    if run.trace.num_latents() == 0 && run.request.condition.latents != LatentChoice::Off {
        paint_note(ui, top, "this model has no latents", 11.0);
    }
    let own = shown.map(|shown| shown.rows.queries[shown.query]);
    if let Some(own) = own.filter(|own| *own != state.panes.map.query) {
        let bottom = Rect::from_min_max(pos2(pictures.min.x, pictures.max.y - 20.0), pictures.max);
        paint_note(ui, bottom, &format!("shown: {}", query_name(own)), 11.0);
    }
}

/// Is it the run of the other panes?
fn is_in_sight(state: &State, cell: &GridCell) -> bool {
    cell.run.is_some() && state.panes.map.run == cell.run
}

/// What a cell without an answer waits for.
fn waiting_for(state: &State, cell: &GridCell) -> &'static str {
    if state.runs.asked.as_ref().is_some_and(|asked| asked.request == cell.request) {
        "answering…"
    } else if state.runs.waiting.contains(&cell.request) {
        "waits"
    } else if state.compare.problems.iter().any(|(model, _)| *model == cell.request.model) {
        "this model could not answer: see its head"
    } else {
        "not asked"
    }
}

/// What a run says, in few words.
struct Said {
    answer: String,
    /// How likely: among the choices, or of all the tokens it said.
    probability: Option<f32>,
    correct: Option<bool>,
    is_blind: bool,
    /// Does it say something else than the first column?
    is_other: bool,
}

impl Said {
    fn of(state: &State, run: &Run, (row, column): (usize, usize)) -> Self {
        let first = state.compare.grid().cells.get(row).and_then(|cells| cells.first()?.run);
        let first = first.filter(|_| column > 0).and_then(|id| state.runs.get(id));
        Self {
            answer: run.trace.answer.clone(),
            probability: run.trace.certainty(),
            correct: state.verdict(run).map(|verdict| verdict.correct),
            is_blind: state.compare.is_blind(run.id),
            is_other: first.is_some_and(|first| first.trace.answer != run.trace.answer),
        }
    }

    fn in_words(&self) -> String {
        let probability = self.probability.map_or_else(String::new, |p| format!(", {:.1} %", 100.0 * p));
        let verdict = match self.correct {
            Some(true) => ", right",
            Some(false) => ", wrong",
            None => "",
        };
        let blind = if self.is_blind { ", blind" } else { "" };
        let other = if self.is_other { ", other than the first column" } else { "" };
        format!("{}{verdict}{probability}{blind}{other}", self.answer)
    }

    fn line(&self) -> String {
        let sign = match self.correct {
            Some(true) => "✔ ",
            Some(false) => "✖ ",
            None => "",
        };
        let probability = self.probability.map_or_else(String::new, |p| format!("  {:.1} %", 100.0 * p));
        let other = if self.is_other { "≠ " } else { "" };
        format!("{sign}{other}{}{probability}", self.answer)
    }
}

fn foot_ui(ui: &Ui, run: &Run, said: &Said, rect: Rect) {
    let palette = palette(ui.visuals());
    let painter = ui.painter_at(rect);
    let colour = match said.correct {
        Some(true) => palette.right,
        Some(false) => palette.warning,
        None => palette.text,
    };
    let font = FontId::proportional(if said.is_other { 14.0 } else { 13.0 });
    let at = pos2(rect.min.x + 6.0, rect.min.y + LINE / 2.0);
    painter.text(at, Align2::LEFT_CENTER, said.line(), font, colour);
    let choices = &run.trace.choices;
    if choices.is_empty() {
        return;
    }
    let each = (rect.width() - 12.0) / choices.len() as f32;
    for (i, choice) in choices.iter().enumerate() {
        let left = rect.min.x + 6.0 + i as f32 * each;
        let middle = rect.min.y + LINE + BARS / 2.0 - 1.0;
        let letter: String = choice.choice.chars().take(if choices.len() > 4 { 1 } else { 3 }).collect();
        let written = painter.text(
            pos2(left, middle),
            Align2::LEFT_CENTER,
            letter,
            FontId::proportional(10.5),
            palette.weak,
        );
        let start = written.max.x + 3.0;
        let room = (left + each - 6.0 - start).max(0.0);
        let trough = Rect::from_min_size(pos2(start, middle - 3.0), vec2(room, 6.0));
        painter.rect_filled(trough, 2.0, palette.trough);
        let bar = Rect::from_min_size(trough.min, vec2(room * choice.probability.clamp(0.0, 1.0), 6.0));
        painter.rect_filled(bar, 2.0, palette.accent);
    }
}

/// How maps lie over the pictures of a cell.
pub fn style_of(state: &State, shown: InSight<'_>) -> OverlayStyle {
    let mut style = state.kept.view.style;
    if shown.rows.is_difference() {
        (style.colour_map, style.fade) = (ColourMap::Difference, false);
    }
    if state.ui.peeks {
        style.opacity = 0.0;
    }
    style
}

/// The ends of the colours of a cell: those of all cells, so that they can be compared.
pub fn range_of(state: &State, shown: InSight<'_>, query: usize, image: usize) -> Range {
    let own = shown.ranges[query][image];
    let uniform = shown.times_uniform(query, 1.0);
    let all = state.compare.scale(shown.rows.queries[query], image, shown.rows.is_difference());
    all.filter(|_| uniform > 0.0)
        .map_or(own, |[low, high]| Range { low: low / uniform, high: high / uniform })
}

fn paint_images(
    ui: &Ui,
    state: &State,
    shown: Option<InSight<'_>>,
    (row, column): (usize, usize),
    rects: &[Rect],
    area: Rect,
) {
    let masked = shown.is_some_and(|shown| is_masked(state, shown));
    for (i, (rect, image)) in rects.iter().zip(&state.images).enumerate() {
        let visible = rect.intersect(area).intersect(ui.clip_rect());
        if !visible.is_positive() {
            continue;
        }
        let map = shown.filter(|_| !masked).and_then(|shown| {
            let image = shown.image_of(i, image)?;
            let (stack, layer) = shown.maps.layer(shown.query, image);
            Some((stack, layer, range_of(state, shown, shown.query, image)))
        });
        let paint = OverlayPaint {
            image: image.clone(),
            map,
            style: shown.map_or(state.kept.view.style, |shown| style_of(state, shown)),
            view: visible_part(*rect, visible),
            slot: SLOTS | (((row << 4) | column) as u64) << 16 | i as u64,
        };
        ui.painter().add(in_rect(visible, paint));
    }
    if masked && !shown.is_some_and(|shown| state.compare.is_blind(shown.rows.run.id)) {
        let place = Rect::from_center_size(area.center(), vec2(area.width(), 20.0));
        paint_note(ui, place, "masked: cannot see the images", 11.0);
    }
}

fn patch_at(state: &State, shown: InSight<'_>, rects: &[Rect], point: Pos2) -> Option<Hovered> {
    rects.iter().zip(&state.images).enumerate().find_map(|(i, (rect, image))| {
        let map = &shown.maps.maps[shown.query][shown.image_of(i, image)?];
        patch_from_point(i, *rect, map.rows, map.cols, point)
    })
}

/// The patch under the pointer is that of all cells.
fn hover(
    ui: &Ui,
    response: &egui::Response,
    state: &State,
    shown: InSight<'_>,
    rects: &[Rect],
    actions: &mut Actions,
) {
    let Some(point) = response.hover_pos().filter(|_| ui.is_enabled()) else { return };
    let hovered = patch_at(state, shown, rects, point);
    if hovered != state.panes.map.hovered {
        actions.push(ViewAction::Hover(hovered));
    }
}

fn frame_hovered(ui: &Ui, state: &State, shown: Option<InSight<'_>>, rects: &[Rect], area: Rect) {
    let (Some(shown), Some(hovered)) = (shown, state.panes.map.hovered) else { return };
    let (Some(rect), Some(image)) = (rects.get(hovered.image), state.images.get(hovered.image)) else {
        return;
    };
    let Some(image) = shown.image_of(hovered.image, image) else { return };
    let map = &shown.maps.maps[shown.query][image];
    if hovered.row < map.rows && hovered.col < map.cols && rect.is_positive() {
        let outline = rect_from_patch(*rect, map.rows, map.cols, hovered.row, hovered.col);
        let stroke = Stroke::new(1.5, palette(ui.visuals()).hover);
        ui.painter_at(area).rect_stroke(outline, 0.0, stroke, StrokeKind::Outside);
    }
}
