//! The grid: models from left to right, conditions from top to bottom, and below them the latents of each column.

use egui::{Align, Layout, Rect, Sense, Ui, UiBuilder, pos2, vec2};

use super::cell::cell_ui;
use super::heads::{head_ui, row_name};
use super::strips::{strip_height, strips_ui};
use crate::analysis::likeness::latent_cosines;
use crate::analysis::query::Query;
use crate::app::hub::actions::{Actions, CompareAction, JobAction, ViewAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::kit::geometry::Hovered;
use crate::app::kit::theme::palette;
use crate::app::kit::words::query_name;
use crate::app::parts::compare::{CompareRows, Grid, GridCell, MOST_ROWS};
use crate::ask::Condition;
use crate::render::still::{still, still_rows};

/// Room between cells.
const GAP: f32 = 6.0;
/// Height of a head, and of a row's name.
const HEAD: f32 = 26.0;
const ROW_NAME: f32 = 18.0;
/// A row of pictures is at least so high; what does not fit scrolls.
const LEAST_ROW: f32 = 96.0;

/// Draws it.
pub fn compare_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    still_rows(ui, "options", |ui| options_ui(ui, state, actions));
    let grid = state.compare.grid();
    if grid.cells.is_empty() {
        ui.centered_and_justified(|ui| {
            ui.weak("Open a model: its answers come here, beside those of others")
        });
        return;
    }
    let area = ui.available_rect_before_wrap();
    let columns = grid.cells[0].len();
    let width = (area.width() - GAP * (columns - 1) as f32) / columns as f32;
    let column = |i: usize, top: f32, height: f32| {
        let left = area.min.x + i as f32 * (width + GAP);
        Rect::from_min_size(pos2(left, top), vec2(width, height))
    };
    for i in 0..columns {
        within(ui, column(i, area.min.y, HEAD), |ui| head_ui(ui, state, i, actions));
    }
    let foot = foot_height(state, columns, width, area.height());
    let room =
        Rect::from_min_max(pos2(area.min.x, area.min.y + HEAD + GAP), pos2(area.max.x, area.max.y - foot));
    within(ui, room, |ui| {
        egui::ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            rows_ui(ui, state, grid, width, actions);
        });
    });
    let pointer = ui.input(|input| input.pointer.hover_pos());
    if state.panes.map.hovered.is_some() && !pointer.is_some_and(|point| room.contains(point)) {
        actions.push(ViewAction::Hover(None));
    }
    let below = Rect::from_min_max(pos2(area.min.x, room.max.y), area.max);
    within(ui, below, |ui| {
        let strips = Rect::from_min_size(below.min, vec2(below.width(), strip_height(state, width)));
        still(ui, "strips", strips, |ui| strips_ui(ui, state, grid, width, GAP, actions));
        scale_ui(ui, state);
        read_out_ui(ui, state, grid);
    });
    ui.allocate_rect(area, Sense::hover());
}

/// Room for the latents of each column and the line of what is under the pointer.
fn foot_height(state: &State, columns: usize, width: f32, height: f32) -> f32 {
    const LINES: f32 = 56.0;
    let has_latents = columns > 1 && state.compare.runs().next().is_some();
    if has_latents && height > 360.0 { LINES + strip_height(state, width) } else { LINES }
}

/// Content in a place of its own: what comes behind it is not moved.
fn within(ui: &mut Ui, rect: Rect, content: impl FnOnce(&mut Ui)) {
    let builder = UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min));
    let mut own = ui.new_child(builder);
    own.set_clip_rect(rect.expand(1.0).intersect(ui.clip_rect()));
    content(&mut own);
}

fn options_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let form = &state.kept.compare;
    ui.horizontal_wrapped(|ui| {
        ui.label("Rows");
        for rows in CompareRows::ALL {
            let hover = match rows {
                CompareRows::One => "What the controls say",
                CompareRows::Mask => "The same without the bottleneck mask, and with it",
                CompareRows::MaskAndLatents => "The paper's test battery: mask and latents, each on and off",
                CompareRows::Own => "Conditions you kept",
            };
            if ui.selectable_label(form.rows == rows, rows.label()).on_hover_text(hover).clicked() {
                actions.push(CompareAction::SetRows(rows));
            }
        }
        let room = form.own.len() < MOST_ROWS;
        let add = ui.add_enabled(room, egui::Button::new("Keep as a row"));
        if add.on_hover_text("Keeps mask, latents and edits of the controls as a row of your own").clicked() {
            actions.push(CompareAction::AddRow);
        }
        let mut difference = state.compare.difference;
        let hover = format!("How maps differ from the first column's ({})", hint(ui.ctx(), does::DIFFERENCE));
        if ui.checkbox(&mut difference, "Differences").on_hover_text(hover).changed() {
            actions.push(CompareAction::SetDifference(difference));
        }
        let left = state.runs.waiting.len() + usize::from(state.runs.asked.is_some());
        if left > 0 {
            ui.spinner();
            ui.weak(format!("{left} to answer"));
            if ui.button("Stop").clicked() {
                actions.push(JobAction::Stop);
            }
        } else if (!state.compare.missing().is_empty() || !state.compare.problems.is_empty())
            && ui.button("Ask all").on_hover_text("Every cell that has no answer").clicked()
        {
            actions.push(CompareAction::Ask);
        }
    });
}

