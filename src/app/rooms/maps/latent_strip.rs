//! All latents at once: a thumbnail each; the answer's tokens behind them.

use egui::{Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, vec2};

use super::canvas::is_masked;
use super::colour_bar::paint_note;
use super::latent_menu::latent_menu;
use crate::analysis::maps::{GridMap, entropy};
use crate::analysis::query::{Aggregation, Query, Selection};
use crate::app::hub::actions::{Actions, ViewAction};
use crate::app::hub::state::State;
use crate::app::kit::geometry::{fit_row, sizes, visible_part};
use crate::app::kit::theme;
use crate::app::kit::widgets::name_widget;
use crate::app::kit::words::{query_name, signed, visible};
use crate::app::parts::chain::InSight;
use crate::app::parts::view::Strip;
use crate::app::rooms::maps::scale::shown_style;
use crate::render::overlay::OverlayPaint;
use crate::render::paint::in_rect;
use crate::units::LayerIdx;

/// Lowest picture: where more are to be seen than fit as high, they scroll.
const MIN_HEIGHT: f32 = 26.0;
/// Room for a name, and below it for mass and entropy.
const LABEL: f32 = 29.0;
/// Room for the name alone.
const NAME: f32 = 15.0;
const MIN_WIDTH: f32 = 36.0;
/// From this width on entropy stands beside the mass.
const ROOMY: f32 = 74.0;

/// Draws the strip.
pub fn latent_strip_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let is_of_layers = state.kept.view.strip == Strip::Layers;
    let in_sight = if is_of_layers {
        state.panes.map.layers_in_sight(state.kept.view.selection.layer)
    } else {
        state.panes.map.in_sight()
    };
    let Some(shown) = in_sight else {
        if state.kept.view.difference && ui.button("Show attention instead of differences").clicked() {
            actions.push(ViewAction::SetDifference(false));
        }
        ui.centered_and_justified(|ui| ui.weak(why_empty(state)));
        return;
    };
    let images = &shown.rows.run.request.sample.images;
    let aspect: f32 = sizes(images).iter().map(|size| size.x / size.y.max(1.0)).sum();
    let queries = &shown.rows.queries;
    // Where there is little room it is for the pictures.
    let [roomy, tight] =
        [LABEL, NAME].map(|label| thumbnail_size(ui.available_size(), queries.len() + 1, aspect, label));
    let (size, label) = if roomy.y - LABEL > MIN_HEIGHT { (roomy, LABEL) } else { (tight, NAME) };
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            for (index, query) in queries.iter().enumerate() {
                if index > 0 && matches!((query, queries[index - 1]), (Query::Answer(_), Query::Latent(_))) {
                    ui.separator();
                }
                thumbnail_ui(ui, &Strips { state, shown, is_of_layers, label }, index, size, actions);
            }
        });
    });
}

/// Every query at the chosen layers, or the chosen query in every layer.
pub fn kinds_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut strip = state.kept.view.strip;
    let of_query = format!("Layers of {}", query_name(state.panes.map.query));
    // From the right.
    ui.selectable_value(&mut strip, Strip::Layers, of_query).on_hover_text("Its map in every layer");
    ui.selectable_value(&mut strip, Strip::Queries, "Every latent")
        .on_hover_text("Each latent, and each token of the answer, at the chosen layers");
    if strip != state.kept.view.strip {
        actions.push(ViewAction::SetStrip(strip));
    }
}

/// Why there is nothing to draw, and what to do about it.
fn why_empty(state: &State) -> &'static str {
    let view = state.kept.view;
    match state.shown_run() {
        _ if state.panes.map.is_waiting() => "Reading the maps…",
        Some(run) if state.runs.is_reading(run.id) => "Reading the maps back from the session's file…",
        None if state.runs.asked.is_some() => "The maps of each latent appear here",
        None => "Ask a question: the map of each latent appears here",
        Some(run) if run.trace.grids.is_empty() => {
            "This run had no images: there is nothing to draw maps over"
        }
        Some(run) if run.trace.attention_dims() == (0, 0) => {
            "The maps of this run were let go to save memory, and no session keeps them: ask again to see them"
        }
        Some(run) if view.selection.aggregation == Aggregation::Rollout && run.trace.attentions.is_none() => {
            "Rollout needs every attention row: tick \"Keep every attention row\" under Map"
        }
        Some(_) if view.difference => {
            "The base run has no such maps: its images differ, or it has fewer latents; compare with another run"
        }
        Some(_) => "No attention was kept",
    }
}

/// What a strip shows, and of what.
struct Strips<'a> {
    state: &'a State,
    shown: InSight<'a>,
    is_of_layers: bool,
    /// Room below the pictures.
    label: f32,
}

