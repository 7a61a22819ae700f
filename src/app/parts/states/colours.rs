//! What points are coloured by.

use super::{ColourBy, ROLES};
use crate::engine::project::{StatePoint, StateScalar, States};
use crate::units::Role;

/// Colours of points.
pub struct Colours<'a> {
    by: ColourBy,
    states: &'a States,
    tasks: Vec<String>,
    most: u32,
    /// Between which values a number's colours run.
    ends: [f32; 2],
    dark: bool,
}

impl<'a> Colours<'a> {
    /// For these points.
    pub fn new(by: ColourBy, states: &'a States, points: &[StatePoint], dark: bool) -> Self {
        let most = match by {
            ColourBy::Latent => {
                let latents = points.iter().filter(|point| point.kept.role == Role::Latent);
                latents.map(|point| point.kept.index).max()
            }
            ColourBy::Position => points.iter().map(|point| point.kept.index).max(),
            _ => None,
        };
        let ends = by.scalar().map_or([0.0, 1.0], |scalar| ends(states, points, scalar));
        Self { by, states, tasks: tasks(states), most: most.unwrap_or(0).max(1), ends, dark }
    }

    /// Of a point.
    pub fn of(&self, point: &StatePoint) -> [u8; 3] {
        let sample = &self.states.samples()[point.sample as usize];
        match self.by {
            ColourBy::Role => of_role(point.kept.role, false),
            ColourBy::RoleAsPublished => of_role(point.kept.role, true),
            ColourBy::Latent if point.kept.role == Role::Latent => self.ramp(point.kept.index),
            ColourBy::Latent => self.grey(),
            ColourBy::Task => of_task(self.tasks.iter().position(|task| *task == sample.task).unwrap_or(0)),
            ColourBy::Correct => of_answer(sample.correct),
            ColourBy::Sample => {
                // Neighbouring numbers are far apart on the wheel.
                let turn = f64::from(point.sample) * 0.618_033_988_749_895;
                let colour = colorous::RAINBOW.eval_continuous(turn.fract());
                [colour.r, colour.g, colour.b]
            }
            ColourBy::Position => self.ramp(point.kept.index),
            ColourBy::Length | ColourBy::Attended | ColourBy::Certainty => {
                let value = self.by.scalar().and_then(|scalar| value(self.states, point, scalar));
                value.map_or(self.grey(), |value| {
                    let [low, high] = self.ends;
                    of_share(f64::from((value - low) / (high - low)))
                })
            }
        }
    }

    /// From the first to the last.
    pub fn ramp(&self, index: u32) -> [u8; 3] {
        of_share(f64::from(index) / f64::from(self.most))
    }

    fn grey(&self) -> [u8; 3] {
        if self.dark { [90, 95, 104] } else { [176, 181, 190] }
    }

    /// Names with their colours, for the legend; ramps have their ends.
    pub fn legend(&self) -> Vec<(String, [u8; 3])> {
        match self.by {
            ColourBy::Role | ColourBy::RoleAsPublished => {
                let published = self.by == ColourBy::RoleAsPublished;
                ROLES.iter().map(|(role, name)| ((*name).to_owned(), of_role(*role, published))).collect()
            }
            ColourBy::Task => {
                let names = self.tasks.iter().enumerate();
                names.map(|(i, task)| (task.replace('_', " "), of_task(i))).collect()
            }
            ColourBy::Correct => {
                vec![
                    ("Answered right".to_owned(), of_answer(true)),
                    ("Answered wrong".to_owned(), of_answer(false)),
                ]
            }
            ColourBy::Latent => {
                let ends = [0, self.most].map(|index| (format!("Latent {index}"), self.ramp(index)));
                ends.into_iter().chain([("Other tokens".to_owned(), self.grey())]).collect()
            }
            ColourBy::Position => {
                [("First", 0), ("Last", self.most)].map(|(name, i)| (name.to_owned(), self.ramp(i))).to_vec()
            }
            ColourBy::Length | ColourBy::Attended | ColourBy::Certainty => {
                let [low, high] = self.ends;
                let ends = [(low, "or less"), (high, "or more")].into_iter().zip([0.0, 1.0]);
                let ends =
                    ends.map(|((value, beyond), share)| (format!("{value:.3} {beyond}"), of_share(share)));
                ends.chain([("Unknown".to_owned(), self.grey())]).collect()
            }
            ColourBy::Sample => Vec::new(),
        }
    }
}

fn value(states: &States, point: &StatePoint, scalar: StateScalar) -> Option<f32> {
    states.samples()[point.sample as usize].scalar(scalar, point.layer, point.kept.token)
}

/// All but the farthest hundredth at either end: one long state would leave all others one colour.
fn ends(states: &States, points: &[StatePoint], scalar: StateScalar) -> [f32; 2] {
    let mut values: Vec<f32> = points.iter().filter_map(|point| value(states, point, scalar)).collect();
    values.sort_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return [0.0, 1.0] };
    let [low, high] = [last / 100, last - last / 100].map(|place| values[place]);
    [low, high.max(low + f32::EPSILON * low.abs().max(1e-3))]
}

/// From 0 to 1, on a ramp whose ends are not lost on backgrounds as dark or as light.
fn of_share(share: f64) -> [u8; 3] {
    let colour = colorous::VIRIDIS.eval_continuous(0.1 + 0.85 * share.clamp(0.0, 1.0));
    [colour.r, colour.g, colour.b]
}

/// Every task of the samples, in the order they come.
pub fn tasks(states: &States) -> Vec<String> {
    let mut tasks: Vec<String> = Vec::new();
    for sample in states.samples() {
        if !tasks.contains(&sample.task) {
            tasks.push(sample.task.clone());
        }
    }
    tasks
}

/// The paper's, or those of Okabe and Ito (2008), which the colour-blind tell apart.
fn of_role(role: Role, as_published: bool) -> [u8; 3] {
    match (role, as_published) {
        (Role::Latent, true) => [214, 39, 40],
        (Role::Image, true) => [31, 119, 220],
        (_, true) => [44, 160, 44],
        (Role::Latent, false) => [213, 94, 0],
        (Role::Image, false) => [0, 114, 178],
        (_, false) => [0, 158, 115],
    }
}

fn of_task(place: usize) -> [u8; 3] {
    let colour = colorous::TABLEAU10[place % colorous::TABLEAU10.len()];
    [colour.r, colour.g, colour.b]
}

fn of_answer(correct: bool) -> [u8; 3] {
    if correct { [0, 114, 178] } else { [230, 159, 0] }
}
