//! The training run: what is wished of it, and what it says.

use std::path::PathBuf;

use crate::app::hub::actions::TrainAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::state::PathKind;
use crate::app::parts::tiling::Preset;
use crate::app::parts::training::TrainStatus;
use crate::engine::ids::Source;
use crate::engine::protocol::{Command, News, Purpose};
use crate::engine::training::TrainOrder;

pub fn apply(controller: &mut Controller, action: TrainAction) {
    let (training, kept) = (&mut controller.state.training, &mut controller.state.kept.training);
    match action {
        TrainAction::Toggle => controller.state.toggle_panes(Preset::Training),
        TrainAction::EditForm(form) => kept.form = *form,
        TrainAction::EditRecipe(path) => kept.recipe = path,
        TrainAction::EditFolder(path) => kept.folder = path,
        TrainAction::SetResume(resume) => training.resume = resume,
        TrainAction::Browse(kind) => {
            let near = if kind == PathKind::Recipe { &kept.recipe } else { &kept.folder };
            controller.files.browse(kind, PathBuf::from(near).parent());
        }
        TrainAction::Start => start(controller),
        TrainAction::Stop => {
            if training.is_running() {
                training.under = TrainStatus::Stopping;
            }
            controller.jobs.cancel(Purpose::Training);
        }
        TrainAction::ShowProbe(place) => {
            training.follow = place + 1 == training.probes.len();
            training.look = place;
        }
        TrainAction::ProbeToPanes => {
            controller.state.panes.map.run = training.shown_look().or(controller.state.panes.map.run);
        }
        TrainAction::TakeProbe => {
            let Some((_, run)) = training.probes.last() else { return };
            let Some(sample) = controller.state.runs.get(*run).map(|run| run.request.sample.clone()) else {
                return;
            };
            controller.state.take_sample(sample);
        }
        TrainAction::Follow(follow) => {
            training.follow = follow;
            if follow {
                training.look = training.probes.len().saturating_sub(1);
            }
        }
    }
}

/// Paths that the system's dialog gave.
pub fn take_paths(controller: &mut Controller, kind: PathKind, paths: &[PathBuf]) {
    let Some(path) = paths.first().map(|path| path.display().to_string()) else { return };
    match kind {
        PathKind::Recipe => controller.state.kept.training.recipe = path,
        _ => controller.state.kept.training.folder = path,
    }
}

fn start(controller: &mut Controller) {
    let base = controller.state.models.chosen().map(|model| model.base.source.clone());
    let (training, kept) = (&mut controller.state.training, &controller.state.kept.training);
    if training.is_running() || controller.state.ui.engine_died {
        return;
    }
    let path = |text: &str| Some(PathBuf::from(text.trim())).filter(|path| !path.as_os_str().is_empty());
    let recipe = path(&kept.recipe);
    let Some(out) = path(&kept.folder) else { return };
    let resume = training.resume;
    training.starts();
    // What a run is resumed with is in its folder.
    let recipe = recipe.filter(|_| !resume && kept.form.by_file);
    let prepare = (!resume && !kept.form.by_file)
        .then(|| Box::new(kept.form.preparation(&base.unwrap_or(Source::Demo), &out)));
    let order = TrainOrder { recipe, prepare, out, resume, device: controller.device };
    controller.send(Command::Train(Box::new(order)));
}

/// News of the run.
pub fn hear(controller: &mut Controller, news: News) {
    let state = &mut controller.state;
    let training = &mut state.training;
    match news {
        News::Progressed(progress) => training.progress = Some(progress),
        News::TrainingBegun(begun) => {
            training.progress = None;
            training.steps.clone_from(&begun.before.steps);
            training.validations.clone_from(&begun.before.validations);
            training.begun = Some(*begun);
        }
        News::TrainingStepped(step) => training.steps.push(step),
        News::TrainingValidated(validation) => training.validations.push(*validation),
        News::TrainingProbed { step, run } => {
            training.keep_probe(step, run.id);
            let shown = state.panes.map.run;
            let probes: Vec<_> = training.probes.iter().map(|(_, run)| *run).collect();
            state.runs.insert(run, |id| probes.contains(&id) || shown == Some(id));
        }
        News::Trained(outcome) => {
            training.under = TrainStatus::Nothing;
            training.resume = false;
            training.outcome = Some(*outcome);
        }
        _ => {}
    }
}

/// It came to nothing, or was stopped.
pub fn over(controller: &mut Controller, problem: Option<&str>) {
    let training = &mut controller.state.training;
    training.under = TrainStatus::Nothing;
    // What was begun can be gone on with.
    training.resume = training.begun.is_some();
    training.problem = problem.map(str::to_owned);
}
