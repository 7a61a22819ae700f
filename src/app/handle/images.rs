//! The images.

use crate::app::actions::ImagesAction;
use crate::app::controller::Controller;
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
