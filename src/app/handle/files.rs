//! What the disk and the system's dialogs say.

use super::{jobs, training};
use crate::app::controller::Controller;
use crate::app::files::FileEvent;
use crate::app::state::PathKind;

/// Takes what came of reading files and of the system's dialogs.
pub(super) fn drain(controller: &mut Controller) {
    while let Some(event) = controller.files.poll() {
        match event {
            FileEvent::ImageRead { first, read: Ok(picture) } => {
                if first {
                    controller.state.keep_draft(false);
                }
                let images = [controller.state.images.as_slice(), &[picture]].concat();
                controller.state.set_images(images);
            }
            FileEvent::ImageRead { read: Err(problem), .. }
            | FileEvent::Found(_, Err(problem))
            | FileEvent::Saved(Err(problem)) => {
                controller.state.notify(problem);
            }
            FileEvent::Sorted(sorted) => jobs::take_sorted(controller, sorted),
            FileEvent::Found(kind, Ok(source)) => jobs::take_folder(controller, kind, source),
            FileEvent::Picked(kind @ (PathKind::Recipe | PathKind::RunFolder), paths) => {
                training::take_paths(controller, kind, &paths);
            }
            FileEvent::Picked(kind @ PathKind::MapData, paths) => {
                jobs::take_paths_as(controller, kind, paths);
            }
            FileEvent::Saved(Ok(path)) => controller.state.notify(format!("Saved in {}", path.display())),
            FileEvent::Picked(kind, paths) => {
                controller.state.ui.path_dialog = None;
                jobs::take_paths_as(controller, kind, paths);
            }
        }
    }
}
