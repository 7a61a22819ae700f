//! What the window knows of layouts of hidden states: what is being made, what is there, how it is looked at.

mod colours;
pub mod saving;
mod thumbnail;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::colours::{Colours, tasks};
pub use self::thumbnail::{PictureOf, Thumbnail, patch, pictured, token_of};
use crate::engine::project::{Collected, DataChoice, Layout, LayoutOrder, Reading, StatePoint, StateScalar};
use crate::progress::Progress;
use crate::projection::pick::Picker;
use crate::render::points::{Instance, PointSet};
use crate::units::Role;

/// What points are coloured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColourBy {
    /// Latent, image or text, in colours that the colour-blind tell apart.
    #[default]
    Role,
    /// The same as in the paper: red, blue, green.
    RoleAsPublished,
    /// The number of the latent.
    Latent,
    /// The sample's task.
    Task,
    /// Was the sample answered correctly?
    Correct,
    /// The sample.
    Sample,
    /// The place among the visual tokens, or in the prompt.
    Position,
    /// How long the state is.
    Length,
    /// How much the latents look at the token, in the layer that made its state.
    Attended,
    /// How likely the sample's answer was to the model.
    Certainty,
}

impl ColourBy {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Role,
        Self::RoleAsPublished,
        Self::Latent,
        Self::Task,
        Self::Correct,
        Self::Sample,
        Self::Position,
        Self::Length,
        Self::Attended,
        Self::Certainty,
    ];

    /// The number of a point that it is, where it is one.
    pub fn scalar(self) -> Option<StateScalar> {
        match self {
            Self::Length => Some(StateScalar::Length),
            Self::Attended => Some(StateScalar::Attended),
            Self::Certainty => Some(StateScalar::Certainty),
            _ => None,
        }
    }

    /// As controls call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Role => "Role",
            Self::RoleAsPublished => "Role, as published",
            Self::Latent => "Latent",
            Self::Task => "Task",
            Self::Correct => "Right or wrong",
            Self::Sample => "Sample",
            Self::Position => "Position",
            Self::Length => "Length of the state",
            Self::Attended => "Attention from latents",
            Self::Certainty => "Probability of the answer",
        }
    }
}

/// Which answers' points are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// All.
    #[default]
    Either,
    /// Of samples answered correctly.
    Right,
    /// Of the others.
    Wrong,
}

/// What a layout was last asked for, and how it was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayoutForm {
    /// The data file's path as it was typed; nothing for the built-in samples.
    pub data: String,
    /// Samples at most.
    pub samples: usize,
    /// A layout of every layer, or of the last.
    pub all_layers: bool,
    /// Latent, image and text tokens.
    pub tokens: [bool; 3],
    /// How many neighbours count, about.
    pub perplexity: f64,
    /// Steps.
    pub steps: usize,
    /// One seed, one layout.
    pub seed: u64,
    /// What points are coloured by.
    pub colour: ColourBy,
    /// Roles that are shown: latent, image, text.
    pub shown: [bool; 3],
    /// Answers that are shown.
    pub answered: Answered,
    /// The task that is shown; nothing for all.
    pub task: String,
    /// The latent that is shown of the latents; nothing for all.
    pub latent: Option<u32>,
    /// Part of the names of samples that are shown.
    pub sample: String,
}

impl Default for LayoutForm {
    fn default() -> Self {
        Self {
            data: String::new(),
            samples: 300,
            all_layers: false,
            tokens: [true; 3],
            perplexity: 30.0,
            steps: 750,
            seed: 42,
            colour: ColourBy::default(),
            shown: [true; 3],
            answered: Answered::default(),
            task: String::new(),
            latent: None,
            sample: String::new(),
        }
    }
}

/// Roles in the order of the form's switches.
pub const ROLES: [(Role, &str); 3] =
    [(Role::Latent, "Latents"), (Role::Image, "Image"), (Role::Prompt, "Text")];

impl LayoutForm {
    /// Whose samples.
    pub fn choice(&self) -> DataChoice {
        match self.data.trim() {
            "" => DataChoice::Gallery,
            path => DataChoice::File(PathBuf::from(path)),
        }
    }

    /// Roles to layout.
    pub fn roles(&self) -> Vec<Role> {
        ROLES.iter().zip(self.tokens).filter(|(_, wanted)| *wanted).map(|((role, _), _)| *role).collect()
    }
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayoutStatus {
    /// Nothing.
    #[default]
    Nothing,
    /// States are being kept.
    States,
    /// Layouts are being made.
    Maps,
}

/// What drags do on the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tool {
    /// Move it.
    #[default]
    Pan,
    /// Choose what is in a box.
    Box,
    /// Choose what is inside a line.
    Lasso,
}

/// Which part of the layout is in view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayoutView {
    /// Of the layout, in the middle.
    pub centre: [f32; 2],
    /// Points of the screen to a unit of the layout.
    pub scale: f32,
}

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
struct SceneKey {
    /// The places, by where they lie in memory.
    places: usize,
    layer: usize,
    colour: ColourBy,
    shown: [bool; 3],
    answered: Answered,
    task: String,
    latent: Option<u32>,
    sample: String,
    selected: u64,
    dark: bool,
}

