//! The images, and the files they come from.

use super::jobs;
use crate::app::actions::ImagesAction;
use crate::app::controller::Controller;
use crate::app::files::FileEvent;
use crate::data::picture::Picture;

pub(super) fn apply(controller: &mut Controller, action: ImagesAction, ctx: &egui::Context) {
    let mut images = controller.state.images.clone();
    match action {
        ImagesAction::Read(paths) => return controller.files.read_images(paths),
        ImagesAction::Take(pictures) => {
            let pictures = pictures.iter().map(|picture| Picture::clone(picture)).collect();
            return controller.files.take_pictures(pictures);
        }
        ImagesAction::Paste => return ctx.send_viewport_cmd(egui::ViewportCommand::RequestPaste),
        ImagesAction::Add(pictures) => images.extend(pictures),
        ImagesAction::Remove(index) => {
            if index < images.len() {
                images.remove(index);
            }
        }
        ImagesAction::Move(index, later) => {
            let other = if later { index + 1 } else { index.wrapping_sub(1) };
            if index < images.len() && other < images.len() {
                images.swap(index, other);
            }
        }
        ImagesAction::Clear => images.clear(),
    }
    if images == controller.state.images {
        return;
    }
    controller.state.keep_draft(false);
    controller.state.set_images(images);
}

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
            FileEvent::ImageRead { read: Err(problem), .. } | FileEvent::Found(_, Err(problem)) => {
                controller.state.notify(problem);
            }
            FileEvent::Sorted(sorted) => jobs::take_sorted(controller, sorted),
            FileEvent::Found(kind, Ok(path)) => jobs::take_folder(controller, kind, path),
            FileEvent::Picked(kind, paths) => {
                controller.state.ui.path_dialog = None;
                jobs::take_paths_as(controller, kind, paths);
            }
        }
    }
}
