//! What the window knows of the training run.

use crate::engine::ids::RunId;
use crate::engine::training::{Begun, TrainedRun, Validation};
use crate::train::Step;

/// Looks at the probe sample that are kept: more would take the memory of a large model.
const MAX_PROBES: usize = 40;

/// Is a run under way?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrainStatus {
    /// No.
    #[default]
    Nothing,
    /// Yes.
    Way,
    /// It was asked to stop and has not yet.
    Stopping,
}

/// The run, as far as it has been heard of, and how it is looked at.
#[derive(Debug, Default)]
pub struct Training {
    /// Is it under way?
    pub under: TrainStatus,
    /// Go on with what the folder holds?
    pub resume: bool,
    /// What it is.
    pub begun: Option<Begun>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Its validations.
    pub validations: Vec<Validation>,
    /// Looks at the probe sample: after which step, and the run that shows it.
    pub probes: Vec<(usize, RunId)>,
    /// Show each new look in the maps.
    pub follow: bool,
    /// Why it came to nothing.
    pub problem: Option<String>,
    /// What it came to.
    pub outcome: Option<TrainedRun>,
}

impl Training {
    /// Forgets an earlier run: a new one starts.
    pub fn starts(&mut self) {
        let resume = self.resume;
        *self = Self { resume, under: TrainStatus::Way, follow: true, ..Self::default() };
    }

    /// Is a run under way?
    pub fn is_running(&self) -> bool {
        self.under != TrainStatus::Nothing
    }

    /// After which step a run looked at the probe sample, where it is such a look.
    pub fn probe_step(&self, run: RunId) -> Option<usize> {
        self.probes.iter().find(|(_, id)| *id == run).map(|(step, _)| *step)
    }

    /// Keeps a look; where there are many, every other of the older ones goes.
    pub fn keep_probe(&mut self, step: usize, run: RunId) {
        self.probes.push((step, run));
        if self.probes.len() > MAX_PROBES {
            let last = self.probes.len() - 1;
            let mut place = 0;
            self.probes.retain(|_| {
                place += 1;
                place % 2 == 1 || place > last
            });
        }
    }

    /// Share of all steps made, 0 to 1.
    pub fn fraction(&self) -> f32 {
        let total = self.begun.as_ref().map_or(0, |begun| begun.total_steps);
        let done = self.steps.last().map_or(0, |step| step.step);
        if total == 0 { 0.0 } else { done as f32 / total as f32 }
    }

    /// Seconds that the steps left will take, at the pace of the latest.
    pub fn secs_left(&self) -> Option<f64> {
        const LATEST: usize = 20;
        let total = self.begun.as_ref()?.total_steps;
        let latest = &self.steps[self.steps.len().saturating_sub(LATEST)..];
        let last = latest.last()?;
        let pace = latest.iter().map(|step| step.secs).sum::<f64>() / latest.len() as f64;
        Some(pace * total.saturating_sub(last.step) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::JobId;

    fn look(step: usize) -> RunId {
        RunId::Probe { job: JobId(1), step }
    }

    #[test]
    fn of_many_looks_the_first_and_the_last_stay() {
        let mut training = Training::default();
        for step in 1..=200 {
            training.keep_probe(step, look(step));
        }
        assert!(training.probes.len() <= MAX_PROBES);
        assert_eq!((training.probes[0].0, training.probes.last().unwrap().0), (1, 200));
        assert!(training.probes.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(training.probe_step(look(200)), Some(200));
        assert_eq!(training.probe_step(look(201)), None);
    }
}