/// The rows, as high as their share of what there is.
fn rows_ui(ui: &mut Ui, state: &State, grid: &Grid, width: f32, actions: &mut Actions) {
    let area = ui.available_rect_before_wrap();
    let named = grid.cells.len() > 1;
    let name = if named { ROW_NAME } else { 0.0 };
    // The conditions of one model stand two beside each other: below each other they were all edge.
    let across = if grid.cells[0].len() == 1 && named { 2 } else { 1 };
    let lines = grid.cells.len().div_ceil(across) as f32;
    let height = ((area.height() - GAP * (lines - 1.0)) / lines).max(LEAST_ROW + name);
    let whole = vec2(area.width(), height * lines + GAP * (lines - 1.0));
    let (whole, _) = ui.allocate_exact_size(whole, Sense::hover());
    let share = (whole.width() - GAP * (across - 1) as f32) / across as f32;
    let width = if across > 1 { share } else { width };
    for (row, cells) in grid.cells.iter().enumerate() {
        let (line, place) = ((row / across) as f32, (row % across) as f32);
        let corner = whole.min + vec2(place * (share + GAP), line * (height + GAP));
        let strip = Rect::from_min_size(corner, vec2(share, height));
        if !ui.is_rect_visible(strip) {
            continue;
        }
        if named {
            row_name_ui(ui, state, row, &grid.conditions[row], strip, actions);
        }
        for (column, cell) in cells.iter().enumerate() {
            let left = strip.min.x + column as f32 * (width + GAP);
            let rect = Rect::from_min_max(pos2(left, strip.min.y + name), pos2(left + width, strip.max.y));
            cell_ui(ui, state, (row, column), cell, rect, actions);
        }
    }
}

fn row_name_ui(
    ui: &mut Ui,
    state: &State,
    row: usize,
    condition: &Condition,
    strip: Rect,
    actions: &mut Actions,
) {
    let rect = Rect::from_min_size(strip.min, vec2(strip.width(), ROW_NAME));
    let is_own = state.kept.compare.rows == CompareRows::Own && row < state.kept.compare.own.len();
    within(ui, rect, |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().interact_size.y = ROW_NAME;
            ui.label(egui::RichText::new(row_name(condition)).size(11.5).strong());
            if is_own && ui.small_button("×").on_hover_text("Take this row away").clicked() {
                actions.push(CompareAction::RemoveRow(row));
            }
        });
    });
}

/// The one scale of all cells.
fn scale_ui(ui: &mut Ui, state: &State) {
    let query = state.panes.map.query;
    let image = state.panes.map.hovered.map_or(0, |hovered| hovered.image);
    let Some([low, high]) = state.compare.scale(query, image, state.compare.difference) else { return };
    let of = if state.compare.difference {
        "own attention, and differences from the first column"
    } else {
        "attention"
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let likeness = match query {
            Query::Latent(latent) => cosines_of(state, latent),
            Query::Answer(_) => String::new(),
        };
        let what = format!(
            "{} · {of} from {low:.2} to {high:.2} times uniform, one scale for all cells{likeness}",
            name_of(query)
        );
        let line = ui.add(egui::Label::new(egui::RichText::new(&what).size(11.5).weak()).truncate());
        line.on_hover_text(what);
    });
}

/// How alike a latent's state is in each column to that in the first, where it is known.
fn cosines_of(state: &State, latent: usize) -> String {
    let grid = state.compare.grid();
    let run = |cell: &GridCell| cell.run.and_then(|id| state.runs.get(id));
    let is_shown = |row: &&Vec<GridCell>| row.iter().any(|cell| cell.run == state.panes.map.run);
    let Some(row) = grid.cells.iter().find(is_shown).or(grid.cells.first()) else { return String::new() };
    let Some(first) = row.first().and_then(run) else { return String::new() };
    let after = state.kept.view.selection.layer;
    let one = |cell: &GridCell| Some(*latent_cosines(&first.trace, &run(cell)?.trace, after)?.get(latent)?);
    let all: Vec<Option<f32>> = row.iter().skip(1).map(one).collect();
    if all.iter().all(Option::is_none) {
        return String::new();
    }
    let said = all.iter().map(|own| own.map_or_else(|| "–".to_owned(), |own| format!("{own:.2}")));
    format!(" · cosine of its state with that of the first column: {}", said.collect::<Vec<_>>().join(" | "))
}

fn name_of(query: Query) -> String {
    let name = query_name(query);
    name[..1].to_uppercase() + &name[1..]
}

/// What each column has under the pointer.
fn read_out_ui(ui: &mut Ui, state: &State, grid: &Grid) {
    let text = match state.panes.map.hovered {
        Some(hovered) => read_out(state, grid, hovered),
        None => "Hover a patch to read it in every column".to_owned(),
    };
    ui.add(
        egui::Label::new(egui::RichText::new(text).size(11.5).color(palette(ui.visuals()).text)).truncate(),
    );
}

fn read_out(state: &State, grid: &Grid, hovered: Hovered) -> String {
    let query = state.panes.map.query;
    let rows = grid.cells.iter().enumerate().map(|(row, cells)| {
        let of_column = cells.iter().map(|cell| {
            let value = cell.run.and_then(|run| {
                let shown = state.compare.in_sight(run, query)?;
                let map = shown.maps.maps[shown.query].get(hovered.image)?;
                let inside = hovered.row < map.rows && hovered.col < map.cols;
                inside.then(|| {
                    shown.times_uniform(shown.query, map.values[hovered.row * map.cols + hovered.col])
                })
            });
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
        });
        let values: Vec<String> = of_column.collect();
        let name = if grid.cells.len() > 1 {
            format!("{}: ", row_name(&grid.conditions[row]))
        } else {
            String::new()
        };
        format!("{name}{}", values.join(" | "))
    });
    let rows: Vec<String> = rows.collect();
    format!(
        "Image {}, row {}, column {}, times uniform from left to right: {}",
        hovered.image + 1,
        hovered.row,
        hovered.col,
        rows.join("  ·  ")
    )
}
