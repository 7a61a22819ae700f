//! A number for each layer and head of the chosen query; a click shows that head.

use egui::{Color32, Rect, Role, Sense, Stroke, StrokeKind, Ui, vec2};

use crate::analysis::maps::Scalar;
use crate::analysis::query::Selection;
use crate::app::hub::actions::{Actions, ViewAction};
use crate::app::hub::state::State;
use crate::app::kit::geometry::{patch_from_point, rect_from_patch};
use crate::app::kit::theme;
use crate::app::kit::widgets::name_widget;
use crate::units::{HeadIdx, LayerIdx};

/// Draws the section.
pub fn matrix_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let (mut scalar, mut sorted) = (state.kept.view.scalar, state.kept.view.matrix_sorted);
    ui.horizontal_wrapped(|ui| {
        let label = ui.label("Cells");
        let combo = egui::ComboBox::from_id_salt("scalar").width(110.0).selected_text(scalar.label());
        let combo = combo.show_ui(ui, |ui| {
            for option in Scalar::ALL {
                ui.selectable_value(&mut scalar, option, option.label());
            }
        });
        combo.response.labelled_by(label.id);
        ui.checkbox(&mut sorted, "Sort").on_hover_text("Layers and heads with the largest means first");
    });
    if sorted != state.kept.view.matrix_sorted {
        actions.push(ViewAction::SortMatrix(sorted));
    }
    if scalar != state.kept.view.scalar {
        actions.push(ViewAction::SetScalar(scalar));
    }
    let Some(values) = state.panes.map.matrix() else {
        ui.weak("Appears with the answer");
        return;
    };
    if values.is_empty() || values[0].is_empty() {
        ui.weak("No attention was kept for this query");
        return;
    }
    let grid = Grid::new(values, state.kept.view.matrix_sorted);
    grid_ui(ui, state, &grid, scalar, actions);
}

/// Values in the order they are drawn.
struct Grid<'a> {
    values: &'a [Vec<f32>],
    layers: Vec<usize>,
    heads: Vec<usize>,
    of_layers: Vec<f32>,
    of_heads: Vec<f32>,
    range: (f32, f32),
}

impl<'a> Grid<'a> {
    fn new(values: &'a [Vec<f32>], sorted: bool) -> Self {
        let (rows, cols) = (values.len(), values[0].len());
        let of_layers: Vec<f32> = values.iter().map(|row| row.iter().sum::<f32>() / cols as f32).collect();
        let of_head = |head: usize| values.iter().map(|row| row[head]).sum::<f32>() / rows as f32;
        let of_heads: Vec<f32> = (0..cols).map(of_head).collect();
        let order = |means: &[f32]| {
            let mut order: Vec<usize> = (0..means.len()).collect();
            if sorted {
                order.sort_by(|a, b| means[*b].total_cmp(&means[*a]));
            }
            order
        };
        let all = || values.iter().flatten().copied();
        let range = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
        Self { layers: order(&of_layers), heads: order(&of_heads), values, of_layers, of_heads, range }
    }

    fn size(&self) -> (usize, usize) {
        (self.layers.len(), self.heads.len())
    }
}

/// Room for the numbers of layers and heads, and for what they are.
const NUMBERS: egui::Vec2 = vec2(36.0, 28.0);
/// Between cells and means.
const MEANS_GAP: f32 = 4.0;
/// Room for the line below.
const LINE: f32 = 24.0;

fn grid_ui(ui: &mut Ui, state: &State, grid: &Grid<'_>, scalar: Scalar, actions: &mut Actions) {
    let (rows, cols) = grid.size();
    let room = ui.available_size() - NUMBERS - vec2(MEANS_GAP, MEANS_GAP + LINE);
    // Whole at any size: cells are as large as leaves all in sight, means included.
    let cell =
        vec2((room.x / (cols + 1) as f32).clamp(2.0, 34.0), (room.y / (rows + 1) as f32).clamp(2.0, 26.0));
    let cells = vec2(cell.x * cols as f32, cell.y * rows as f32);
    let (area, response) =
        ui.allocate_exact_size(NUMBERS + cells + vec2(MEANS_GAP, MEANS_GAP) + cell, Sense::click());
    let rect = Rect::from_min_size(area.min + NUMBERS, cells);
    let (low, high) = grid.range;
    name_widget(ui, &response, Role::Image, None, || {
        format!("{} of {rows} layers and {cols} heads, {low:.4} to {high:.4}", scalar.label())
    });
    paint_cells(ui, state, grid, rect);
    paint_numbers(ui, grid, rect, cell);
    let Selection { layer, head, .. } = state.kept.view.selection;
    let under = response.hover_pos().and_then(|point| patch_from_point(0, rect, rows, cols, point));
    if let Some(under) = under {
        let (own_layer, own_head) = (grid.layers[under.row], grid.heads[under.col]);
        if response.clicked() {
            let picked = (Some(LayerIdx(own_layer)), Some(HeadIdx(own_head)));
            let (layer, head) = if picked == (layer, head) { (None, None) } else { picked };
            let selection = Selection { layer, head, ..state.kept.view.selection };
            actions.push(ViewAction::Select(selection));
        }
        let value = grid.values[own_layer][own_head];
        let (of_layer, of_head) = (grid.of_layers[own_layer], grid.of_heads[own_head]);
        response.on_hover_text_at_pointer(format!(
            "layer {own_layer}, head {own_head}: {value:.4}\nmean of the layer {of_layer:.4}, of the head {of_head:.4}"
        ));
    }
    ui.weak(format!("{low:.4} to {high:.4}; means right and below"));
}

