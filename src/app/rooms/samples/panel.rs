//! Samples of the nine tasks to begin with, in a window of their own.

use egui::{Image, Role, ScrollArea, Ui, Window};

use crate::app::hub::actions::{Actions, GalleryAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::kit::theme::{BELOW_THE_BAR, palette};
use crate::app::kit::widgets::name_widget;
use crate::app::parts::samples::by_task;
use crate::engine::demo;

const THUMBNAIL: f32 = 72.0;

/// Draws the window where it is open.
pub fn gallery_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if !state.gallery.open {
        return;
    }
    let mut open = true;
    let size = ui.ctx().content_rect().size();
    Window::new("Samples")
        .open(&mut open)
        .default_pos(BELOW_THE_BAR)
        .default_size([430.0_f32.min(size.x - 40.0), 620.0_f32.min(size.y - 80.0)])
        .show(ui.ctx(), |ui| {
            ui.label("No training saw these. Click one to ask it.");
            let step = |does| hint(ui.ctx(), does);
            ui.weak(format!(
                "{} and {} take the next and the one before.",
                step(does::NEXT_SAMPLE),
                step(does::PREVIOUS_SAMPLE)
            ));
            ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
                for (task, samples) in by_task() {
                    ui.strong(task.replace('_', " "));
                    ui.horizontal_wrapped(|ui| {
                        for index in samples {
                            sample_ui(ui, state, index, actions);
                        }
                    });
                }
            });
        });
    if !open {
        actions.push(GalleryAction::Toggle);
    }
}

fn sample_ui(ui: &mut Ui, state: &State, index: usize, actions: &mut Actions) {
    let record = &demo::gallery()[index];
    let texture = &state.gallery.thumbnails(ui.ctx())[index];
    let image = Image::new(texture)
        .max_size([THUMBNAIL * 4.0, THUMBNAIL].into())
        .fit_to_exact_size(texture.size_vec2() * (THUMBNAIL / texture.size_vec2().y.max(1.0)).min(1.0));
    let answered = answered(state, &record.id);
    let taken = state.gallery.taken.as_ref().is_some_and(|taken| taken.record.id == record.id);
    let response = ui.add(egui::Button::image(image).selected(taken));
    let (sign, said) = match answered {
        Some(true) => ("✔", ", answered right"),
        Some(false) => ("✘", ", answered wrong"),
        None => ("", ""),
    };
    name_widget(ui, &response, Role::Button, Some(taken), || format!("Sample {}{said}", record.id));
    if let Some(right) = answered {
        let palette = palette(ui.visuals());
        let colour = if right { palette.right } else { palette.warning };
        let place = egui::Rect::from_min_size(response.rect.min, egui::vec2(18.0, 18.0));
        ui.painter().rect_filled(place, 3.0, palette.canvas);
        let font = egui::FontId::proportional(13.0);
        ui.painter().text(place.center(), egui::Align2::CENTER_CENTER, sign, font, colour);
    }
    let response = response.on_hover_ui(|ui| {
        ui.set_max_width(340.0);
        ui.label(&record.prompt);
        ui.weak(format!("Answer: {}", record.target));
    });
    if response.clicked() {
        actions.push(GalleryAction::Take(index));
    }
}

/// Did the model in use answer a sample rightly, when it was asked last?
fn answered(state: &State, sample: &str) -> Option<bool> {
    let chosen = state.models.chosen()?;
    let listed = state.runs.listed().iter().rev().filter(|own| own.sample.as_deref() == Some(sample));
    let run = listed.filter_map(|own| state.runs.get(own.id)).find(|run| run.request.model == *chosen)?;
    state.verdict(run).map(|verdict| verdict.correct)
}
