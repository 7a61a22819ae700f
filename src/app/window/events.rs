//! What the engine says.

use std::sync::Arc;

use crate::analysis::query::Query;
use crate::app::hub::controller::Controller;
use crate::app::hub::preferences::Preferences;
use crate::app::parts::tiling::Pane;
use crate::app::parts::training::TrainStatus;
use crate::engine::Polled;
use crate::engine::ids::{ModelId, Run, RunId};
use crate::engine::jobs::Heard;
use crate::engine::model_info::ModelInfo;
use crate::engine::protocol::{Command, News, Purpose};
use crate::memory;

/// Takes all there is. Late news was superseded and does not count.
pub fn drain(controller: &mut Controller) {
    loop {
        match controller.engine.poll() {
            Polled::Event(event) => {
                if let Some(heard) = controller.jobs.hear(&event) {
                    hear(controller, &heard, event.news);
                }
            }
            Polled::Nothing => break,
            Polled::Died => {
                died(controller);
                break;
            }
        }
    }
    let is_waited_for = [Purpose::Model, Purpose::Answer].iter().any(|p| controller.jobs.is_running(*p));
    if !is_waited_for {
        controller.state.ui.progress = None;
    }
}

fn hear(controller: &mut Controller, heard: &Heard, news: News) {
    let command = &heard.command;
    let state = &mut controller.state;
    match news {
        News::Progressed(progress) => match command.purpose() {
            Purpose::Model | Purpose::Answer => state.ui.progress = Some(progress),
            Purpose::Layout => {
                crate::app::rooms::states::handle::hear(controller, News::Progressed(progress));
            }
            Purpose::Training => {
                crate::app::rooms::train::handle::hear(controller, News::Progressed(progress));
            }
            Purpose::Reading | Purpose::Data => {}
        },
        News::AnswerGrew(answer) => {
            if let Some(asked) = &mut state.runs.asked {
                asked.grew(answer);
            }
        }
        News::Noted(note) => state.notify(note),
        News::ModelOpened(info) => opened(controller, *info, heard.superseded),
        News::PromptRead(run) => prompt_read(controller, run),
        News::TraceCaptured(run) => captured(controller, run),
        News::RecordsAnswered(answers) => {
            if let Command::AnswerRecords(order) = command {
                crate::app::rooms::data::handle::answered(controller, order, answers);
            }
        }
        News::Failed(problem) => {
            over(controller, command, Some(&problem));
            // The windows of training and of maps say themselves what failed there.
            let state = &mut controller.state;
            let is_said = match command.purpose() {
                Purpose::Training => state.kept.layout.is_shown(Pane::Training),
                Purpose::Layout | Purpose::Reading => state.kept.layout.is_shown(Pane::States),
                // Where no model is in use its place says why.
                Purpose::Model => state.models.in_use.is_none(),
                // The table does.
                Purpose::Data => true,
                // The head of its column does.
                Purpose::Answer => state.compare.problems.iter().any(|(_, own)| *own == problem),
            };
            if !is_said {
                state.notify(problem);
            }
        }
        News::Cancelled => over(controller, command, None),
        News::StatesKept(_)
        | News::LayoutMoved { .. }
        | News::LayoutMade(_)
        | News::LayoutsMade
        | News::StatesRead(_) => crate::app::rooms::states::handle::hear(controller, news),
        training => crate::app::rooms::train::handle::hear(controller, training),
    }
}

/// A model is there; where another was chosen since, that one is still on its way.
fn opened(controller: &mut Controller, info: ModelInfo, superseded: bool) {
    let state = &mut controller.state;
    if let Some(path) = info.id.base.source.path() {
        Preferences::remember_folder(&mut state.kept.recent_models, path.to_owned());
    }
    if let Some(path) = info.id.adapter.as_ref().and_then(|source| source.path()) {
        Preferences::remember_folder(&mut state.kept.recent_adapters, path.to_owned());
    }
    let selection = &mut state.kept.view.selection;
    selection.layer = selection.layer.filter(|layer| layer.0 < info.num_layers);
    selection.head = selection.head.filter(|head| head.0 < info.num_heads);
    state.ui.used_bytes = memory::used_bytes();
    if !superseded {
        state.models.opening = None;
    }
    state.models.problem = None;
    state.models.in_use = Some(info);
}

