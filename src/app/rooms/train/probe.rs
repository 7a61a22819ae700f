//! Looks at a sample while a run trains: its images under the map of the chosen latent or word, as it evolves.

use egui::{Rect, Role, Sense, Slider, Ui, vec2};

use crate::app::hub::actions::{Actions, TrainAction};
use crate::app::hub::state::State;
use crate::app::kit::geometry::{fit_grid, sizes, visible_part};
use crate::app::kit::theme::{SECTION_GAP, palette};
use crate::app::kit::widgets::name_widget;
use crate::app::kit::words::query_name;
use crate::app::rooms::maps::canvas::is_masked;
use crate::app::rooms::maps::colour_bar::paint_note;
use crate::engine::ids::Run;
use crate::render::fill::fill;
use crate::render::overlay::OverlayPaint;
use crate::render::paint::in_rect;

/// Slots of its pictures are apart from those of other panes.
const SLOTS: u64 = 1 << 42;
/// Height of the pictures.
const HEIGHT: f32 = 220.0;

/// Draws it, once there is a look.
pub fn probe_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let training = &state.training;
    let Some(run) = training.shown_look().and_then(|id| state.runs.get(id)) else { return };
    ui.add_space(SECTION_GAP);
    ui.label("The maps of one sample as they evolve");
    ui.horizontal_wrapped(|ui| {
        let last = training.probes.len() - 1;
        let mut place = training.look;
        let steps: Vec<usize> = training.probes.iter().map(|(step, _)| *step).collect();
        let named = move |place: f64, _: std::ops::RangeInclusive<usize>| {
            format!("after step {}", steps.get(place as usize).copied().unwrap_or_default())
        };
        let slider = Slider::new(&mut place, 0..=last).custom_formatter(named).text("Look");
        if ui.add(slider).changed() {
            actions.push(TrainAction::ShowProbe(place));
        }
        let mut follow = training.follow;
        if ui.checkbox(&mut follow, "Follow").on_hover_text("Show each new look as it comes").changed() {
            actions.push(TrainAction::Follow(follow));
        }
        let show = ui.button("Show in the other panes");
        if show
            .on_hover_text("Images, latents and answer show this look, until something else is chosen")
            .clicked()
        {
            actions.push(TrainAction::ProbeToPanes);
        }
        let take = ui.button("Take the sample");
        if take.on_hover_text("Puts its images and question in the window; undo brings yours back").clicked()
        {
            actions.push(TrainAction::TakeProbe);
        }
    });
    pictures_ui(ui, state, run);
    ui.weak(&run.request.sample.prompt);
    let sure = run.trace.certainty().map_or_else(String::new, |p| format!("  {:.1} %", 100.0 * p));
    ui.label(format!("{}{sure}", run.trace.answer));
}

fn pictures_ui(ui: &mut Ui, state: &State, run: &Run) {
    let shown = state.training.maps.in_sight(|rows| rows.index_of(state.panes.map.query));
    let shown = shown.filter(|shown| shown.rows.run.id == run.id);
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEIGHT), Sense::hover());
    let query = shown.map(|shown| query_name(shown.rows.queries[shown.query]));
    name_widget(ui, &response, Role::Image, None, || match &query {
        Some(query) => format!("The sample with the attention of {query}"),
        None => "The sample".to_owned(),
    });
    fill(ui.painter(), area, palette(ui.visuals()).canvas);
    let images = &run.request.sample.images;
    let masked = shown.is_some_and(|shown| is_masked(state, shown));
    for (i, (image, rect)) in images.iter().zip(fit_grid(&sizes(images), area.shrink(4.0), 6.0)).enumerate() {
        let visible = rect.intersect(ui.clip_rect());
        if !visible.is_positive() {
            continue;
        }
        let map = shown.filter(|_| !masked).map(|shown| {
            let (stack, layer) = shown.maps.layer(shown.query, i);
            (stack, layer, shown.ranges[shown.query][i])
        });
        let view = visible_part(rect, visible);
        let paint = OverlayPaint {
            image: image.clone(),
            map,
            style: state.kept.view.style,
            view,
            slot: SLOTS | i as u64,
        };
        ui.painter().add(in_rect(visible, paint));
    }
    if let Some(query) = query {
        let note = if masked { format!("masked: {query} cannot see the images") } else { query };
        let place = Rect::from_min_max(area.left_bottom() - vec2(0.0, 22.0), area.max);
        paint_note(ui, place, &note, 11.5);
    }
}
