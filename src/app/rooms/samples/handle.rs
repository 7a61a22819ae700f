//! The built-in samples.

use crate::app::hub::actions::{DataAction, GalleryAction};
use crate::app::hub::controller::Controller;
use crate::app::parts::samples::{Taken, place_of};
use crate::app::parts::tiling::Pane;
use crate::engine::demo;
use crate::engine::ids::Source;

pub fn apply(controller: &mut Controller, action: GalleryAction) {
    match action {
        GalleryAction::Toggle => controller.state.gallery.open = !controller.state.gallery.open,
        GalleryAction::Return => {
            let kept = &controller.state.kept;
            let last = demo::gallery().iter().position(|record| record.id == kept.sample).unwrap_or(0);
            let question = kept.question.clone();
            let is_its_own = question == demo::gallery()[last].prompt;
            let on_demo = controller.state.models.chosen().is_some_and(|m| m.base.source == Source::Demo);
            put(controller, last);
            if !is_its_own {
                controller.state.kept.question = question;
            } else if on_demo {
                controller.ask();
            }
        }
        GalleryAction::Take(index) => take(controller, index),
        // Where a data set is looked through its rows are walked.
        GalleryAction::Step(step) if controller.state.kept.layout.is_shown(Pane::Data) => {
            if let Some(next) = controller.state.data.step(step) {
                crate::app::rooms::data::handle::apply(controller, DataAction::Take(next));
            }
        }
        GalleryAction::Step(step) => {
            let count = demo::gallery().len() as isize;
            let taken = controller.state.gallery.taken.as_ref().and_then(|taken| place_of(&taken.record));
            let next = taken.map_or(0, |taken| taken as isize + step);
            take(controller, next.rem_euclid(count) as usize);
        }
    }
}

/// Puts a sample into the window, and asks.
fn take(controller: &mut Controller, index: usize) {
    put(controller, index);
    if controller.state.models.chosen().is_some() {
        controller.ask();
    }
}

/// Puts a sample's images and question into the window.
fn put(controller: &mut Controller, index: usize) {
    let Some(record) = demo::gallery().get(index) else { return };
    let state = &mut controller.state;
    match record.sample() {
        Ok(sample) => {
            state.take_sample(sample.clone());
            state.kept.sample.clone_from(&record.id);
            state.gallery.taken = Some(Taken { record: record.clone(), sample });
        }
        Err(problem) => state.notify(problem.to_string()),
    }
}