/// All of it.
#[derive(Default)]
pub struct Projection {
    /// What is under way.
    pub under: LayoutStatus,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Why the last came to nothing.
    pub problem: Option<String>,
    /// The states there are.
    pub collected: Option<Arc<Collected>>,
    /// What layouts are being made of, or were.
    pub order: Option<LayoutOrder>,
    /// Layouts that are there, by layer.
    pub layouts: Vec<Arc<Layout>>,
    /// The layout that moves.
    pub moving: Option<(usize, Arc<Vec<[f32; 2]>>)>,
    /// Place among the layouts of the one that is shown.
    pub shown: usize,
    /// What drags do.
    pub tool: Tool,
    /// Which part is in view; all of it where nothing is said.
    pub view: Option<LayoutView>,
    /// Points that are chosen, ascending, with a number for each choice.
    pub selected: (u64, Vec<u32>),
    /// What they say, or why that is not known; nothing until it is.
    pub reading: Option<Result<Arc<Reading>, String>>,
    /// The point under the pointer.
    pub hovered: Option<u32>,
    /// The point whose sample was asked last.
    pub opened: Option<u32>,
    /// The line or the box being drawn.
    pub line: Vec<[f32; 2]>,
    /// Of the patch that is pointed at.
    pub thumbnail: Thumbnail,
    scene: Option<LayoutScene>,
    points: Option<(usize, Arc<Vec<StatePoint>>)>,
}

impl Projection {
    /// Layouts are being made: what was there of others goes.
    pub fn begins(&mut self, order: LayoutOrder) {
        let tool = self.tool;
        let collected = Some(order.collected.clone());
        *self = Self { tool, under: LayoutStatus::Maps, collected, order: Some(order), ..Self::default() };
    }

    /// Is work under way?
    pub fn is_running(&self) -> bool {
        self.under != LayoutStatus::Nothing
    }

    /// What is drawn, where there is anything.
    pub fn scene(&self) -> Option<&LayoutScene> {
        self.scene.as_ref()
    }

    /// The layout that is shown, once it does not move any more.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        if self.moving.is_some() { None } else { self.layouts.get(self.shown) }
    }

    /// Other points are chosen.
    pub fn select(&mut self, points: Vec<u32>) {
        self.selected = (self.selected.0 + 1, points);
        self.reading = None;
    }

    /// The sample of a point, and its number among the records.
    pub fn sample_of(&self, point: u32) -> Option<(usize, StatePoint)> {
        let point = *self.scene.as_ref()?.points.get(point as usize)?;
        Some((point.sample as usize, point))
    }

    /// The points of a token of a sample, by its record's id.
    pub fn points_of(&self, id: &str, role: Role, index: u32) -> Vec<u32> {
        let (Some(scene), Some(collected)) = (&self.scene, &self.collected) else { return Vec::new() };
        let Some(sample) = collected.states.samples().iter().position(|own| own.id == id) else {
            return Vec::new();
        };
        let is_meant = |point: &StatePoint| {
            point.sample as usize == sample && point.kept.role == role && point.kept.index == index
        };
        let found = scene.points.iter().enumerate().filter(|(_, point)| is_meant(point));
        found.map(|(i, _)| i as u32).collect()
    }

    /// Records, by their numbers, of the points that are chosen.
    pub fn chosen_records(&self) -> Vec<usize> {
        let Some(scene) = &self.scene else { return Vec::new() };
        let points = self.selected.1.iter().filter_map(|point| scene.points.get(*point as usize));
        points.map(|point| point.sample as usize).collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// Brings what is drawn up to date.
    pub fn refresh(&mut self, form: &LayoutForm, dark: bool) {
        let (layer, places, moving) = match (&self.moving, self.layouts.get(self.shown)) {
            (Some((layer, places)), _) => (*layer, places.clone(), true),
            (None, Some(layout)) => (layout.layer, layout.places.clone(), false),
            (None, None) => {
                self.scene = None;
                return;
            }
        };
        let key = SceneKey {
            places: Arc::as_ptr(&places).cast::<u8>() as usize,
            layer,
            colour: form.colour,
            shown: form.shown,
            answered: form.answered,
            task: form.task.clone(),
            latent: form.latent,
            sample: form.sample.clone(),
            selected: self.selected.0,
            dark,
        };
        if self.scene.as_ref().is_some_and(|scene| scene.key == key) {
            return;
        }
        let (Some(order), Some(collected)) = (&self.order, &self.collected) else { return };
        let points = match &self.points {
            Some((of, points)) if *of == layer => points.clone(),
            _ => Arc::new(order.points(layer)),
        };
        self.points = Some((layer, points.clone()));
        if points.len() != places.len() {
            return;
        }
        let shown: Vec<bool> = points.iter().map(|point| is_shown(form, collected, point)).collect();
        let colours = Colours::new(form.colour, &collected.states, &points, dark);
        let mut instances: Vec<Instance> = Vec::with_capacity(points.len());
        let chosen = &self.selected.1;
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
        let legend = colours.legend();
        self.scene =
            Some(LayoutScene { key, layer, moving, points, places, shown, set, picker, num_latents, legend });
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
