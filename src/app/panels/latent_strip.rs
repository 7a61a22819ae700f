//! All latents at once: a thumbnail each; the answer's tokens behind them.

use egui::{Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, vec2};

use super::images::query_name;
use super::name_widget;
use crate::analysis::maps::Query;
use crate::app::actions::Action;
use crate::app::canvas::fit_row;
use crate::app::state::State;
use crate::app::theme;
use crate::render::overlay::OverlayPaint;

/// Tallest and smallest picture.
const HEIGHT: f32 = 60.0;
const MIN_HEIGHT: f32 = 26.0;
const LABEL: f32 = 15.0;
/// Two rows of thumbnails: sixteen latents at once in a window of common size.
pub const STRIP_HEIGHT: f32 = 2.0 * (HEIGHT + LABEL) + 24.0;

/// Draws the strip.
pub fn latent_strip_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let palette = theme::palette(ui.visuals());
    let Some(maps) = state.maps.as_ref().filter(|_| state.maps_fit()) else {
        ui.centered_and_justified(|ui| {
            ui.weak(if state.trace.is_waiting() {
                "The maps of each latent appear here"
            } else {
                "Ask a question: the map of each latent appears here"
            });
        });
        return;
    };
    let sizes = state.image_sizes();
    let aspect: f32 = sizes.iter().map(|size| size.x / size.y.max(1.0)).sum();
    // As large as leaves all latents in two rows.
    let num_latents = maps.queries.iter().filter(|query| matches!(query, Query::Latent(_))).count();
    let per_row = num_latents.div_ceil(2).max(4) as f32;
    let height = (((ui.available_width() - 16.0) / per_row - theme::GAP) / aspect).clamp(MIN_HEIGHT, HEIGHT);
    let width = (height * aspect).clamp(36.0, (ui.available_width() - 16.0).max(36.0));
    let chosen = maps.index_of(state.query);
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            for (index, query) in maps.queries.iter().enumerate() {
                if index > 0
                    && matches!((query, maps.queries[index - 1]), (Query::Answer(_), Query::Latent(_)))
                {
                    ui.separator();
                }
                let (rect, response) = ui.allocate_exact_size(vec2(width, height + LABEL), Sense::click());
                let is_chosen = index == chosen;
                name_widget(ui, &response, Role::Button, Some(is_chosen), || thumbnail_name(state, *query));
                if is_chosen && response.rect.width() > 0.0 && ui.input(|i| i.events.iter().any(is_arrow)) {
                    response.scroll_to_me(None);
                }
                if response.clicked() {
                    actions.push(Action::SelectQuery(*query));
                }
                if !ui.is_rect_visible(rect) {
                    continue;
                }
                let mut pictures = rect;
                pictures.max.y -= LABEL;
                let clip = ui.clip_rect();
                for (image, place) in fit_row(&sizes, pictures.shrink(2.0), 2.0).iter().enumerate() {
                    let visible = place.intersect(clip);
                    if !visible.is_positive() {
                        continue;
                    }
                    let (stack, layer) = maps.layer(index, image);
                    let paint = OverlayPaint {
                        image: state.images[image].clone(),
                        map: Some((stack, layer, maps.ranges[index][image])),
                        style: state.persisted.style,
                        view: crate::app::canvas::visible_part(*place, visible),
                        slot: (1 + index as u64) << 16 | image as u64,
                    };
                    ui.painter().add(eframe::egui_wgpu::Callback::new_paint_callback(visible, paint));
                }
                let colour = if is_chosen { palette.accent } else { ui.visuals().text_color() };
                ui.painter().text(
                    egui::pos2(rect.center().x, rect.max.y),
                    egui::Align2::CENTER_BOTTOM,
                    label(state, *query),
                    egui::FontId::proportional(12.0),
                    colour,
                );
                if is_chosen || response.has_focus() {
                    ui.painter().rect_stroke(
                        pictures,
                        2.0,
                        Stroke::new(2.0, palette.accent),
                        StrokeKind::Inside,
                    );
                }
                response.on_hover_text(thumbnail_name(state, *query));
            }
        });
    });
}

fn is_arrow(event: &egui::Event) -> bool {
    matches!(event, egui::Event::Key { key: egui::Key::ArrowLeft | egui::Key::ArrowRight, pressed: true, .. })
}

fn label(state: &State, query: Query) -> String {
    match query {
        Query::Latent(i) => i.to_string(),
        Query::Answer(i) => {
            let text = state.trace.latest().and_then(|trace| trace.generated.get(i)).map(|t| t.text.clone());
            super::answer::visible(&text.unwrap_or_default())
        }
    }
}

fn thumbnail_name(state: &State, query: Query) -> String {
    let mass = state.maps.as_ref().map(|maps| {
        let of_query = &maps.maps[maps.index_of(query)];
        of_query.iter().map(crate::analysis::maps::GridMap::mass).sum::<f32>()
    });
    let name = query_name(query);
    let name = name[..1].to_uppercase() + &name[1..];
    match mass {
        Some(mass) => format!("{name}, {:.1} % of its attention on the images", 100.0 * mass),
        None => name,
    }
}
