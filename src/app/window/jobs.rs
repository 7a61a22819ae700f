//! Work: models, adapters, answers.

use std::sync::atomic::Ordering;

use crate::app::hub::actions::JobAction;
use crate::app::hub::controller::Controller;
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::sorting::Sorted;
use crate::app::rooms::models::shelf;
use crate::engine::ids::{BaseId, ModelId, Source};
use crate::engine::protocol::Purpose;
use crate::paths;

pub fn apply(controller: &mut Controller, action: JobAction) {
    let state = &mut controller.state;
    match action {
        JobAction::OpenModel { base, adapter } => {
            let base = BaseId { source: base, device: controller.device, dtype: controller.dtype };
            controller.open(ModelId { base, adapter });
        }
        JobAction::SetAdapter(adapter) => match state.models.chosen() {
            Some(model) => {
                let model = model.with_adapter(adapter);
                controller.open(model);
            }
            None => state.notify("Open a model first, then its adapter"),
        },
        JobAction::TakePath => {
            if let Some(dialog) = &mut state.ui.path_dialog {
                dialog.problem = None;
                let replace = dialog.replace.as_ref() == Some(&dialog.text);
                if let Ok(path) = paths::literal(&dialog.text) {
                    state.kept.remember_place(dialog.kind, &path);
                }
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
            let kept = &state.kept;
            let folder = match kind {
                PathKind::Model => kept.recent_models.first().and_then(|path| path.parent()),
                PathKind::Adapter => kept.recent_adapters.first().and_then(|path| path.parent()),
                _ if kind.is_written() => Some(kept.written_in.as_path()),
                _ => Some(kept.read_from.as_path()),
            };
            controller.files.browse(kind, folder.filter(|folder| !folder.as_os_str().is_empty()));
        }
        JobAction::Ask => controller.ask(),
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

/// Takes a folder that is there.
pub fn take_folder(controller: &mut Controller, kind: PathKind, source: Source) {
    let action = if kind == PathKind::Adapter {
        JobAction::SetAdapter(Some(source))
    } else {
        JobAction::OpenModel { base: source, adapter: None }
    };
    apply(controller, action);
}

/// Takes paths that were sorted.
pub fn take_sorted(controller: &mut Controller, sorted: Sorted) {
    if !sorted.images.is_empty() {
        controller.files.read_images(sorted.images);
    }
    for path in sorted.data {
        let question = controller.state.kept.question.clone();
        controller.files.read_data(path, question);
    }
    for path in sorted.layouts {
        controller.files.read_layouts(PathKind::Layout, path);
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
