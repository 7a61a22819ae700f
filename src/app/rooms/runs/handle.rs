//! The runs of the list.

use crate::app::hub::actions::RunAction;
use crate::app::hub::controller::Controller;
use crate::app::parts::compare::CompareRows;
use crate::app::parts::tiling::Preset;
use crate::engine::ids::{Request, RunId};
use crate::trace::Trace;

pub fn apply(controller: &mut Controller, action: RunAction) {
    let state = &mut controller.state;
    match action {
        RunAction::Show(id) => show(controller, id),
        RunAction::Pin(id, pinned) => state.runs.pin(id, pinned),
        RunAction::Name(id, name) => state.runs.name(id, name),
        RunAction::Delete(id) => {
            state.runs.delete(id);
            if state.panes.map.run == Some(id) {
                state.panes.map.run = state.runs.listed().last().map(|own| own.id);
            }
        }
        RunAction::UndoDelete => state.runs.undo_delete(),
        RunAction::SetBase(base) => state.runs.set_base(base),
        RunAction::AskFour => ask_four(controller),
        RunAction::ShowOlder => crate::app::rooms::sessions::handle::show_older(controller),
    }
}

/// Back to a run: the controls say again what it was made of, so that it is current.
fn show(controller: &mut Controller, id: RunId) {
    let state = &mut controller.state;
    let Some(request) = state.runs.get(id).map(|run| run.request.clone()) else { return };
    controller.stop_answer();
    let state = &mut controller.state;
    let Request { model, sample, condition } = request;
    state.take_sample(sample);
    state.kept.condition = condition;
    state.panes.map.run = Some(id);
    if state.models.chosen() != Some(&model) {
        controller.open_quietly(model);
    }
}

/// The maps of a run are there again, or why not.
pub fn read_back(controller: &mut Controller, id: RunId, read: Result<Trace, String>) {
    let state = &mut controller.state;
    let trace = read.map_err(|problem| state.notify(format!("The maps of a run are gone: {problem}"))).ok();
    state.runs.end_reading(id, trace, state.panes.map.run);
}

/// The mask off and on, each with latents and without, as a table of the model in use; once more goes back to the panes
/// before.
fn ask_four(controller: &mut Controller) {
    let state = &mut controller.state;
    let Some(model) = state.models.chosen().cloned() else { return state.notify("Open a model first") };
    let is_table = state.kept.compare.rows == CompareRows::MaskAndLatents;
    if state.is_comparing() && is_table {
        state.kept.compare.rows = CompareRows::One;
        state.toggle_panes(Preset::Compare);
        return;
    }
    state.kept.words_read = true;
    state.kept.compare.rows = CompareRows::MaskAndLatents;
    if !state.is_comparing() {
        state.kept.compare.columns = vec![model];
        state.toggle_panes(Preset::Compare);
    }
    state.describe_now();
    let is_answered = state.shown_run().is_some_and(|run| state.is_current(run));
    if is_answered {
        controller.ask_missing();
    } else {
        controller.ask();
    }
}
