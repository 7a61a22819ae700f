//! The images: the bar above them with what opens and orders them.

use egui::containers::menu::{MenuButton, MenuConfig};
use egui::{PopupCloseBehavior, Ui};

use crate::app::actions::{Actions, EditAction, GalleryAction, ImagesAction, ViewAction};
use crate::app::canvas::CanvasView;
use crate::app::keyboard::{PASTE, does, hint, keys};
use crate::app::path_kind::PathKind;
use crate::app::state::State;

/// Draws the row of buttons above the canvas.
pub fn image_bar_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.horizontal_wrapped(|ui| {
        if ui.button("Samples").on_hover_text(hint(ui.ctx(), does::SAMPLES)).clicked() {
            actions.push(GalleryAction::Toggle);
        }
        if ui
            .button("Open images…")
            .on_hover_text(format!("{}, or drop files", hint(ui.ctx(), does::OPEN_IMAGES)))
            .clicked()
        {
            actions.push(ViewAction::OpenPathDialog(PathKind::Images));
        }
        if ui.button("Paste image").on_hover_text(keys(ui.ctx(), &PASTE)).clicked() {
            actions.push(ImagesAction::Paste);
        }
        if ui
            .add_enabled(state.undo.can_undo(), egui::Button::new("Undo"))
            .on_hover_text(hint(ui.ctx(), does::UNDO))
            .clicked()
        {
            actions.push(EditAction::Undo);
        }
        if ui.add_enabled(!state.images.is_empty(), egui::Button::new("Clear images")).clicked() {
            actions.push(ImagesAction::Clear);
        }
        if ui.button("Fit").on_hover_text(hint(ui.ctx(), does::FIT)).clicked() {
            actions.push(ViewAction::SetCanvas(CanvasView::default()));
        }
        ui.separator();
        for (i, image) in state.images.iter().enumerate() {
            let (width, height) = image.size();
            // A name is typed in it, so that it closes by a click elsewhere only.
            let config = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
            let chip = MenuButton::new(format!("{}. {}", i + 1, short(&image.name)));
            chip.config(config).ui(ui, |ui| {
                ui.weak(format!("{width} x {height} pixels"));
                let mut name = image.name.clone();
                let label = ui.label("Name");
                let edit = egui::TextEdit::singleline(&mut name).desired_width(160.0);
                if ui.add(edit).labelled_by(label.id).changed() {
                    actions.push(ImagesAction::Rename(i, name));
                }
                let is_alone = state.panes.map.maximised == Some(i);
                if state.images.len() > 1
                    && ui.button(if is_alone { "Show all images" } else { "Show this image alone" }).clicked()
                {
                    actions.push(ViewAction::Maximise((!is_alone).then_some(i)));
                    ui.close();
                }
                if ui.add_enabled(i > 0, egui::Button::new("Move earlier")).clicked() {
                    actions.push(ImagesAction::Move(i, false));
                    ui.close();
                }
                if ui.add_enabled(i + 1 < state.images.len(), egui::Button::new("Move later")).clicked() {
                    actions.push(ImagesAction::Move(i, true));
                    ui.close();
                }
                if ui.button("Remove").clicked() {
                    actions.push(ImagesAction::Remove(i));
                    ui.close();
                }
            });
        }
    });
}

/// A name in the room of a button.
pub fn short(name: &str) -> String {
    const LONGEST: usize = 18;
    match name.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &name[..cut]),
        None => name.to_owned(),
    }
}
