//! What a figure shows, in the dialog that saves it.

use egui::{DragValue, TextEdit, Ui};

use crate::app::hub::actions::{Actions, FileAction};
use crate::app::hub::state::State;
use crate::app::parts::view::{MOST_COLUMNS, PICTURE_WIDTHS};

/// Draws the form.
pub fn figure_form_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut form = state.kept.figure.clone();
    ui.horizontal(|ui| {
        let label = ui.label("Maps of");
        let edit = TextEdit::singleline(&mut form.queries).desired_width(170.0).hint_text("all, shown, or 0-3, 8");
        ui.add(edit).labelled_by(label.id).on_hover_text(
            "all latents, the one shown, or numbers of latents as 0-3, 8; answer for the tokens of the answer",
        );
        let label = ui.label("in a row");
        ui.add(DragValue::new(&mut form.columns).range(1..=MOST_COLUMNS)).labelled_by(label.id);
    });
    ui.horizontal(|ui| {
        let label = ui.label("Each wide");
        ui.add(DragValue::new(&mut form.width).range(PICTURE_WIDTHS).suffix(" pixels")).labelled_by(label.id);
        ui.checkbox(&mut form.plain, "The images alone first");
    });
    ui.horizontal(|ui| {
        ui.label("Beside it also as");
        for (also, name) in form.also.iter_mut().zip(["PNG", "SVG", "PDF"]) {
            ui.checkbox(also, name);
        }
    });
    if form != state.kept.figure {
        actions.push(FileAction::SetFigure(form));
    }
}
