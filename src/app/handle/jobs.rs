//! Work: models, adapters, answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::app::actions::JobAction;
use crate::app::controller::Controller;
use crate::app::files::Sorted;
use crate::app::path_kind::PathKind;
use crate::app::runs::Asked;
use crate::app::state::Download;
use crate::engine::protocol::{BaseId, Command, ModelId, Purpose, Request, Source};
use crate::engine::shelf::Search;

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
        JobAction::Download => download(controller),
        JobAction::StopDownload => {
            if let Some(download) = &state.models.download {
                download.stop.store(true, Ordering::Relaxed);
            }
        }
        JobAction::LookForModels => look_for_models(controller),
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

fn download(controller: &mut Controller) {
    let models = &mut controller.state.models;
    let repository = models.repository.trim().to_owned();
    if models.download.is_some() || repository.is_empty() {
        return;
    }
    let Some(cache) = controller.hub_cache.clone() else {
        return controller.state.notify("There is no folder for a cache: set HF_HOME");
    };
    let stop = Arc::<AtomicBool>::default();
    models.download = Some(Download { repository: repository.clone(), share: 0.0, stop: stop.clone() });
    controller.files.download(repository, cache, stop);
}

/// A download is over; what it brought is on the shelf.
pub(super) fn downloaded(controller: &mut Controller, outcome: Option<Result<PathBuf, String>>) {
    let download = controller.state.models.download.take();
    let name = download.map_or_else(String::new, |download| download.repository);
    match outcome {
        Some(Ok(_)) => controller.state.say(format!("{name} is in the cache")),
        Some(Err(problem)) => controller.state.notify(problem),
        None => controller
            .state
            .say(format!("{name} was stopped: asked for again it goes on with the files it lacks")),
    }
    look_for_models(controller);
}

/// Opens the window of models, with what there is now, or closes it.
pub(super) fn toggle_browser(controller: &mut Controller) {
    let open = !controller.state.ui.browser_open;
    controller.state.ui.browser_open = open;
    if open {
        look_for_models(controller);
    }
}

/// Has somebody look which models there are.
pub(super) fn look_for_models(controller: &mut Controller) {
    let kept = &controller.state.kept;
    let search = Search {
        models: kept.recent_models.clone(),
        adapters: kept.recent_adapters.clone(),
        cache: controller.hub_cache.clone(),
        device: controller.device,
        dtype: controller.dtype,
    };
    controller.files.look_for_models(search);
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

/// Takes paths for what the user said they are.
pub(super) fn take_paths_as(controller: &mut Controller, kind: PathKind, paths: Vec<PathBuf>) {
    match kind {
        PathKind::Images => controller.files.read_images(paths),
        PathKind::Model | PathKind::Adapter => controller.files.find(kind, paths),
        PathKind::Recipe | PathKind::RunFolder => super::training::take_paths(controller, kind, &paths),
        other => {
            let Some(path) = paths.into_iter().next() else { return };
            match other {
                PathKind::OpenSession => controller.files.read_session(path),
                PathKind::SaveSession => super::session::save_as(controller, path),
                PathKind::Figure | PathKind::Trace => super::exports::write(controller, kind, path),
                _ => super::projection::take_path(controller, kind, path),
            }
        }
    }
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
    controller.send(Command::CaptureTrace(Box::new(request)));
}

/// After a change of the controls: the answer in sight, or on its way, once more.
pub(super) fn ask_again(controller: &mut Controller) {
    let state = &controller.state;
    if state.shown_run().is_some() || state.runs.asked.is_some() {
        ask(controller);
    }
}
