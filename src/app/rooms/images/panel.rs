//! The images: the bar above them with what opens and orders them.

use egui::containers::menu::{MenuButton, MenuConfig};
use egui::{PopupCloseBehavior, Ui};

use crate::app::hub::actions::{
    Action, Actions, EditAction, GalleryAction, ImagesAction, ViewAction, WindowAction,
};
use crate::app::hub::keyboard::{PASTE, does, hint, keys};
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::State;
use crate::app::kit::geometry::CanvasView;
use crate::app::parts::as_read::size_in;

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
            actions.push(WindowAction::OpenPathDialog(PathKind::Images));
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
            // A name is typed in it, so that it closes by a click elsewhere only.
            let config = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
            let chip = MenuButton::new(format!("{}. {}", i + 1, short(&image.name)));
            chip.config(config).ui(ui, |ui| image_menu_ui(ui, state, i, actions));
        }
    });
}

fn image_menu_ui(ui: &mut Ui, state: &State, i: usize, actions: &mut Actions) {
    let image = &state.images[i];
    let (width, height) = image.size();
    let run = state.shown_run();
    let of_run = run.and_then(|run| {
        let place = run.request.sample.images.iter().position(|own| own == image)?;
        size_in(&run.trace, place)
    });
    let read = of_run.map_or_else(String::new, |(width, height)| format!(", read at {width} x {height}"));
    ui.weak(format!("{width} x {height} pixels{read}"));
    let mut as_read = state.kept.view.as_read;
    let switch = ui.checkbox(&mut as_read, "Show images as they are read");
    if switch.on_hover_text(hint(ui.ctx(), does::AS_READ)).changed() {
        actions.push(ViewAction::SetAsRead(as_read));
    }
    let mut name = image.name.clone();
    let label = ui.label("Name");
    let edit = egui::TextEdit::singleline(&mut name).desired_width(160.0);
    if ui.add(edit).labelled_by(label.id).changed() {
        actions.push(ImagesAction::Rename(i, name));
    }
    let is_alone = state.panes.map.maximised == Some(i);
    let several = state.images.len() > 1;
    let alone = if is_alone { "Show all images" } else { "Show this image alone" };
    let mut entry = |ui: &mut Ui, name: &str, enabled: bool, action: Action| {
        if ui.add_enabled(enabled, egui::Button::new(name)).clicked() {
            actions.push(action);
            ui.close();
        }
    };
    entry(ui, alone, several, ViewAction::Maximise((!is_alone).then_some(i)).into());
    entry(ui, "Move earlier", i > 0, ImagesAction::MoveEarlier(i).into());
    entry(ui, "Move later", i + 1 < state.images.len(), ImagesAction::MoveLater(i).into());
    entry(ui, "Remove", true, ImagesAction::Remove(i).into());
}

/// A name in the room of a button.
pub fn short(name: &str) -> String {
    const LONGEST: usize = 18;
    match name.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &name[..cut]),
        None => name.to_owned(),
    }
}
