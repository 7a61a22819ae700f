//! A layout as it is drawn.

use std::sync::Arc;

use super::{Answered, Colours, LayoutForm, ROLES};
use crate::engine::project::{Collected, StatePoint};
use crate::projection::pick::Picker;
use crate::render::points::{Instance, PointSet};
use crate::units::Role;

/// A layout as it is drawn: made anew when anything it is made of changes.
pub struct LayoutScene {
    key: SceneKey,
    /// Which layer's.
    pub layer: usize,
    /// Is it still moving?
    pub moving: bool,
    /// What each place is of.
    pub points: Arc<Vec<StatePoint>>,
    /// Where points are.
    pub places: Arc<Vec<[f32; 2]>>,
    /// Which are shown.
    pub shown: Vec<bool>,
    /// What is drawn.
    pub set: PointSet,
    /// Finds points.
    pub picker: Picker,
    /// K.
    pub num_latents: u32,
    /// What colours mean.
    pub legend: Vec<(String, [u8; 3])>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct SceneKey {
    /// The places, by where they lie in memory.
    places: usize,
    layer: usize,
    form: LayoutForm,
    choice: u64,
    dark: bool,
}

impl SceneKey {
    pub(super) fn new(
        places: &Arc<Vec<[f32; 2]>>,
        layer: usize,
        form: &LayoutForm,
        choice: u64,
        dark: bool,
    ) -> Self {
        let places = Arc::as_ptr(places).cast::<u8>() as usize;
        // What is asked for another time changes nothing of what is there.
        let LayoutForm { colour, shown, answered, latent, .. } = *form;
        let (task, sample) = (form.task.clone(), form.sample.clone());
        let form = LayoutForm { colour, shown, answered, task, latent, sample, ..LayoutForm::default() };
        Self { places, layer, form, choice, dark }
    }
}

impl LayoutScene {
    /// Is it made of the same?
    pub(super) fn is_of(&self, key: &SceneKey) -> bool {
        self.key == *key
    }

    /// Draws places of points; those that are not chosen are faint where some are.
    pub(super) fn new(
        key: SceneKey,
        moving: bool,
        collected: &Collected,
        points: Arc<Vec<StatePoint>>,
        places: Arc<Vec<[f32; 2]>>,
        chosen: &[u32],
    ) -> Self {
        let form = &key.form;
        let shown: Vec<bool> = points.iter().map(|point| is_shown(form, collected, point)).collect();
        let colours = Colours::new(form.colour, &collected.states, &points, key.dark);
        let mut instances: Vec<Instance> = Vec::with_capacity(points.len());
        for (i, (point, place)) in points.iter().zip(places.iter()).enumerate() {
            if shown[i] {
                let [r, g, b] = colours.of(point);
                let is_faint = !chosen.is_empty() && chosen.binary_search(&(i as u32)).is_err();
                instances
                    .push(Instance { place: *place, colour: [r, g, b, if is_faint { 40 } else { 255 }] });
            }
        }
        let picker = Picker::new(&places);
        let set = PointSet::new(instances);
        let latents = points.iter().filter(|point| point.kept.role == Role::Latent);
        let num_latents = latents.map(|point| point.kept.index + 1).max().unwrap_or(0);
        let (legend, layer) = (colours.legend(), key.layer);
        Self { key, layer, moving, points, places, shown, set, picker, num_latents, legend }
    }
}

fn is_shown(form: &LayoutForm, collected: &Collected, point: &StatePoint) -> bool {
    let sample = &collected.states.samples()[point.sample as usize];
    let role = ROLES.iter().position(|(role, _)| *role == point.kept.role);
    let answered = match form.answered {
        Answered::Either => true,
        Answered::Right => sample.correct,
        Answered::Wrong => !sample.correct,
    };
    let latent =
        form.latent.is_none_or(|latent| point.kept.role != Role::Latent || point.kept.index == latent);
    answered
        && latent
        && role.is_none_or(|role| form.shown[role])
        && (form.task.is_empty() || form.task == sample.task)
        && (form.sample.trim().is_empty() || sample.id.contains(form.sample.trim()))
}