/// The largest size at which so many thumbnails fill an area without leaving it.
fn thumbnail_size(area: egui::Vec2, count: usize, aspect: f32, label: f32) -> egui::Vec2 {
    const GAP: f32 = theme::GAP;
    // Of a bar for scrolling.
    const BAR: f32 = 10.0;
    let sized = |height: f32| vec2((height * aspect).max(MIN_WIDTH), height + label);
    let fits = |size: &egui::Vec2, rows: usize| {
        let in_a_row = ((area.x - BAR + GAP) / (size.x + GAP)).floor().max(1.0) as usize;
        in_a_row * rows >= count
    };
    let with_rows = |rows: usize| {
        // As high as so many rows leave room for, or as low as lets them hold all.
        let high = area.y / rows as f32 - GAP - label;
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

/// Draws one thumbnail: every image of the run under one map, its name, its mass and entropy.
fn thumbnail_ui(ui: &mut Ui, strip: &Strips<'_>, index: usize, size: egui::Vec2, actions: &mut Actions) {
    let Strips { state, shown, is_of_layers, label } = *strip;
    let palette = theme::palette(ui.visuals());
    let query = shown.rows.queries[index];
    let selection = state.kept.view.selection;
    let is_chosen =
        if is_of_layers { selection.layer == Some(LayerIdx(index)) } else { index == shown.query };
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    name_widget(ui, &response, Role::Button, Some(is_chosen), || strip.name(index));
    if is_chosen && response.rect.width() > 0.0 && ui.input(|i| i.events.iter().any(is_arrow)) {
        response.scroll_to_me(None);
    }
    if response.clicked() {
        actions.push(if is_of_layers {
            let layer = (!is_chosen).then_some(LayerIdx(index));
            ViewAction::Select(Selection { layer, ..selection })
        } else {
            ViewAction::SelectQuery(query)
        });
    }
    if let (Query::Latent(latent), false) = (query, is_of_layers) {
        latent_menu(&response, state, latent, actions);
    }
    if !ui.is_rect_visible(rect) {
        return;
    }
    let mut pictures = rect;
    pictures.max.y -= label;
    paint_maps(ui, state, shown, index, pictures.shrink(2.0));
    let colour = if is_chosen { palette.accent } else { ui.visuals().text_color() };
    let write = |text: String, up: f32, size: f32, colour| {
        let at = egui::pos2(rect.center().x, rect.max.y - up);
        ui.painter().text(at, egui::Align2::CENTER_BOTTOM, text, egui::FontId::proportional(size), colour);
    };
    write(strip.label(index), label - NAME, 12.0, colour);
    if label > NAME {
        write(strip.numbers(index, rect.width() >= ROOMY), 0.0, 10.5, palette.weak);
    }
    if is_chosen || response.has_focus() {
        let stroke = Stroke::new(2.0, palette.accent);
        ui.painter().rect_stroke(pictures, 2.0, stroke, StrokeKind::Inside);
    }
    response.on_hover_text(strip.name(index));
}

fn paint_maps(ui: &Ui, state: &State, shown: InSight<'_>, index: usize, area: egui::Rect) {
    let images = &shown.rows.run.request.sample.images;
    let style = shown_style(state);
    let masked = is_masked(state, InSight { query: index, ..shown });
    for (image, place) in fit_row(&sizes(images), area, 2.0).iter().enumerate() {
        let visible = place.intersect(ui.clip_rect());
        if !visible.is_positive() {
            continue;
        }
        let (stack, layer) = shown.maps.layer(index, image);
        let paint = OverlayPaint {
            image: images[image].clone(),
            map: (!masked).then(|| (stack, layer, shown.ranges[index][image])),
            style,
            view: visible_part(*place, visible),
            slot: (1 + index as u64) << 16 | image as u64,
        };
        ui.painter().add(in_rect(visible, paint));
    }
    if masked {
        paint_note(ui, area, "masked", 11.0);
    }
}

fn is_arrow(event: &egui::Event) -> bool {
    matches!(event, egui::Event::Key { key: egui::Key::ArrowLeft | egui::Key::ArrowRight, pressed: true, .. })
}

impl Strips<'_> {
    fn label(&self, index: usize) -> String {
        match self.shown.rows.queries[index] {
            _ if self.is_of_layers => format!("layer {index}"),
            Query::Latent(i) => i.to_string(),
            Query::Answer(i) => {
                visible(self.shown.rows.run.trace.generated.get(i).map_or("", |token| &token.text))
            }
        }
    }

    fn mass(&self, index: usize) -> f32 {
        self.shown.maps.maps[index].iter().map(GridMap::mass).sum()
    }

    fn entropy(&self, index: usize) -> f32 {
        let all: Vec<f32> =
            self.shown.maps.maps[index].iter().flat_map(|map| map.values.iter().copied()).collect();
        entropy(&all)
    }

    /// Mass on the images, and entropy where there is room.
    fn numbers(&self, index: usize, roomy: bool) -> String {
        let mass = 100.0 * self.mass(index);
        match (self.shown.rows.is_difference(), roomy) {
            (true, _) => format!("{} %", signed(mass, 1)),
            (false, false) => format!("{mass:.0} %"),
            (false, true) => format!("{mass:.1} % · H {:.2}", self.entropy(index)),
        }
    }

    fn name(&self, index: usize) -> String {
        let query = query_name(self.shown.rows.queries[index]);
        let name = if self.is_of_layers { format!("layer {index} of {query}") } else { query };
        let name = name[..1].to_uppercase() + &name[1..];
        let mass = 100.0 * self.mass(index);
        if self.shown.rows.is_difference() {
            return format!(
                "{name}, {} % of its attention on the images against the base run",
                signed(mass, 1)
            );
        }
        if is_masked(self.state, InSight { query: index, ..self.shown }) {
            return format!("{name}, masked: cannot see the image");
        }
        format!(
            "{name}, {mass:.1} % of its attention on the images, entropy {:.2} of uniform",
            self.entropy(index)
        )
    }
}