fn paint_cells(ui: &Ui, state: &State, grid: &Grid<'_>, rect: Rect) {
    let (rows, cols) = grid.size();
    let (low, high) = grid.range;
    let paint = |place: Rect, value: f32| {
        let [r, g, b] = state.kept.view.style.colour_map.at((value - low) / (high - low).max(1e-12));
        let gap = (0.08 * place.width().min(place.height())).min(0.5);
        ui.painter().rect_filled(place.shrink(gap), 1.0, Color32::from_rgb(r, g, b));
    };
    for (row, layer) in grid.layers.iter().enumerate() {
        for (col, head) in grid.heads.iter().enumerate() {
            paint(rect_from_patch(rect, rows, cols, row, col), grid.values[*layer][*head]);
        }
        let last = rect_from_patch(rect, rows, cols, row, cols - 1);
        paint(last.translate(vec2(last.width() + MEANS_GAP, 0.0)), grid.of_layers[*layer]);
    }
    for (col, head) in grid.heads.iter().enumerate() {
        let last = rect_from_patch(rect, rows, cols, rows - 1, col);
        paint(last.translate(vec2(0.0, last.height() + MEANS_GAP)), grid.of_heads[*head]);
    }
    let Selection { layer, head, .. } = state.kept.view.selection;
    let row = layer.and_then(|layer| grid.layers.iter().position(|own| *own == layer.0));
    let col = head.and_then(|head| grid.heads.iter().position(|own| *own == head.0));
    let chosen = match (row, col) {
        (Some(row), Some(col)) => Some(rect_from_patch(rect, rows, cols, row, col)),
        (Some(row), None) => Some(rect_from_patch(rect, rows, 1, row, 0)),
        (None, Some(col)) => Some(rect_from_patch(rect, 1, cols, 0, col)),
        (None, None) => None,
    };
    if let Some(chosen) = chosen {
        let stroke = Stroke::new(2.0, theme::palette(ui.visuals()).hover);
        ui.painter().rect_stroke(chosen, 1.0, stroke, StrokeKind::Outside);
    }
}

/// Numbers of layers and heads, as many as can be read.
fn paint_numbers(ui: &Ui, grid: &Grid<'_>, rect: Rect, cell: egui::Vec2) {
    let colour = ui.visuals().weak_text_color();
    let font = egui::FontId::proportional(11.0);
    let write = |at: egui::Pos2, align: egui::Align2, number: usize| {
        ui.painter().text(at, align, number, font.clone(), colour);
    };
    let every = |room: f32, needed: f32| ((needed / room).ceil() as usize).max(1);
    for (row, layer) in grid.layers.iter().enumerate().step_by(every(cell.y, 12.0)) {
        let y = rect.min.y + cell.y * (row as f32 + 0.5);
        write(egui::pos2(rect.min.x - 4.0, y), egui::Align2::RIGHT_CENTER, *layer);
    }
    for (col, head) in grid.heads.iter().enumerate().step_by(every(cell.x, 16.0)) {
        let x = rect.min.x + cell.x * (col as f32 + 0.5);
        write(egui::pos2(x, rect.min.y - 2.0), egui::Align2::CENTER_BOTTOM, *head);
    }
    let name = |at: egui::Pos2, align: egui::Align2, text: &str| {
        ui.painter().text(at, align, text, font.clone(), colour);
    };
    name(rect.min - vec2(4.0, 2.0), egui::Align2::RIGHT_BOTTOM, "layer");
    name(egui::pos2(rect.min.x + 2.0, rect.min.y - 15.0), egui::Align2::LEFT_BOTTOM, "head");
}
