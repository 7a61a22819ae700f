//! Moves a layout until its points are near whom their states are near: gradient descent on the Kullback-Leibler
//! divergence with momentum and gains (Jacobs 1988; van der Maaten and Hinton 2008), an exaggerated beginning, and a
//! rate that grows with the number of points (Belkina et al. 2019).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::gradient::Gradient;
use super::rows::Point;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};

/// How the layout is moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescentSchedule {
    /// Steps with exaggerated attraction, and after them.
    pub steps: [usize; 2],
    /// What attraction is multiplied by in the first.
    pub exaggeration: f64,
    /// How much of the last move is kept, in each part.
    pub momentum: [f64; 2],
    /// Rate, by itself N / exaggeration.
    pub rate: Option<f64>,
}

impl DescentSchedule {
    /// Of so many steps, the first third of them with exaggerated attraction, 250 at most.
    pub fn of_steps(steps: usize) -> Self {
        let exaggerated = (steps / 3).min(250);
        Self { steps: [exaggerated, steps - exaggerated], ..Self::default() }
    }
}

impl Default for DescentSchedule {
    fn default() -> Self {
        Self { steps: [250, 500], exaggeration: 12.0, momentum: [0.5, 0.8], rate: None }
    }
}

/// A layout on its way.
pub struct Tsne<'a> {
    gradient: Box<dyn Gradient + 'a>,
    schedule: DescentSchedule,
    map: Vec<Point>,
    moves: Vec<Point>,
    gains: Vec<Point>,
    slopes: Vec<Point>,
    step: usize,
}

/// Moves longer than this are cut: a point thrown far away never comes back.
const LONGEST_MOVE: f64 = 5.0;
/// Gains never fall below.
const LEAST_GAIN: f64 = 0.01;

impl<'a> Tsne<'a> {
    /// From a first layout.
    pub fn new(gradient: Box<dyn Gradient + 'a>, first: Vec<Point>, schedule: DescentSchedule) -> Self {
        let zeros = vec![[0.0; 2]; first.len()];
        let gains = vec![[1.0; 2]; first.len()];
        Self { gradient, schedule, moves: zeros.clone(), gains, slopes: zeros, map: first, step: 0 }
    }

    /// The layout now.
    pub fn map(&self) -> &[Point] {
        &self.map
    }

    /// Steps in all.
    pub fn num_steps(&self) -> usize {
        self.schedule.steps.iter().sum()
    }

    /// All steps to the end; `moved` sees the layout after each.
    ///
    /// # Errors
    /// A stop, a device that is lost.
    pub fn run(&mut self, observer: &dyn Observer, moved: &mut dyn FnMut(&[Point])) -> Result<()> {
        while self.step < self.num_steps() {
            observer.progress(Progress { phase: Phase::Layout, done: self.step, total: self.num_steps() })?;
            if let Some(note) = self.gradient.note() {
                observer.note(&note);
            }
            self.advance()?;
            moved(&self.map);
        }
        Ok(())
    }

    /// One step.
    ///
    /// # Errors
    /// A device that is lost.
    pub fn advance(&mut self) -> Result<()> {
        let part = usize::from(self.step >= self.schedule.steps[0]);
        let exaggeration = if part == 0 { self.schedule.exaggeration } else { 1.0 };
        let count = self.map.len() as f64;
        let rate = self.schedule.rate.unwrap_or_else(|| count / exaggeration.max(1.0)).max(1e-3);
        self.gradient.slopes(&self.map, exaggeration, &mut self.slopes)?;
        let momentum = self.schedule.momentum[part];
        self.map.par_iter_mut().zip(&mut self.moves).zip(&mut self.gains).zip(&self.slopes).for_each(
            |(((point, last), gain), slope)| {
                for axis in 0..2 {
                    // A gain grows while the slope goes on in the direction of the last move.
                    let goes_on = (slope[axis] > 0.0) != (last[axis] > 0.0);
                    gain[axis] = if goes_on { gain[axis] + 0.2 } else { gain[axis] * 0.8 }.max(LEAST_GAIN);
                    last[axis] = momentum * last[axis] - rate * gain[axis] * slope[axis];
                }
                let length = last[0].hypot(last[1]);
                if length > LONGEST_MOVE {
                    *last = last.map(|v| v * LONGEST_MOVE / length);
                }
                point[0] += last[0];
                point[1] += last[1];
            },
        );
        let middle = [0, 1].map(|axis| self.map.iter().map(|p| p[axis]).sum::<f64>() / count);
        self.map.par_iter_mut().for_each(|point| {
            point[0] -= middle[0];
            point[1] -= middle[1];
        });
        self.step += 1;
        Ok(())
    }

    /// Steps taken.
    pub fn step(&self) -> usize {
        self.step
    }

    /// KL(P || Q) of the layout now.
    ///
    /// # Errors
    /// A device that is lost.
    pub fn divergence(&mut self) -> Result<f64> {
        self.gradient.divergence(&self.map)
    }
}
