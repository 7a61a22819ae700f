//! The images with the chosen map over them: zoom, pan, hover; and the list they come from.

use egui::{Rect, Role, Sense, Stroke, StrokeKind, Ui};

use super::name_widget;
use crate::analysis::maps::Query;
use crate::app::actions::Action;
use crate::app::canvas::{patch_from_point, place, rect_from_patch, visible_part, zoom_about};
use crate::app::state::{CanvasView, Hovered, PathKind, State};
use crate::app::theme::{self, GAP};
use crate::render::overlay::OverlayPaint;

const IMAGE_GAP: f32 = 12.0;

/// Draws the row of buttons above the canvas.
pub fn image_bar_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        if ui.button("Open images…").on_hover_text("Ctrl+I, or drop files").clicked() {
            actions.push(Action::OpenPathDialog(PathKind::Images));
        }
        if ui.button("Paste image").on_hover_text("Ctrl+V").clicked() {
            actions.push(Action::Paste);
        }
        if ui
            .add_enabled(!state.removed_images.is_empty(), egui::Button::new("Undo"))
            .on_hover_text("Ctrl+Z")
            .clicked()
        {
            actions.push(Action::UndoImages);
        }
        if ui.add_enabled(!state.images.is_empty(), egui::Button::new("Clear images")).clicked() {
            actions.push(Action::ClearImages);
        }
        if ui.button("Fit").on_hover_text("0").clicked() {
            actions.push(Action::SetCanvas(CanvasView::default()));
        }
        ui.separator();
        for (i, image) in state.images.iter().enumerate() {
            let (width, height) = image.picture.size();
            ui.menu_button(format!("{}. {}", i + 1, short(&image.picture.name)), |ui| {
                ui.weak(format!("{width} x {height} pixels"));
                if ui.add_enabled(i > 0, egui::Button::new("Move earlier")).clicked() {
                    actions.push(Action::MoveImage(i, false));
                }
                if ui.add_enabled(i + 1 < state.images.len(), egui::Button::new("Move later")).clicked() {
                    actions.push(Action::MoveImage(i, true));
                }
                if ui.button("Remove").clicked() {
                    actions.push(Action::RemoveImage(i));
                }
            });
        }
    });
}

fn short(name: &str) -> String {
    const LONGEST: usize = 18;
    match name.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &name[..cut]),
        None => name.to_owned(),
    }
}

/// Draws the canvas.
pub fn canvas_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui.visuals());
    let (area, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    name_widget(ui, &response, Role::Image, None, || describe(state));
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 4.0, palette.canvas);
    if state.images.is_empty() {
        painter.text(
            area.center(),
            egui::Align2::CENTER_CENTER,
            "Drop images here, paste them, or open them with Ctrl+I",
            egui::TextStyle::Body.resolve(ui.style()),
            ui.visuals().weak_text_color(),
        );
        return;
    }
    let sizes = state.image_sizes();
    let rects = place(&sizes, area.shrink(GAP), IMAGE_GAP, state.canvas);
    let maps = state.maps.as_ref().filter(|_| state.maps_fit());
    let query = maps.map(|maps| maps.index_of(state.query));
    for (i, (image, rect)) in state.images.iter().zip(&rects).enumerate() {
        let visible = rect.intersect(area);
        if !visible.is_positive() {
            continue;
        }
        let map = maps.zip(query).map(|(maps, query)| {
            let (stack, layer) = maps.layer(query, i);
            (stack, layer, maps.ranges[query][i])
        });
        let paint = OverlayPaint {
            image: image.clone(),
            map,
            style: state.persisted.style,
            view: visible_part(*rect, visible),
            slot: i as u64,
        };
        painter.add(eframe::egui_wgpu::Callback::new_paint_callback(visible, paint));
    }
    let pointer = response.hover_pos();
    let hovered = maps.zip(query).zip(pointer).and_then(|((maps, query), point)| {
        rects.iter().enumerate().find_map(|(i, rect)| {
            let map = &maps.maps[query][i];
            patch_from_point(i, *rect, map.rows, map.cols, point)
        })
    });
    if hovered != state.hovered {
        actions.push(Action::Hover(hovered));
    }
    if let (Some(maps), Some(query), Some(hovered)) = (maps, query, hovered) {
        let map = &maps.maps[query][hovered.image];
        let patch = rect_from_patch(rects[hovered.image], map.rows, map.cols, hovered.row, hovered.col);
        painter.rect_stroke(patch, 0.0, Stroke::new(2.0, palette.hover), StrokeKind::Outside);
    }
    navigate(ui, &response, area, state, actions);
}

fn navigate(ui: &Ui, response: &egui::Response, area: Rect, state: &State, actions: &mut Vec<Action>) {
    let mut view = state.canvas;
    if response.dragged() {
        view.pan += response.drag_delta();
    }
    if response.double_clicked() {
        view = CanvasView::default();
    }
    if let Some(point) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = pinch * (scroll / 240.0).exp();
        if factor != 1.0 {
            view = zoom_about(view, factor, point - area.center());
        }
    }
    if view != state.canvas {
        actions.push(Action::SetCanvas(view));
    }
}

/// What a screen reader says of the canvas.
fn describe(state: &State) -> String {
    match (state.images.len(), &state.maps) {
        (0, _) => "No images".to_owned(),
        (n, Some(_)) if state.maps_fit() => {
            format!("{n} images with the attention of {}", query_name(state.query))
        }
        (n, _) => format!("{n} images"),
    }
}

/// A query as the user reads it.
pub fn query_name(query: Query) -> String {
    match query {
        Query::Latent(i) => format!("latent {i}"),
        Query::Answer(i) => format!("answer token {i}"),
    }
}

/// What stands under the pointer, in one line.
pub fn read_out(state: &State) -> Option<String> {
    let Hovered { image, row, col } = state.hovered?;
    let maps = state.maps.as_ref().filter(|_| state.maps_fit())?;
    let query = maps.index_of(state.query);
    let map = maps.maps[query].get(image).filter(|map| row < map.rows && col < map.cols)?;
    let value = map.values[row * map.cols + col];
    let (width, height) = state.images[image].picture.size();
    let edge = |i: usize, count: usize, side: u32| (i as f64 * f64::from(side) / count as f64).round() as u32;
    let (left, right) = (edge(col, map.cols, width), edge(col + 1, map.cols, width));
    let (top, bottom) = (edge(row, map.rows, height), edge(row + 1, map.rows, height));
    let lookers: Vec<String> = maps
        .who_looks_at(image, row, col)
        .iter()
        .take(3)
        .map(|(latent, p)| format!("{latent} ({p:.4})"))
        .collect();
    let lookers = if lookers.is_empty() {
        String::new()
    } else {
        format!("  ·  most from latents {}", lookers.join(", "))
    };
    Some(format!(
        "image {}, patch ({row}, {col}), pixels {left}..{right} x {top}..{bottom}: {value:.5}, above {:.0} % of patches{lookers}",
        image + 1,
        maps.rank(query, image, value),
    ))
}
