//! The images with the chosen map over them: zoom, pan, hover; patches and regions that are chosen.

use std::sync::Arc;

use egui::{Id, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, pos2, vec2};

use super::colour_bar::{self, paint_note};
use super::patch_card::patch_card_ui;
use crate::analysis::maps::sees_images;
use crate::analysis::query::Query;
use crate::app::hub::actions::{Actions, ImagesAction, ViewAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::kit::geometry::{
    CanvasView, Hovered, Region, patch_from_point, place, rect_from_patch, visible_part, zoom_about,
};
use crate::app::kit::theme::{self, GAP};
use crate::app::kit::widgets::name_widget;
use crate::app::kit::words::{query_name, visible};
use crate::app::parts::as_read::size_in;
use crate::app::parts::chain::InSight;
use crate::app::rooms::images::panel::short;
use crate::app::rooms::maps::scale::shown_style;
use crate::data::picture::Picture;
use crate::data::sample::choices_of_images;
use crate::render::fill::fill;
use crate::render::overlay::OverlayPaint;
use crate::render::paint::in_rect;
use crate::render::still::still;

const IMAGE_GAP: f32 = 12.0;

/// Draws the canvas.
pub fn canvas_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let palette = theme::palette(ui.visuals());
    let (area, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    name_widget(ui, &response, Role::Image, None, || describe(state));
    let painter = ui.painter_at(area);
    if state.images.is_empty() {
        fill(&painter, area, palette.canvas);
        let said = format!(
            "Drop images here, paste them, open them with {}, or take a sample with {}",
            hint(ui.ctx(), does::OPEN_IMAGES),
            hint(ui.ctx(), does::SAMPLES)
        );
        let font = egui::TextStyle::Body.resolve(ui.style());
        let room = (area.width() - 24.0).max(40.0);
        let galley = painter.layout(said, font, ui.visuals().weak_text_color(), room);
        painter.galley(area.center() - galley.size() / 2.0, galley, ui.visuals().weak_text_color());
        return;
    }
    let pane = &state.panes.map;
    let rects = place(&state.image_sizes(), area.shrink(GAP), IMAGE_GAP, pane.canvas, pane.maximised);
    let in_sight = pane.in_sight();
    let masked = in_sight.is_some_and(|shown| is_masked(state, shown));
    still(ui, "canvas", area, |ui| {
        fill(&ui.painter_at(area), area, palette.canvas);
        paint_images(ui, state, in_sight.filter(|_| !masked), &rects, area);
    });
    let patch = response.hover_pos().and_then(|point| patch_at(state, in_sight?, &rects, point));
    let hovered = patch.map(|(hovered, _)| hovered);
    if hovered != pane.hovered {
        actions.push(ViewAction::Hover(hovered));
    }
    if let Some((_, outline)) = patch {
        painter.rect_stroke(outline, 0.0, Stroke::new(2.0, palette.hover), StrokeKind::Outside);
    }
    navigate(ui, &response, area, state, actions);
    if state.images.len() > 1 {
        names_ui(ui, state, &rects, area, actions);
    }
    let Some(shown) = in_sight else { return };
    if masked {
        // Of an answer to something else it would say what is not so.
        if state.is_current(&shown.rows.run) {
            let note = Rect::from_min_max(pos2(area.min.x, area.max.y - 30.0), area.max);
            paint_note(ui, note, &format!("Masked: {} cannot see the images", who_looks(shown)), 13.0);
        }
    } else if state.images.iter().enumerate().any(|(i, image)| shown.image_of(i, image).is_some()) {
        colour_bar::paint(ui, state, shown, area);
    }
    choose(ui, &response, state, shown, &rects, actions);
    if let Some((region, outline)) = pinned(state, shown, &rects) {
        painter.rect_stroke(outline, 0.0, Stroke::new(2.0, palette.accent), StrokeKind::Outside);
        patch_card_ui(ui, state, shown, region, outline, area, actions);
    }
}

/// May the query in sight not look at the images at all?
pub fn is_masked(state: &State, shown: InSight<'_>) -> bool {
    // What comes by way of the latents is seen all the same.
    let is_indirect = state.kept.view.selection.aggregation.is_indirect();
    !is_indirect
        && !shown.rows.is_difference()
        && !sees_images(&shown.rows.run.trace, shown.rows.queries[shown.query])
}

/// The query in sight as the user reads it; of an answer's token what it says.
fn who_looks(shown: InSight<'_>) -> String {
    let query = shown.rows.queries[shown.query];
    let said = match query {
        Query::Answer(i) => shown.rows.run.trace.generated.get(i).map(|token| visible(&token.text)),
        Query::Latent(_) => None,
    };
    said.map_or_else(|| query_name(query), |said| format!("{} \"{said}\"", query_name(query)))
}

fn paint_images(ui: &Ui, state: &State, in_sight: Option<InSight<'_>>, rects: &[Rect], area: Rect) {
    let style = shown_style(state);
    for (i, (image, rect)) in state.images.iter().zip(rects).enumerate() {
        let visible = rect.intersect(area);
        if !visible.is_positive() {
            continue;
        }
        let map = in_sight.and_then(|shown| {
            let of_run = shown.image_of(i, image)?;
            let (stack, layer) = shown.maps.layer(shown.query, of_run);
            let (_, ranges) = state.panes.map.large(state.kept.view.selection.layer)?;
            Some((stack, layer, ranges[of_run]))
        });
        let view = visible_part(*rect, visible);
        let paint = OverlayPaint { image: shown_image(state, image), map, style, view, slot: i as u64 };
        ui.painter_at(area).add(in_rect(visible, paint));
    }
}

/// An image, or where it is to be looked at as the run in sight read it, and is there so, that.
fn shown_image(state: &State, image: &Arc<Picture>) -> Arc<Picture> {
    let run = state.shown_run().filter(|_| state.kept.view.as_read);
    let read = run.and_then(|run| {
        let place = run.request.sample.images.iter().position(|own| own == image)?;
        state.as_read.get(image.id(), size_in(&run.trace, place)?)
    });
    read.unwrap_or(image).clone()
}

/// Each image's name in its corner: a click gives it all the room, dragged onto another it takes its place.
fn names_ui(ui: &Ui, state: &State, rects: &[Rect], area: Rect, actions: &mut Actions) {
    let palette = theme::palette(ui.visuals());
    let alone = state.panes.map.maximised;
    let choices = choices_of_images(&state.kept.question, state.images.len());
    for (i, (image, rect)) in state.images.iter().zip(rects).enumerate() {
        if !rect.intersect(area).is_positive() {
            continue;
        }
        let name = match &choices[i] {
            Some(choice) => format!("({choice}) {}", image.name),
            None => image.name.clone(),
        };
        let text = format!("{}. {}", i + 1, short(&name));
        let font = egui::FontId::proportional(11.5);
        let mut job = egui::text::LayoutJob::simple_singleline(text, font, palette.text);
        job.wrap = egui::text::TextWrapping::truncate_at_width(rect.intersect(area).width() - 16.0);
        let galley = ui.painter().layout_job(job);
        let corner = rect.min.max(area.min) + vec2(3.0, 3.0);
        let ground = Rect::from_min_size(corner, galley.size() + vec2(10.0, 4.0)).intersect(area);
        let response = ui.interact(ground, Id::unique(("name of image", i)), Sense::click_and_drag());
        name_widget(ui, &response, Role::Button, Some(alone == Some(i)), || {
            let does = if alone == Some(i) { "show all images" } else { "show alone" };
            format!("Image {}, {name}: {does}", i + 1)
        });
        let fill = if response.hovered() || response.has_focus() {
            ui.visuals().widgets.hovered.weak_bg_fill
        } else {
            ui.visuals().panel_fill.gamma_multiply(0.88)
        };
        let painter = ui.painter_at(area);
        painter.rect_filled(ground, 3.0, fill);
        painter.galley(ground.min + vec2(5.0, 2.0), galley, palette.text);
        if response.clicked() {
            actions.push(ViewAction::Maximise((alone != Some(i)).then_some(i)));
        }
        let over = response
            .interact_pointer_pos()
            .and_then(|point| rects.iter().position(|other| other.contains(point)))
            .filter(|other| *other != i);
        if let Some(over) = over {
            if response.dragged() {
                let stroke = Stroke::new(3.0, palette.accent);
                painter.rect_stroke(rects[over], 2.0, stroke, StrokeKind::Inside);
            } else if response.drag_stopped() {
                actions.push(ImagesAction::MoveTo(i, over));
            }
        }
        response.on_hover_text("Click to show it alone, or all; drag onto another to reorder");
    }
}

/// The patch under a point, with its outline.
fn patch_at(state: &State, shown: InSight<'_>, rects: &[Rect], point: Pos2) -> Option<(Hovered, Rect)> {
    rects.iter().zip(&state.images).enumerate().find_map(|(i, (rect, image))| {
        let map = &shown.maps.maps[shown.query][shown.image_of(i, image)?];
        let hovered = patch_from_point(i, *rect, map.rows, map.cols, point)?;
        Some((hovered, rect_from_patch(*rect, map.rows, map.cols, hovered.row, hovered.col)))
    })
}

/// A click chooses the patch under it, or lets the chosen one go; a drag with Shift chooses a region.
fn choose(
    ui: &Ui,
    response: &egui::Response,
    state: &State,
    shown: InSight<'_>,
    rects: &[Rect],
    actions: &mut Actions,
) {
    let pane = &state.panes.map;
    let under = response.interact_pointer_pos().and_then(|point| patch_at(state, shown, rects, point));
    let under = under.map(|(patch, _)| patch);
    if response.drag_started() && ui.input(|input| input.modifiers.shift) {
        let origin = ui.input(|input| input.pointer.press_origin());
        let corner = origin.and_then(|point| patch_at(state, shown, rects, point)).map(|(patch, _)| patch);
        actions.push(ViewAction::DrawFrom(corner));
    }
    if let (Some(corner), Some(under)) = (pane.drawn_from, under)
        && corner.image == under.image
        && response.dragged()
    {
        actions.push(ViewAction::Pin(Some(Region::between(corner, under))));
    }
    if response.drag_stopped() && pane.drawn_from.is_some() {
        actions.push(ViewAction::DrawFrom(None));
    }
    if response.clicked() {
        let region = under.map(|patch| Region::between(patch, patch));
        actions.push(ViewAction::Pin(region.filter(|_| region != pane.pinned)));
    }
}

/// The chosen region with its outline, where it is on an image in sight.
fn pinned(state: &State, shown: InSight<'_>, rects: &[Rect]) -> Option<(Region, Rect)> {
    let region = state.panes.map.pinned?;
    let (rect, image) = (rects.get(region.image)?, state.images.get(region.image)?);
    let map = &shown.maps.maps[shown.query][shown.image_of(region.image, image)?];
    if !rect.is_positive() || region.rows.1 >= map.rows || region.cols.1 >= map.cols {
        return None;
    }
    let corner = |row: usize, col: usize| rect_from_patch(*rect, map.rows, map.cols, row, col);
    let (first, last) = (corner(region.rows.0, region.cols.0), corner(region.rows.1, region.cols.1));
    Some((region, first.union(last)))
}

/// Drags pan, the wheel zooms, a double click fits.
pub fn navigate(ui: &Ui, response: &egui::Response, area: Rect, state: &State, actions: &mut Actions) {
    let mut view = state.panes.map.canvas;
    let draws = state.panes.map.drawn_from.is_some() || ui.input(|input| input.modifiers.shift);
    if response.dragged() && !draws {
        view.pan += response.drag_delta();
    }
    if response.double_clicked() {
        view = CanvasView::default();
    }
    if let Some(point) = response.hover_pos() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = pinch * (scroll / 240.0).exp();
        if factor != 1.0 {
            view = zoom_about(view, factor, pos2(point.x, point.y) - area.center());
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
