//! Which layers and heads the maps show, and how they lie over the images.

use egui::{ComboBox, Slider, Ui};

use crate::analysis::maps::Aggregation;
use crate::app::actions::{Actions, ViewAction};
use crate::app::keyboard::{does, hint};
use crate::app::state::State;
use crate::render::blend::ColourMap;
use crate::units::{HeadIdx, LayerIdx};

/// Draws the section.
pub fn view_options_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    selection_ui(ui, state, actions);
    style_ui(ui, state, actions);
    normalisation_ui(ui, state, actions);
}

fn selection_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let (num_layers, num_heads) =
        state.models.in_use.as_ref().map_or((0, 0), |info| (info.num_layers, info.num_heads));
    let selection = state.kept.view.selection;
    let mut chosen = selection;
    ui.horizontal(|ui| {
        chosen.layer = one_or_all_ui(ui, "Layer", selection.layer.map(|l| l.0), num_layers).map(LayerIdx);
        chosen.head = one_or_all_ui(ui, "Head", selection.head.map(|h| h.0), num_heads).map(HeadIdx);
    });
    // One layer and one head are a map as they are.
    ui.add_enabled_ui(chosen.layer.is_none() || chosen.head.is_none(), |ui| {
        ui.horizontal(|ui| {
            let name = ui.label("All are combined by");
            let text = |aggregation| match aggregation {
                Aggregation::Mean => "mean",
                Aggregation::Max => "maximum",
            };
            let combo = ComboBox::from_id_salt("aggregation").width(84.0);
            let combo = combo.selected_text(text(chosen.aggregation)).show_ui(ui, |ui| {
                for aggregation in [Aggregation::Mean, Aggregation::Max] {
                    ui.selectable_value(&mut chosen.aggregation, aggregation, text(aggregation));
                }
            });
            combo.response.labelled_by(name.id);
        });
    });
    if chosen != selection {
        actions.push(ViewAction::Select(chosen));
    }
    // Of the maps in sight, which may be those of a run by another model.
    let (num_layers, num_heads) =
        state.shown_run().map_or((num_layers, num_heads), |run| run.trace.attention_dims());
    if num_layers > 0 {
        ui.weak(selection.describe(num_layers, num_heads));
    }
}

/// A list of "all" and the numbers below `count`.
fn one_or_all_ui(ui: &mut Ui, label: &str, current: Option<usize>, count: usize) -> Option<usize> {
    let mut chosen = current;
    let text = |i: Option<usize>| i.map_or_else(|| "all".to_owned(), |i| i.to_string());
    let name = ui.label(label);
    let combo = ComboBox::from_id_salt(label).width(52.0).selected_text(text(current));
    let combo = combo.show_ui(ui, |ui| {
        for i in std::iter::once(None).chain((0..count).map(Some)) {
            ui.selectable_value(&mut chosen, i, text(i));
        }
    });
    combo.response.labelled_by(name.id);
    chosen
}

fn style_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut style = state.kept.view.style;
    ui.add(Slider::new(&mut style.opacity, 0.0..=1.0).text("Opacity"));
    ui.horizontal_wrapped(|ui| {
        let name = ui.label("Colours");
        let combo = ComboBox::from_id_salt("colours").width(90.0).selected_text(style.colour_map.label());
        let combo = combo.show_ui(ui, |ui| {
            for map in ColourMap::ALL {
                ui.selectable_value(&mut style.colour_map, map, map.label());
            }
        });
        combo.response.labelled_by(name.id);
        let key = hint(ui.ctx(), does::SMOOTH);
        ui.checkbox(&mut style.smooth, "Smooth")
            .on_hover_text(format!("{key}: colours run from patch to patch, which the values do not"));
        ui.checkbox(&mut style.fade, "Clear where low")
            .on_hover_text("Where attention is low the image shows through");
    });
    if style != state.kept.view.style {
        actions.push(ViewAction::SetStyle(style));
    }
}

fn normalisation_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut normalisation = state.kept.view.normalisation;
    ui.add(
        Slider::new(&mut normalisation.clip_percentile, 50.0..=100.0)
            .fixed_decimals(1)
            .text("Clip percentile"),
    )
    .on_hover_text("Values above this percentile, and below its complement, have the colours of the ends");
    ui.horizontal_wrapped(|ui| {
        ui.checkbox(&mut normalisation.remove_sinks, "Remove sinks")
            .on_hover_text("Leave out patches that draw attention whatever the query");
        ui.checkbox(&mut normalisation.joint, "One scale for all images")
            .on_hover_text("Or each image has colours from its own lowest to its own highest");
    });
    if normalisation != state.kept.view.normalisation {
        actions.push(ViewAction::SetNormalisation(normalisation));
    }
    colour_bar_ui(ui, state);
}

/// Rectangles that make up the colour bar.
const STEPS: usize = 50;

/// The ends of the colours in numbers.
fn colour_bar_ui(ui: &mut Ui, state: &State) {
    let pane = &state.panes.map;
    let Some(shown) = pane.in_sight() else { return };
    let place = pane.hovered.map_or(0, |hovered| hovered.image);
    let image = state.images.get(place).and_then(|picture| shown.image_of(place, picture));
    let Some(range) = image.and_then(|image| shown.ranges[shown.query].get(image)) else { return };
    ui.horizontal(|ui| {
        ui.monospace(format!("{:.5}", range.low));
        let (rect, _) = ui.allocate_exact_size(egui::vec2(150.0, 10.0), egui::Sense::hover());
        for i in 0..STEPS {
            let [r, g, b] = state.kept.view.style.colour_map.at(i as f32 / (STEPS - 1) as f32);
            let mut part = rect;
            part.min.x = rect.min.x + rect.width() * i as f32 / STEPS as f32;
            part.max.x = rect.min.x + rect.width() * (i + 1) as f32 / STEPS as f32;
            ui.painter().rect_filled(part, 0.0, egui::Color32::from_rgb(r, g, b));
        }
        ui.monospace(format!("{:.5}", range.high));
    });
}
