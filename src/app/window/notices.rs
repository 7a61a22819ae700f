//! What went wrong, readable until the user has read it.

use egui::{Frame, Margin, Panel, Ui};

use crate::app::hub::actions::{Actions, WindowAction};
use crate::app::hub::state::State;
use crate::app::kit::theme;

/// Draws the messages there are, above the status bar: they cover nothing.
pub fn notices_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if state.ui.notices.is_empty() {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let frame = Frame::NONE.inner_margin(Margin::symmetric(8, 2));
    Panel::bottom("notices").frame(frame).show(ui, |ui| {
        for (i, notice) in state.ui.notices.iter().enumerate() {
            let frame =
                Frame::new().fill(palette.problem).inner_margin(Margin::symmetric(10, 6)).corner_radius(4);
            frame.show(ui, |ui| {
                ui.with_layout(egui::Layout::right_to_left(egui::Align::TOP), |ui| {
                    if ui.button("Dismiss").clicked() {
                        actions.push(WindowAction::DismissNotice(i));
                    }
                    if ui.button("Copy").clicked() {
                        ui.ctx().copy_text(notice.clone());
                    }
                    ui.with_layout(egui::Layout::left_to_right(egui::Align::TOP), |ui| {
                        let text = egui::RichText::new(notice).color(palette.on_problem);
                        ui.add(egui::Label::new(text).wrap().selectable(true));
                    });
                });
            });
        }
    });
}
