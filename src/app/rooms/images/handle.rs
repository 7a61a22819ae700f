//! The images.

use crate::app::hub::actions::ImagesAction;
use crate::app::hub::controller::Controller;
use crate::data::picture::Picture;

pub fn apply(controller: &mut Controller, action: ImagesAction) {
    let mut images = controller.state.images.clone();
    match action {
        ImagesAction::Read(paths) => return controller.files.read_images(paths),
        ImagesAction::Take(pictures) => {
            let pictures = pictures.iter().map(|picture| Picture::clone(picture)).collect();
            return controller.files.take_pictures(pictures);
        }
        ImagesAction::Paste => return controller.files.paste(),
        ImagesAction::Add(pictures) => return controller.state.add_images(&pictures, true),
        ImagesAction::Remove(index) => {
            if index < images.len() {
                images.remove(index);
            }
        }
        ImagesAction::MoveEarlier(index) => {
            if (1..images.len()).contains(&index) {
                images.swap(index, index - 1);
            }
        }
        ImagesAction::MoveLater(index) => {
            if index + 1 < images.len() {
                images.swap(index, index + 1);
            }
        }
        ImagesAction::MoveTo(from, to) => {
            if from < images.len() && to < images.len() {
                let moved = images.remove(from);
                images.insert(to, moved);
            }
        }
        ImagesAction::Rename(index, name) => {
            // A picture of the same identity: runs of it are still of it.
            if let Some(picture) = controller.state.images.get_mut(index) {
                let mut renamed = Picture::clone(picture);
                renamed.name = name;
                *picture = renamed.into();
            }
            return;
        }
        ImagesAction::Clear => images.clear(),
    }
    if images == controller.state.images {
        return;
    }
    controller.state.keep_draft(None);
    controller.state.set_images(images);
}
