//! The card of a chosen patch or region: what each latent gives it.

use egui::{Area, Frame, Grid, Id, Order, Rect, Sense, Ui, pos2, vec2};

use crate::analysis::query::Query;
use crate::app::hub::actions::{Actions, ViewAction};
use crate::app::hub::state::State;
use crate::app::kit::geometry::Region;
use crate::app::kit::theme::GAP;
use crate::app::kit::widgets::bar_ui;
use crate::app::parts::chain::InSight;

const WIDTH: f32 = 255.0;

/// Draws the card beside the region, which is drawn at `place`.
pub fn patch_card_ui(
    ui: &Ui,
    state: &State,
    shown: InSight<'_>,
    region: Region,
    place: Rect,
    canvas: Rect,
    actions: &mut Actions,
) {
    let Some(image) =
        state.images.get(region.image).and_then(|picture| shown.image_of(region.image, picture))
    else {
        return;
    };
    // On the side that has room, so that it does not lie on what it is about.
    let whole = ui.ctx().content_rect();
    let outer = WIDTH + 4.0 * GAP;
    let (right, left) = (place.max.x + GAP, place.min.x - GAP - outer);
    let x = if right + outer <= whole.max.x || left < whole.min.x { right } else { left };
    let corner = pos2(x, place.min.y.max(canvas.min.y));
    let area = Area::new(Id::unique("patch card")).order(Order::Middle).fixed_pos(corner).constrain_to(whole);
    area.show(ui.ctx(), |ui| {
        Frame::popup(ui.style()).show(ui, |ui| {
            ui.set_max_width(WIDTH);
            head_ui(ui, state, shown, region, image, actions);
            latents_ui(ui, state, shown, &shown.latents_on(image, &region), actions);
        });
    });
}

fn head_ui(
    ui: &mut Ui,
    state: &State,
    shown: InSight<'_>,
    region: Region,
    image: usize,
    actions: &mut Actions,
) {
    let map = &shown.maps.maps[shown.query][image];
    let [left, top, right, bottom] = region.pixels(state.images[region.image].size(), map.rows, map.cols);
    ui.horizontal(|ui| {
        let name = if region.is_patch() {
            format!("Patch: row {}, column {}", region.rows.0, region.cols.0)
        } else {
            let (rows, cols) = (region.rows, region.cols);
            format!("Region: rows {} to {}, columns {} to {}", rows.0, rows.1, cols.0, cols.1)
        };
        ui.strong(name);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.small_button("Close").clicked() {
                actions.push(ViewAction::Pin(None));
            }
        });
    });
    ui.weak(format!("image {}, pixels x {left} to {right}, y {top} to {bottom}", region.image + 1));
    let mass = shown.mass_in(shown.query, image, &region);
    let patches = (region.rows.1 - region.rows.0 + 1) * (region.cols.1 - region.cols.0 + 1);
    let times = shown.times_uniform(shown.query, mass) / patches as f32;
    let name = crate::app::kit::words::query_name(shown.rows.queries[shown.query]);
    ui.label(format!("{name}: {:.2} %, {times:.2} x uniform", 100.0 * mass));
}

fn latents_ui(ui: &mut Ui, state: &State, shown: InSight<'_>, masses: &[f32], actions: &mut Actions) {
    if masses.is_empty() {
        ui.weak("This run has no latents");
        return;
    }
    let most = masses.iter().map(|mass| mass.abs()).fold(f32::MIN_POSITIVE, f32::max);
    let rank = |mass: f32| 1 + masses.iter().filter(|other| **other > mass).count();
    egui::ScrollArea::vertical().max_height((ui.ctx().content_rect().height() * 0.5).max(160.0)).show(
        ui,
        |ui| {
            Grid::new("patch latents").num_columns(4).spacing(vec2(6.0, 0.0)).show(ui, |ui| {
                for (latent, mass) in masses.iter().enumerate() {
                    let query = Query::Latent(latent);
                    let chosen = shown.rows.queries[shown.query] == query;
                    let label = egui::Button::selectable(chosen, format!("latent {latent}"))
                        .small()
                        .sense(Sense::click());
                    if ui.add(label).clicked() {
                        actions.push(ViewAction::SelectQuery(query));
                    }
                    bar_ui(ui, mass.abs() / most, 70.0);
                    ui.monospace(format!("{:6.2} %", 100.0 * mass));
                    ui.weak(format!("#{}", rank(*mass)));
                    ui.end_row();
                }
            });
        },
    );
    if state.kept.view.difference {
        ui.weak("Differences from the base run");
    }
}
