//! A number for each layer and head of the chosen query; a click shows that head.

use egui::{Color32, Rect, Role, Sense, Stroke, StrokeKind, Ui, vec2};

use super::name_widget;
use crate::analysis::maps::{Scalar, Selection};
use crate::app::actions::{Actions, ViewAction};
use crate::app::canvas::{patch_from_point, rect_from_patch};
use crate::app::state::State;
use crate::app::theme;
use crate::units::{HeadIdx, LayerIdx};

/// Draws the section.
pub fn matrix_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.heading("Layers x heads");
    let mut scalar = state.kept.view.scalar;
    egui::ComboBox::from_label("Shows").width(150.0).selected_text(scalar.label()).show_ui(ui, |ui| {
        for option in Scalar::ALL {
            ui.selectable_value(&mut scalar, option, option.label());
        }
    });
    if scalar != state.kept.view.scalar {
        actions.push(ViewAction::SetScalar(scalar));
    }
    let Some(values) = state.panes.map.matrix() else {
        ui.weak("Appears with the answer");
        return;
    };
    let (rows, cols) = (values.len(), values.first().map_or(0, Vec::len));
    if rows == 0 || cols == 0 {
        ui.weak("No attention was kept for this query");
        return;
    }
    let cell = (ui.available_width() / cols as f32).min(22.0);
    let size = vec2(cell * cols as f32, cell.max(6.0) * rows as f32);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let all = || values.iter().flatten().copied();
    let (low, high) = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
    name_widget(ui, &response, Role::Image, None, || {
        format!("{} of {rows} layers and {cols} heads, {low:.4} to {high:.4}", scalar.label())
    });
    paint_cells(ui, state, values, rect, (low, high));
    let Selection { layer, head, .. } = state.kept.view.selection;
    let under = response.hover_pos().and_then(|point| patch_from_point(0, rect, rows, cols, point));
    if let Some(under) = under {
        if response.clicked() {
            let picked = (Some(LayerIdx(under.row)), Some(HeadIdx(under.col)));
            let (layer, head) = if picked == (layer, head) { (None, None) } else { picked };
            let selection = Selection { layer, head, ..state.kept.view.selection };
            actions.push(ViewAction::Select(selection));
        }
        let value = values[under.row][under.col];
        response.on_hover_text_at_pointer(format!("layer {}, head {}: {value:.4}", under.row, under.col));
    }
    ui.weak(format!("{low:.4} to {high:.4}; layers down, heads across; click one"));
}

fn paint_cells(ui: &Ui, state: &State, values: &[Vec<f32>], rect: Rect, (low, high): (f32, f32)) {
    let (rows, cols) = (values.len(), values[0].len());
    for (layer, of_layer) in values.iter().enumerate() {
        for (head, value) in of_layer.iter().enumerate() {
            let [r, g, b] = state.kept.view.style.colour_map.at((value - low) / (high - low).max(1e-12));
            let place = rect_from_patch(rect, rows, cols, layer, head).shrink(0.5);
            ui.painter().rect_filled(place, 1.0, Color32::from_rgb(r, g, b));
        }
    }
    let Selection { layer, head, .. } = state.kept.view.selection;
    let chosen = match (layer, head) {
        (Some(l), Some(h)) => Some(rect_from_patch(rect, rows, cols, l.0, h.0)),
        (Some(l), None) => Some(rect_from_patch(rect, rows, 1, l.0, 0)),
        (None, Some(h)) => Some(rect_from_patch(rect, 1, cols, 0, h.0)),
        (None, None) => None,
    };
    if let Some(chosen) = chosen {
        let stroke = Stroke::new(2.0, theme::palette(ui.visuals()).hover);
        ui.painter().rect_stroke(chosen, 1.0, stroke, StrokeKind::Outside);
    }
}
