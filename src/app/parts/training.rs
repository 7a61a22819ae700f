//! What the window knows of the training run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::background::Background;
use super::chain::{Chain, RowsSources};
use super::maps::RowsKey;
use super::runs::Runs;
use super::view::View;
use crate::data::draw::marks::Ink;
use crate::data::tasks::{Counts, Task, TasksOrder};
use crate::engine::ids::{RunId, Source};
use crate::engine::training::{Begun, Preparation, TrainedRun, Validation};
use crate::progress::Progress;
use crate::train::{Recipe, Step, Variant};

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

/// A recipe as the form has it: what is not asked for is as in the paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipeForm {
    /// The recipe is a file of the user's instead.
    pub by_file: bool,
    /// The way to train.
    pub variant: Variant,
    /// Data files for training and validation as they were typed; nothing where data are made.
    pub data: [String; 2],
    /// The task that samples are made of; all nine where it is empty.
    pub task: String,
    /// Samples made of each task, validation and test among them.
    pub samples: usize,
    /// Passes of the two stages; of a way with one, their sum.
    pub epochs: [usize; 2],
    /// The highest rate.
    pub rate: f64,
    /// r of the low-rank updates.
    pub rank: usize,
    /// K.
    pub latents: usize,
    /// Decides all that is left to chance, the samples made too.
    pub seed: u64,
}

impl Default for RecipeForm {
    fn default() -> Self {
        Self {
            by_file: false,
            variant: Variant::Livr,
            data: Default::default(),
            task: String::new(),
            samples: 200,
            epochs: [4, 6],
            rate: 1e-4,
            rank: 16,
            latents: 16,
            seed: 42,
        }
    }
}

impl RecipeForm {
    /// Side of images made for the built-in demo, which cannot read letters in them; and for other models.
    const SIDES: [u32; 2] = [168, 336];

    fn tasks_order(&self, is_demo: bool) -> TasksOrder {
        TasksOrder {
            tasks: self.task.parse().map_or_else(|_| Task::ALL.to_vec(), |task| vec![task]),
            counts: Counts::shared_out(self.samples),
            seed: self.seed,
            side: Self::SIDES[usize::from(!is_demo)],
            ink: if is_demo { Ink::ByLetter } else { Ink::Red },
            grounding: false,
            images: None,
        }
    }

    /// What is to be made before a run of this base goes into a folder. Data and recipe lie beside it, under its name.
    pub fn preparation(&self, base: &Source, out: &Path) -> Preparation {
        let beside = |ending: &str| {
            let mut name = out.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let typed =
            |text: &String| Some(PathBuf::from(text.trim())).filter(|path| !path.as_os_str().is_empty());
        let folder = beside("-data");
        let (train, validation, data) = if let Some(train) = typed(&self.data[0]) {
            (train, typed(&self.data[1]), None)
        } else {
            let order = self.tasks_order(*base == Source::Demo);
            let validation = (order.counts.0[1] > 0).then(|| folder.join("validation.jsonl"));
            (folder.join("train.jsonl"), validation, Some((order, folder)))
        };
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let validation = validation.into_iter().map(absolute).collect();
        let mut recipe = Recipe::new(self.variant, vec![absolute(train)], validation);
        recipe.model = base.path().map(|path| absolute(path.to_owned()));
        recipe.seed = self.seed;
        recipe.lora.rank = self.rank;
        recipe.latents.count = self.latents;
        recipe.optimizer.learning_rate = self.rate;
        let mut stages = recipe.resolved(1).stages;
        match &mut stages[..] {
            [one] => one.epochs = self.epochs.iter().sum(),
            several => several.iter_mut().zip(self.epochs).for_each(|(stage, epochs)| stage.epochs = epochs),
        }
        recipe.stages = stages;
        Preparation { recipe, file: beside(".toml"), data }
    }
}

/// The run, as far as it has been heard of, and how it is looked at.
#[derive(Default)]
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
    /// The look that is shown, by its place among them.
    pub look: usize,
    /// Show each new look.
    pub follow: bool,
    /// The maps of the look that is shown.
    pub maps: Chain,
    /// How far what comes before the first step is.
    pub progress: Option<Progress>,
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

    /// The run of the look that is shown.
    pub fn shown_look(&self) -> Option<RunId> {
        self.probes.get(self.look).map(|(_, run)| *run)
    }

    /// Brings the maps of the look that is shown up to date.
    pub fn refresh(&mut self, runs: &Runs, view: &View, background: &Background) {
        let Some(run) = self.shown_look().and_then(|id| runs.get(id)) else { return };
        let key = RowsKey { run: run.id, selection: view.selection, minus: None, layers_of: None };
        self.maps.refresh(key, &RowsSources { run, minus: None, view, background });
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
        let last = self.probes.len() - 1;
        self.look = if self.follow { last } else { self.look.min(last) };
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
    fn the_form_is_a_recipe_with_its_data() {
        let form =
            RecipeForm { task: "jigsaw".to_owned(), samples: 50, epochs: [1, 2], ..RecipeForm::default() };
        let made = form.preparation(&Source::Demo, Path::new("/runs/a"));
        assert_eq!(made.file, Path::new("/runs/a.toml"));
        let (order, folder) = made.data.expect("data are made");
        assert_eq!(
            (folder.as_path(), order.tasks, order.counts),
            (Path::new("/runs/a-data"), vec![Task::Jigsaw], Counts([40, 5, 5]))
        );
        assert_eq!(made.recipe.data.train, [Path::new("/runs/a-data/train.jsonl")]);
        assert_eq!(made.recipe.stages.iter().map(|stage| stage.epochs).collect::<Vec<_>>(), [1, 2]);
        // What is written is what is read, and what it says is what the paper's recipe says.
        let read = Recipe::parse(&made.recipe.to_toml(), &made.file).expect("a recipe");
        assert_eq!(read, made.recipe);
        let example = Recipe::parse(crate::train::EXAMPLE, &made.file).expect("a recipe");
        let usual = RecipeForm::default().preparation(&Source::Demo, Path::new("/runs/a")).recipe;
        assert_eq!(
            (usual.lora, usual.optimizer, usual.latents, usual.stages),
            (example.lora, example.optimizer, example.latents, example.stages)
        );
        let own =
            RecipeForm { variant: Variant::Sft, data: ["/d/t.jsonl".to_owned(), String::new()], ..form };
        let made = own.preparation(&Source::folder("/models/m"), Path::new("/runs/b"));
        assert!(made.data.is_none() && made.recipe.data.validation.is_empty());
        assert_eq!(made.recipe.model.as_deref(), Some(Path::new("/models/m")));
        assert_eq!((made.recipe.stages.len(), made.recipe.stages[0].epochs), (1, 3));
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
