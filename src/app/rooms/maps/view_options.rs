//! Which layers and heads the maps show, and how they lie over the images.

use egui::{ComboBox, Slider, Ui};

use crate::analysis::query::{Aggregation, Selection};
use crate::app::hub::actions::{Actions, EditAction, ViewAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::figure::ends;
use crate::app::rooms::maps::scale::{image_of_pointer, what_uniform_is};
use crate::ask::AttentionRows;
use crate::render::blend::ColourMap;
use crate::units::{HeadIdx, LayerIdx};

/// Draws the section.
pub fn view_options_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    // What one column has no room for stands in two.
    const ONE_COLUMN: f32 = 330.0;
    const TWO_COLUMNS: f32 = 440.0;
    let pane = ui.clip_rect();
    if state.models.chosen().is_none() && state.shown_run().is_none() {
        ui.weak("How maps are made can be chosen once a model is open");
        ui.disable();
    }
    if pane.height() < ONE_COLUMN && ui.available_width() > TWO_COLUMNS {
        ui.columns(2, |columns| {
            selection_ui(&mut columns[0], state, actions);
            style_ui(&mut columns[0], state, actions);
            normalisation_ui(&mut columns[1], state, actions);
        });
    } else {
        selection_ui(ui, state, actions);
        style_ui(ui, state, actions);
        normalisation_ui(ui, state, actions);
    }
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
    scrubber_ui(ui, state, &mut chosen, num_layers, actions);
    ui.horizontal(|ui| {
        let name = ui.label("Combine by");
        let width = ui.available_width().clamp(60.0, 160.0);
        let combo = ComboBox::from_id_salt("aggregation").width(width).truncate();
        let combo = combo.selected_text(chosen.aggregation.label()).show_ui(ui, |ui| {
            for aggregation in Aggregation::ALL {
                ui.selectable_value(&mut chosen.aggregation, aggregation, aggregation.label())
                    .on_hover_text(aggregation.explanation());
            }
        });
        combo.response.labelled_by(name.id).on_hover_text(chosen.aggregation.explanation());
    });
    let mut every = state.kept.keep.attention == AttentionRows::Full;
    if chosen.aggregation == Aggregation::Rollout || every {
        let keep = ui.checkbox(&mut every, "Keep every attention row");
        if keep
            .on_hover_text("Layers x heads x tokens x tokens, which rollout is made of; asks again")
            .changed()
        {
            actions.push(EditAction::KeepEveryRow(every));
        }
    }
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

/// Layers one after the other, by hand or on their own.
fn scrubber_ui(ui: &mut Ui, state: &State, chosen: &mut Selection, num_layers: usize, actions: &mut Actions) {
    if num_layers < 2 {
        return;
    }
    ui.horizontal(|ui| {
        let playing = state.panes.map.playing;
        let play = ui.button(if playing { "Pause" } else { "Play" });
        if play.on_hover_text(format!("{}: go through the layers", hint(ui.ctx(), does::PLAY))).clicked() {
            actions.push(ViewAction::Play(!playing));
        }
        let mut place = chosen.layer.map_or(0, |layer| layer.0 + 1);
        let slider = Slider::new(&mut place, 0..=num_layers)
            .custom_formatter(
                |place, _| if place < 1.0 { "all".to_owned() } else { format!("{}", place - 1.0) },
            )
            .custom_parser(|text| text.trim().parse::<f64>().map_or(Some(0.0), |layer| Some(layer + 1.0)));
        let slider = ui.add(slider).on_hover_text("Layer; at the left end all of them");
        name_widget(ui, &slider, egui::Role::Slider, None, || "Layers one by one".to_owned());
        if slider.changed() {
            chosen.layer = place.checked_sub(1).map(LayerIdx);
        }
    });
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
        ui.checkbox(&mut normalisation.across, "One scale for all latents").on_hover_text(
            "Or each latent has a scale of its own, which makes weak maps look like strong ones",
        );
        ui.checkbox(&mut normalisation.joint, "One scale for all images")
            .on_hover_text("Or each image has a scale of its own");
        ui.checkbox(&mut normalisation.from_zero, "From zero")
            .on_hover_text("The first colour is no attention; or the least there is");
        ui.checkbox(&mut normalisation.remove_sinks, "Remove sinks")
            .on_hover_text("Leave out patches that draw attention whatever the query");
    });
    if normalisation != state.kept.view.normalisation {
        actions.push(ViewAction::SetNormalisation(normalisation));
    }
    difference_ui(ui, state, actions);
    scale_ui(ui, state);
}

/// Maps as they are, or as they differ from those of the base run.
fn difference_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut difference = state.kept.view.difference;
    let base = state.runs.base().is_some();
    let switch = ui.add_enabled(
        base || difference,
        egui::Checkbox::new(&mut difference, "Difference from the base run"),
    );
    let switch = switch
        .on_hover_text("Attention less that of the base run, patch by patch: red is more, blue is less");
    let switch = switch
        .on_disabled_hover_text("Choose a base first: in Runs, a run's menu, \"Compare others with it\"");
    if switch.changed() {
        actions.push(ViewAction::SetDifference(difference));
    }
}

/// The ends of the colours, as under the images.
fn scale_ui(ui: &mut Ui, state: &State) {
    let Some(shown) = state.panes.map.in_sight() else { return };
    let image = image_of_pointer(state, shown);
    let Some(range) = shown.ranges[shown.query].get(image) else { return };
    let Some((low, high)) = ends(shown, shown.query, *range, image) else { return };
    ui.weak(format!("Colours from {low} to {high}")).on_hover_text(what_uniform_is(shown));
}
