//! All latents at once: a thumbnail each; the answer's tokens behind them.

use egui::{Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, vec2};

use super::{name_widget, shown_style};
use crate::analysis::maps::{GridMap, Query};
use crate::app::actions::{Actions, ViewAction};
use crate::app::canvas::{fit_row, sizes, visible_part};
use crate::app::map_pane::InSight;
use crate::app::state::State;
use crate::app::theme;
use crate::app::words::{query_name, visible};
use crate::render::overlay::OverlayPaint;

/// Lowest picture: where more are to be seen than fit as high, they scroll.
const MIN_HEIGHT: f32 = 26.0;
const LABEL: f32 = 15.0;
const MIN_WIDTH: f32 = 36.0;

/// Draws the strip.
pub fn latent_strip_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let Some(shown) = state.panes.map.in_sight() else {
        ui.centered_and_justified(|ui| {
            ui.weak(if state.runs.asked.is_some() {
                "The maps of each latent appear here"
            } else {
                "Ask a question: the map of each latent appears here"
            });
        });
        return;
    };
    let images = &shown.rows.run.request.sample.images;
    let aspect: f32 = sizes(images).iter().map(|size| size.x / size.y.max(1.0)).sum();
    let queries = &shown.rows.queries;
    let size = thumbnail_size(ui.available_size(), queries.len() + 1, aspect);
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            for (index, query) in queries.iter().enumerate() {
                if index > 0 && matches!((query, queries[index - 1]), (Query::Answer(_), Query::Latent(_))) {
                    ui.separator();
                }
                thumbnail_ui(ui, state, shown, index, size, actions);
            }
        });
    });
}

/// The largest size at which so many thumbnails fill an area without leaving it.
fn thumbnail_size(area: egui::Vec2, count: usize, aspect: f32) -> egui::Vec2 {
    const GAP: f32 = theme::GAP;
    // Of a bar for scrolling.
    const BAR: f32 = 10.0;
    let sized = |height: f32| vec2((height * aspect).max(MIN_WIDTH), height + LABEL);
    let fits = |size: &egui::Vec2, rows: usize| {
        let in_a_row = ((area.x - BAR + GAP) / (size.x + GAP)).floor().max(1.0) as usize;
        in_a_row * rows >= count
    };
    let with_rows = |rows: usize| {
        // As high as so many rows leave room for, or as low as lets them hold all.
        let high = area.y / rows as f32 - GAP - LABEL;
        let in_a_row = count.div_ceil(rows) as f32;
        let wide = ((area.x - BAR + GAP) / in_a_row - GAP) / aspect;
        let size = sized(high.min(wide).max(MIN_HEIGHT));
        fits(&size, rows).then_some(size)
    };
    let best = (1..=count).filter_map(with_rows).max_by(|a, b| a.y.total_cmp(&b.y));
    let widest = (area.x - BAR).max(MIN_WIDTH);
    let size = best.unwrap_or_else(|| sized(MIN_HEIGHT));
    vec2(size.x.min(widest), size.y)
}

/// Draws one thumbnail: every image of the run under the map of one query, and its name.
fn thumbnail_ui(
    ui: &mut Ui,
    state: &State,
    shown: InSight<'_>,
    index: usize,
    size: egui::Vec2,
    actions: &mut Actions,
) {
    let palette = theme::palette(ui.visuals());
    let query = shown.rows.queries[index];
    let is_chosen = index == shown.query;
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    name_widget(ui, &response, Role::Button, Some(is_chosen), || thumbnail_name(shown, index));
    if is_chosen && response.rect.width() > 0.0 && ui.input(|i| i.events.iter().any(is_arrow)) {
        response.scroll_to_me(None);
    }
    if response.clicked() {
        actions.push(ViewAction::SelectQuery(query));
    }
    if !ui.is_rect_visible(rect) {
        return;
    }
    let mut pictures = rect;
    pictures.max.y -= LABEL;
    paint_maps(ui, state, shown, index, pictures.shrink(2.0));
    let colour = if is_chosen { palette.accent } else { ui.visuals().text_color() };
    ui.painter().text(
        egui::pos2(rect.center().x, rect.max.y),
        egui::Align2::CENTER_BOTTOM,
        label(shown, query),
        egui::FontId::proportional(12.0),
        colour,
    );
    if is_chosen || response.has_focus() {
        let stroke = Stroke::new(2.0, palette.accent);
        ui.painter().rect_stroke(pictures, 2.0, stroke, StrokeKind::Inside);
    }
    response.on_hover_text(thumbnail_name(shown, index));
}

fn paint_maps(ui: &Ui, state: &State, shown: InSight<'_>, index: usize, area: egui::Rect) {
    let images = &shown.rows.run.request.sample.images;
    let style = shown_style(state);
    for (image, place) in fit_row(&sizes(images), area, 2.0).iter().enumerate() {
        let visible = place.intersect(ui.clip_rect());
        if !visible.is_positive() {
            continue;
        }
        let (stack, layer) = shown.maps.layer(index, image);
        let paint = OverlayPaint {
            image: images[image].clone(),
            map: Some((stack, layer, shown.ranges[index][image])),
            style,
            view: visible_part(*place, visible),
            slot: (1 + index as u64) << 16 | image as u64,
        };
        ui.painter().add(eframe::egui_wgpu::Callback::new_paint_callback(visible, paint));
    }
}

fn is_arrow(event: &egui::Event) -> bool {
    matches!(event, egui::Event::Key { key: egui::Key::ArrowLeft | egui::Key::ArrowRight, pressed: true, .. })
}

fn label(shown: InSight<'_>, query: Query) -> String {
    match query {
        Query::Latent(i) => i.to_string(),
        Query::Answer(i) => visible(shown.rows.run.trace.generated.get(i).map_or("", |token| &token.text)),
    }
}

fn thumbnail_name(shown: InSight<'_>, index: usize) -> String {
    let mass: f32 = shown.maps.maps[index].iter().map(GridMap::mass).sum();
    let name = query_name(shown.rows.queries[index]);
    let name = name[..1].to_uppercase() + &name[1..];
    format!("{name}, {:.1} % of its attention on the images", 100.0 * mass)
}
