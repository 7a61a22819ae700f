//! Work: models, adapters, answers.

use std::sync::atomic::Ordering;

use super::shelf;
use crate::app::actions::JobAction;
use crate::app::controller::Controller;
use crate::app::files::Sorted;
use crate::app::path_kind::PathKind;
use crate::app::runs::Asked;
use crate::engine::ids::{BaseId, ModelId, Request, Source};
use crate::engine::protocol::{Command, Purpose};

pub(super) fn apply(controller: &mut Controller, action: JobAction) {
    let state = &mut controller.state;
    match action {
        JobAction::OpenModel { base, adapter } => {
            let base = BaseId { source: base, device: controller.device, dtype: controller.dtype };
            open(controller, ModelId { base, adapter });
        }
        JobAction::SetAdapter(adapter) => match state.models.chosen() {
            Some(model) => {
                let model = model.with_adapter(adapter);
                open(controller, model);
            }
            None => state.notify("Open a model first, then its adapter"),
        },
        JobAction::TakePath => {
            if let Some(dialog) = &mut state.ui.path_dialog {
                dialog.problem = None;
                let replace = dialog.replace.as_ref() == Some(&dialog.text);
                controller.files.open_named(dialog.kind, dialog.text.clone(), replace);
            }
        }
        JobAction::EditRepository(name) => state.models.repository = name,
        JobAction::Download => shelf::download(controller),
        JobAction::StopDownload => {
            if let Some(download) = &state.models.download {
                download.stop.store(true, Ordering::Relaxed);
            }
        }
        JobAction::LookForModels => shelf::look_for_models(controller),
        JobAction::TakePaths(paths) => controller.files.sort(paths),
        JobAction::Browse(kind) => {
            let recent = match kind {
                PathKind::Model => state.kept.recent_models.first(),
                PathKind::Adapter => state.kept.recent_adapters.first(),
                _ => None,
            };
            controller.files.browse(kind, recent.and_then(|path| path.parent()));
        }
        JobAction::Ask => ask(controller),
        JobAction::Stop => {
            // A run of hours is stopped by its own button only.
            state.runs.waiting.clear();
            let waited_for = [Purpose::Model, Purpose::Answer];
            if waited_for.iter().any(|purpose| controller.jobs.is_running(*purpose)) {
                for purpose in waited_for {
                    controller.jobs.cancel(purpose);
                }
            } else {
                state.ui.notices.clear();
            }
        }
    }
}

/// Opens a model; the one in use stays until that has worked. An answer in sight is asked for anew, behind it.
fn open(controller: &mut Controller, model: ModelId) {
    if controller.state.ui.engine_died {
        return;
    }
    open_quietly(controller, model);
    ask_again(controller);
}

/// The same, but nothing is asked of it.
pub(super) fn open_quietly(controller: &mut Controller, model: ModelId) {
    if !controller.state.ui.engine_died {
        controller.state.models.opening = Some(model.clone());
        controller.send(Command::OpenModel(model));
    }
}

/// What is being answered, or waits to be, is not wanted any more.
pub(super) fn stop_answer(controller: &mut Controller) {
    let runs = &mut controller.state.runs;
    runs.waiting.clear();
    runs.asked = None;
    controller.jobs.abandon(Purpose::Answer);
}

/// Takes a folder that is there.
pub(super) fn take_folder(controller: &mut Controller, kind: PathKind, source: Source) {
    let action = if kind == PathKind::Adapter {
        JobAction::SetAdapter(Some(source))
    } else {
        JobAction::OpenModel { base: source, adapter: None }
    };
    apply(controller, action);
}

/// Takes paths that were sorted.
pub(super) fn take_sorted(controller: &mut Controller, sorted: Sorted) {
    if !sorted.images.is_empty() {
        controller.files.read_images(sorted.images);
    }
    for path in sorted.sessions {
        controller.files.read_session(path);
    }
    // The model first, so that an adapter dropped with it goes on it.
    for (kind, paths) in [(PathKind::Model, sorted.models), (PathKind::Adapter, sorted.adapters)] {
        for path in paths {
            take_folder(controller, kind, Source::folder(path));
        }
    }
}

fn ask(controller: &mut Controller) {
    let state = &mut controller.state;
    if state.ui.engine_died {
        return;
    }
    let Some(request) = state.described() else {
        state.notify("Open a model first");
        return;
    };
    let question = state.kept.question.clone();
    state.kept.remember_question(&question);
    state.runs.waiting.clear();
    ask_request(controller, request, false);
}

/// Asks; `aside` of what is in sight, where the controls describe something else.
pub(super) fn ask_request(controller: &mut Controller, request: Request, aside: bool) {
    controller.state.ui.said = None;
    let runs = &mut controller.state.runs;
    runs.problem = None;
    runs.asked = Some(Asked::new(request.clone(), aside));
    let keep = controller.state.kept.keep.clone();
    controller.send(Command::CaptureTrace { request: Box::new(request), keep });
}

/// After a change of the controls: the answer in sight, or on its way, once more.
pub(super) fn ask_again(controller: &mut Controller) {
    let state = &controller.state;
    if state.shown_run().is_some() || state.runs.asked.is_some() {
        ask(controller);
    }
}
