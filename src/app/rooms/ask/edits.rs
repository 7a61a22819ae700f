//! What is changed in runs: a row for each statement, with what it did in the run in sight, and a field for another.

use egui::{Key, Role, TextEdit, Ui};

use crate::app::hub::actions::{Actions, EditAction, WindowAction};
use crate::app::hub::state::{PathKind, State};
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::ask::Edit;
use crate::paths;
use crate::trace::CHANGED_NOTHING;

/// Draws the section; nothing where nothing is changed and no statement is being written.
pub fn edits_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let condition = &state.kept.condition;
    let edits = &condition.edits;
    let run = state.shown_run().filter(|run| state.is_current(run));
    for (place, edit) in edits.iter().enumerate() {
        ui.horizontal(|ui| {
            let remove = ui.small_button("×");
            name_widget(ui, &remove, Role::Button, None, || format!("Remove the edit {edit}"));
            if remove.on_hover_text("Leave this change out").clicked() {
                let mut rest = edits.clone();
                rest.remove(place);
                actions.push(EditAction::SetEdits(rest));
            }
            ui.label(edit.to_string());
            match run.and_then(|run| run.trace.interventions.get(place)).map(|done| done.changed) {
                Some(0) => drop(ui.colored_label(palette(ui.visuals()).warning, CHANGED_NOTHING)),
                Some(changed) => drop(ui.weak(format!("{changed} changed"))),
                None => {}
            }
        });
    }
    if edits.iter().any(Edit::takes_a_file) || condition.donor.is_some() {
        ui.horizontal(|ui| {
            let donor = condition.donor.as_deref().map(paths::file_name);
            let name = donor.unwrap_or_else(|| "none".to_owned());
            if ui.button(format!("Donor: {name}")).on_hover_text(DONOR).clicked() {
                actions.push(WindowAction::OpenPathDialog(PathKind::Donor));
            }
            if condition.donor.is_some() && ui.small_button("No donor").clicked() {
                actions.push(EditAction::SetDonor(None));
            }
        });
    }
    if let Some(text) = &state.ui.statement {
        statement_ui(ui, edits, text, actions);
    }
}

const DONOR: &str = "The file that statements take states from: livr trace --record writes one";

/// A statement being written: Enter adds it.
fn statement_ui(ui: &mut Ui, edits: &[Edit], text: &str, actions: &mut Actions) {
    let mut typed = text.to_owned();
    let field =
        TextEdit::singleline(&mut typed).hint_text("latents=zero@embedding..").desired_width(f32::INFINITY);
    let field = ui.add(field);
    name_widget(ui, &field, Role::TextInput, None, || "Change the run by a statement".to_owned());
    if text.is_empty() && !field.has_focus() {
        field.request_focus();
    }
    if field.changed() {
        actions.push(EditAction::WriteStatement(Some(typed.clone())));
    }
    let pressed = |key: Key| ui.input(|input| input.key_pressed(key));
    let parsed = typed.parse::<Edit>();
    if field.lost_focus() && pressed(Key::Enter) {
        if let Ok(edit) = &parsed {
            let all = edits.iter().cloned().chain([edit.clone()]).collect();
            actions.push(EditAction::SetEdits(all));
            actions.push(EditAction::WriteStatement(None));
        }
    } else if field.lost_focus() && (pressed(Key::Escape) || typed.trim().is_empty()) {
        actions.push(EditAction::WriteStatement(None));
    }
    match parsed {
        Err(problem) if !typed.trim().is_empty() => {
            ui.colored_label(palette(ui.visuals()).warning, problem);
        }
        _ => drop(ui.weak("Enter adds it, Esc leaves it")),
    }
}