/// Maps of the latents come into sight before the answer does, unless the user looks at a token of the one before.
fn prompt_read(controller: &mut Controller, run: Arc<Run>) {
    let state = &mut controller.state;
    let is_aside = state.runs.asked.as_ref().is_none_or(|asked| asked.aside);
    if is_aside || matches!(state.panes.map.query, Query::Answer(_)) {
        return;
    }
    let before = state.panes.map.run.replace(run.id);
    if let Some(asked) = &mut state.runs.asked {
        asked.before = before;
    }
    let training = &state.training;
    state.runs.insert(run, |id| training.probe_step(id).is_some());
}

fn captured(controller: &mut Controller, run: Arc<Run>) {
    let state = &mut controller.state;
    let id = run.id;
    if !state.runs.asked.as_ref().is_some_and(|asked| asked.aside) {
        state.panes.map.run = Some(id);
    }
    let training = &state.training;
    let shown = state.panes.map.run;
    let sample = state.gallery.asked_by(&run);
    state.runs.insert(run, |id| training.probe_step(id).is_some() || shown == Some(id));
    let (automatic, dropped) =
        (state.runs.asked.as_ref().is_some_and(|asked| asked.automatic), state.runs.dropped());
    state.runs.list(id);
    if automatic {
        state.runs.set_automatic(id);
    }
    if dropped == 0 && state.runs.dropped() > 0 {
        state.notify(
            "The list is full and no session is kept: with each new run the oldest goes. Ctrl+S keeps them",
        );
    }
    state.runs.set_sample(id, sample);
    state.runs.asked = None;
    state.runs.problem = None;
    state.ui.used_bytes = memory::used_bytes();
    controller.ask_next();
}

/// A job came to nothing: what was in use and in sight still is.
fn over(controller: &mut Controller, command: &Command, problem: Option<&str>) {
    let state = &mut controller.state;
    match command.purpose() {
        Purpose::Answer => {
            let asked = state.runs.asked.take();
            let aside = asked.as_ref().is_some_and(|asked| asked.aside);
            let before = asked.and_then(|asked| asked.before);
            if state.panes.map.run.is_some_and(RunId::is_partial) {
                state.panes.map.run = before;
            }
            let of = command.model().cloned().filter(|_| aside && state.is_comparing());
            if let (Some(model), Some(problem)) = (of, problem) {
                // The others can be asked all the same.
                state.runs.waiting.retain(|request| request.model != model);
                state.compare.problems.push((model, problem.to_owned()));
                controller.ask_next();
                return;
            }
            state.runs.waiting.clear();
            state.runs.problem = problem.map(str::to_owned);
        }
        Purpose::Model => {
            state.models.opening = None;
            if state.models.in_use.is_none() {
                state.models.problem = problem.map(str::to_owned);
            }
            if let Some(model) = command.model() {
                give_up_on(controller, model);
            }
        }
        Purpose::Training => crate::app::rooms::train::handle::over(controller, problem),
        Purpose::Layout => crate::app::rooms::states::handle::over(controller, problem),
        Purpose::Reading => crate::app::rooms::states::handle::unread(controller, problem),
        Purpose::Data => {
            if let Command::AnswerRecords(order) = command {
                crate::app::rooms::data::handle::failed(controller, order, problem);
            }
        }
    }
}

/// Questions that wait for a model that will not come.
fn give_up_on(controller: &mut Controller, model: &ModelId) {
    controller.jobs.drop_for_model(model);
    let asked = &mut controller.state.runs.asked;
    if asked.as_ref().is_some_and(|asked| asked.request.model == *model) {
        *asked = None;
    }
}

fn died(controller: &mut Controller) {
    if std::mem::replace(&mut controller.state.ui.engine_died, true) {
        return;
    }
    controller.jobs.end_all();
    let state = &mut controller.state;
    state.models.opening = None;
    state.runs.asked = None;
    state.runs.waiting.clear();
    state.data.asking = false;
    state.training.under = TrainStatus::Nothing;
    state.projection.under = crate::app::parts::states::LayoutStatus::Nothing;
    state.notify(
        "The engine has stopped and nothing can be asked any more: start the program again, question and \
         settings are kept",
    );
}
