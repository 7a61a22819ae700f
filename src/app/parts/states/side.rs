//! The layouts of one model's states: one of two that may be shown side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scene::{LayoutScene, SceneKey};
use super::{LayoutForm, LayoutView, PictureOf};
use crate::engine::project::{Collected, Layout, StatePoint};
use crate::units::Role;

/// All of one model's.
pub struct LayoutSide {
    id: u64,
    /// The states.
    pub collected: Arc<Collected>,
    /// Layouts that are there, by layer.
    pub layouts: Vec<Arc<Layout>>,
    /// The layout that moves.
    pub moving: Option<(usize, Arc<Vec<[f32; 2]>>)>,
    /// Which part is in view; all of it where nothing is said.
    pub view: Option<LayoutView>,
    /// Points that are chosen, ascending.
    pub chosen: Vec<u32>,
    scene: Option<LayoutScene>,
    points: Option<(usize, Arc<Vec<StatePoint>>)>,
}

impl LayoutSide {
    /// Of these states.
    pub fn new(collected: Arc<Collected>, layouts: Vec<Arc<Layout>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            collected,
            layouts,
            moving: None,
            view: None,
            chosen: Vec::new(),
            scene: None,
            points: None,
        }
    }

    /// Which it is of all that ever were.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is drawn, where there is anything.
    pub fn scene(&self) -> Option<&LayoutScene> {
        self.scene.as_ref()
    }

    /// The layout of a layer; where it has none, its last.
    pub fn layout(&self, layer: Option<usize>) -> Option<&Arc<Layout>> {
        let own = self.layouts.iter().find(|layout| Some(layout.layer) == layer);
        own.or_else(|| self.layouts.last())
    }

    /// What a point is of, and the number of its sample among the records.
    pub fn sample_of(&self, point: u32) -> Option<(usize, StatePoint)> {
        let point = *self.scene.as_ref()?.points.get(point as usize)?;
        Some((point.sample as usize, point))
    }

    /// The picture of a point.
    pub fn picture_of(&self, point: u32) -> Option<PictureOf> {
        let (sample, point) = self.sample_of(point)?;
        Some(PictureOf { side: self.id, sample, layer: point.layer, kept: point.kept })
    }

    /// The points of a token of a sample, by its record's id.
    pub fn points_of(&self, id: &str, role: Role, index: u32) -> Vec<u32> {
        let Some(scene) = &self.scene else { return Vec::new() };
        let Some(sample) = self.collected.states.samples().iter().position(|own| own.id == id) else {
            return Vec::new();
        };
        let is_meant = |point: &StatePoint| {
            point.sample as usize == sample && point.kept.role == role && point.kept.index == index
        };
        let found = scene.points.iter().enumerate().filter(|(_, point)| is_meant(point));
        found.map(|(i, _)| i as u32).collect()
    }

    /// Brings what is drawn up to date; `choice` is another whenever other points are chosen.
    pub(super) fn refresh(&mut self, form: &LayoutForm, layer: Option<usize>, choice: u64, dark: bool) {
        let (layer, places, moving) = match (&self.moving, self.layout(layer)) {
            (Some((layer, places)), _) => (*layer, places.clone(), true),
            (None, Some(layout)) => (layout.layer, layout.places.clone(), false),
            (None, None) => {
                self.scene = None;
                return;
            }
        };
        let key = SceneKey::new(&places, layer, form, choice, dark);
        if self.scene.as_ref().is_some_and(|scene| scene.is_of(&key)) {
            return;
        }
        let points = match &self.points {
            Some((of, points)) if *of == layer => points.clone(),
            _ => Arc::new(self.collected.states.at_layer(layer).points().to_vec()),
        };
        self.points = Some((layer, points.clone()));
        if points.len() == places.len() {
            self.scene = Some(LayoutScene::new(key, moving, &self.collected, points, places, &self.chosen));
        }
    }

    /// Is a layout of another model's states of the very same tokens of the same samples, in the same order?
    pub fn is_of_tokens_of(&self, other: &Layout, collected: &Collected) -> bool {
        let points = self.collected.states.at_layer(other.layer).points().to_vec();
        let id_of = |sample: u32| &collected.states.samples()[sample as usize].id;
        points.len() == other.points.len()
            && points
                .iter()
                .zip(&other.points)
                .all(|(own, other)| own.kept == other.kept && self.id_of(own.sample) == id_of(other.sample))
    }

    /// For each of its points the point of the same token on another side, where it has one.
    pub(super) fn matched(&self, other: &Self) -> Option<Vec<Option<u32>>> {
        let (own, others) = (&self.scene.as_ref()?.points, &other.scene.as_ref()?.points);
        let is_same = |a: &StatePoint, b: &StatePoint| {
            a.kept == b.kept && self.id_of(a.sample) == other.id_of(b.sample)
        };
        // Usually token by token: nothing needs to be looked up.
        if own.len() == others.len() && own.iter().zip(others.iter()).all(|(a, b)| is_same(a, b)) {
            return Some((0..own.len() as u32).map(Some).collect());
        }
        let key = |side: &'_ Self, point: &StatePoint| {
            (side.id_of(point.sample).to_owned(), point.kept.role.code(), point.kept.index)
        };
        let places: HashMap<(String, i64, u32), u32> =
            others.iter().enumerate().map(|(i, point)| (key(other, point), i as u32)).collect();
        Some(own.iter().map(|point| places.get(&key(self, point)).copied()).collect())
    }

    fn id_of(&self, sample: u32) -> &str {
        &self.collected.states.samples()[sample as usize].id
    }
}
