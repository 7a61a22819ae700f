//! What went wrong, readable until the user has read it.

use egui::{Area, Frame, Id, Margin, Order, Ui};

use crate::app::hub::actions::{Actions, ViewAction};
use crate::app::hub::state::State;
use crate::app::kit::theme;

/// Draws the messages there are, over the window's upper edge: nothing moves away for them.
pub fn notices_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if state.ui.notices.is_empty() {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let whole = ui.ctx().content_rect();
    let width = (whole.width() - 40.0).min(760.0);
    let corner = egui::pos2(whole.center().x - width / 2.0, whole.min.y + 36.0);
    let area = Area::new(Id::unique("notices")).order(Order::Foreground).fixed_pos(corner);
    area.show(ui.ctx(), |ui| {
        ui.set_width(width);
        for (i, notice) in state.ui.notices.iter().enumerate() {
            let frame =
                Frame::new().fill(palette.problem).inner_margin(Margin::symmetric(10, 6)).corner_radius(4);
            frame.show(ui, |ui| {
                ui.with_layout(egui::Layout::right_to_left(egui::Align::TOP), |ui| {
                    if ui.button("Dismiss").clicked() {
                        actions.push(ViewAction::DismissNotice(i));
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
