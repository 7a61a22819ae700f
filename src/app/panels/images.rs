//! The images with the chosen map over them: zoom, pan, hover; and the list they come from.

use egui::{Rect, Role, Sense, Stroke, StrokeKind, Ui};

use super::{name_widget, shown_style};
use crate::app::actions::{Actions, EditAction, GalleryAction, ImagesAction, ViewAction};
use crate::app::canvas::{
    CanvasView, Hovered, patch_from_point, place, rect_from_patch, sizes, visible_part, zoom_about,
};
use crate::app::keyboard::{PASTE, does, hint, keys};
use crate::app::map_pane::InSight;
use crate::app::state::{PathKind, State};
use crate::app::theme::{self, GAP};
use crate::app::words::query_name;
use crate::render::overlay::OverlayPaint;

const IMAGE_GAP: f32 = 12.0;

/// Draws the row of buttons above the canvas.
pub fn image_bar_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.horizontal_wrapped(|ui| {
        if ui.button("Samples").on_hover_text(hint(ui.ctx(), does::SAMPLES)).clicked() {
            actions.push(GalleryAction::Toggle);
        }
        if ui
            .button("Open images…")
            .on_hover_text(format!("{}, or drop files", hint(ui.ctx(), does::OPEN_IMAGES)))
            .clicked()
        {
            actions.push(ViewAction::OpenPathDialog(PathKind::Images));
        }
        if ui.button("Paste image").on_hover_text(keys(ui.ctx(), &PASTE)).clicked() {
            actions.push(ImagesAction::Paste);
        }
        if ui
            .add_enabled(state.undo.can_undo(), egui::Button::new("Undo"))
            .on_hover_text(hint(ui.ctx(), does::UNDO))
            .clicked()
        {
            actions.push(EditAction::Undo);
        }
        if ui.add_enabled(!state.images.is_empty(), egui::Button::new("Clear images")).clicked() {
            actions.push(ImagesAction::Clear);
        }
        if ui.button("Fit").on_hover_text(hint(ui.ctx(), does::FIT)).clicked() {
            actions.push(ViewAction::SetCanvas(CanvasView::default()));
        }
        ui.separator();
        for (i, image) in state.images.iter().enumerate() {
            let (width, height) = image.size();
            ui.menu_button(format!("{}. {}", i + 1, short(&image.name)), |ui| {
                ui.weak(format!("{width} x {height} pixels"));
                if ui.add_enabled(i > 0, egui::Button::new("Move earlier")).clicked() {
                    actions.push(ImagesAction::Move(i, false));
                }
                if ui.add_enabled(i + 1 < state.images.len(), egui::Button::new("Move later")).clicked() {
                    actions.push(ImagesAction::Move(i, true));
                }
                if ui.button("Remove").clicked() {
                    actions.push(ImagesAction::Remove(i));
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
pub fn canvas_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let palette = theme::palette(ui.visuals());
    let (area, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    name_widget(ui, &response, Role::Image, None, || describe(state));
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 4.0, palette.canvas);
    if state.images.is_empty() {
        painter.text(
            area.center(),
            egui::Align2::CENTER_CENTER,
            format!(
                "Drop images here, paste them, open them with {}, or take a sample with {}",
                hint(ui.ctx(), does::OPEN_IMAGES),
                hint(ui.ctx(), does::SAMPLES)
            ),
            egui::TextStyle::Body.resolve(ui.style()),
            ui.visuals().weak_text_color(),
        );
        return;
    }
    let pane = &state.panes.map;
    let rects = place(&sizes(&state.images), area.shrink(GAP), IMAGE_GAP, pane.canvas);
    let in_sight = pane.in_sight();
    let style = shown_style(state);
    for (i, (image, rect)) in state.images.iter().zip(&rects).enumerate() {
        let visible = rect.intersect(area);
        if !visible.is_positive() {
            continue;
        }
        let map = in_sight.and_then(|shown| {
            let of_run = shown.image_of(i, image)?;
            let (stack, layer) = shown.maps.layer(shown.query, of_run);
            Some((stack, layer, shown.ranges[shown.query][of_run]))
        });
        let view = visible_part(*rect, visible);
        let paint = OverlayPaint { image: image.clone(), map, style, view, slot: i as u64 };
        painter.add(eframe::egui_wgpu::Callback::new_paint_callback(visible, paint));
    }
    let patch = response.hover_pos().and_then(|point| patch_at(state, in_sight?, &rects, point));
    let hovered = patch.map(|(hovered, _)| hovered);
    if hovered != pane.hovered {
        actions.push(ViewAction::Hover(hovered));
    }
    if let Some((_, outline)) = patch {
        painter.rect_stroke(outline, 0.0, Stroke::new(2.0, palette.hover), StrokeKind::Outside);
    }
    navigate(ui, &response, area, state, actions);
}

/// The patch under a point, with its outline.
fn patch_at(state: &State, shown: InSight<'_>, rects: &[Rect], point: egui::Pos2) -> Option<(Hovered, Rect)> {
    rects.iter().zip(&state.images).enumerate().find_map(|(i, (rect, image))| {
        let map = &shown.maps.maps[shown.query][shown.image_of(i, image)?];
        let hovered = patch_from_point(i, *rect, map.rows, map.cols, point)?;
        Some((hovered, rect_from_patch(*rect, map.rows, map.cols, hovered.row, hovered.col)))
    })
}

fn navigate(ui: &Ui, response: &egui::Response, area: Rect, state: &State, actions: &mut Actions) {
    let mut view = state.panes.map.canvas;
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
    if view != state.panes.map.canvas {
        actions.push(ViewAction::SetCanvas(view));
    }
}

/// What a screen reader says of the canvas.
fn describe(state: &State) -> String {
    let pane = &state.panes.map;
    let some_have_maps = pane.in_sight().is_some_and(|shown| {
        state.images.iter().enumerate().any(|(i, image)| shown.image_of(i, image).is_some())
    });
    match state.images.len() {
        0 => "No images".to_owned(),
        n if some_have_maps => format!("{n} images with the attention of {}", query_name(pane.query)),
        n => format!("{n} images"),
    }
}
