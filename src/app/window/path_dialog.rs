//! A path by hand, or by the system's dialog where there is one.

use egui::text::{CCursor, CCursorRange};
use egui::{Id, Key, Modal, Modifiers, TextEdit, Ui};

use crate::app::hub::actions::{Actions, JobAction, WindowAction};
use crate::app::hub::path_kind::{PathKind, Wanted};
use crate::app::hub::state::State;
use crate::app::kit::theme::palette;
use crate::app::rooms::maps::figure_form::figure_form_ui;
use crate::paths::complete::in_common;

/// Draws the dialog where it is open.
pub fn path_dialog_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let Some(dialog) = &state.ui.path_dialog else { return };
    let Wanted { title, hint, .. } = dialog.kind.wanted();
    let modal = Modal::new(Id::unique("path dialog")).show(ui.ctx(), |ui| {
        ui.set_width(460.0);
        let heading = ui.heading(title);
        let mut text = dialog.text.clone();
        let id = ui.make_persistent_id("path");
        let is_completed = complete(ui, id, &dialog.completions, &mut text);
        let goes_on = more_of(&dialog.completions, &text).is_some();
        let edit = TextEdit::singleline(&mut text).id(id).hint_text(hint).desired_width(f32::INFINITY);
        // Tab moves on where there is nothing to complete.
        let edit = ui.add(edit.lock_focus(goes_on)).labelled_by(heading.id);
        if edit.changed() || is_completed {
            actions.push(WindowAction::EditPath(text.clone()));
        }
        let enter = edit.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        if !enter && ui.memory(|memory| memory.focused().is_none()) {
            edit.request_focus();
            // What is suggested goes with the first letter typed.
            select(ui, id, 0, text.chars().count());
        }
        if let Some(problem) = &dialog.problem {
            ui.colored_label(palette(ui.visuals()).warning, problem);
        }
        if dialog.kind == PathKind::Figure {
            figure_form_ui(ui, state, actions);
        }
        ui.horizontal(|ui| {
            let filled = !text.trim().is_empty();
            if ui
                .add_enabled(
                    filled,
                    egui::Button::new(if dialog.kind.is_written() { "Save" } else { "Open" }),
                )
                .clicked()
                || (enter && filled)
            {
                actions.push(JobAction::TakePath);
            }
            if ui.button("Browse…").clicked() {
                actions.push(JobAction::Browse(dialog.kind));
            }
            if ui.button("Close").clicked() {
                actions.push(WindowAction::ClosePathDialog);
            }
        });
        // Last, so that what comes and goes with each letter moves nothing.
        completions_ui(ui, &dialog.completions, actions);
    });
    if modal.should_close() {
        actions.push(WindowAction::ClosePathDialog);
    }
}

/// Tab goes on with what all completions have in common, where that is more than is typed.
fn complete(ui: &Ui, id: Id, completions: &[String], text: &mut String) -> bool {
    let Some(more) = more_of(completions, text) else { return false };
    let tabbed = ui.memory(|memory| memory.has_focus(id))
        && ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Tab));
    if tabbed {
        more.clone_into(text);
        let end = text.chars().count();
        select(ui, id, end, end);
    }
    tabbed
}

/// What all completions have in common, where it is more than is typed.
fn more_of<'a>(completions: &'a [String], text: &str) -> Option<&'a str> {
    Some(in_common(completions)).filter(|more| more.len() > text.len() && more.starts_with(text))
}

fn select(ui: &Ui, id: Id, from: usize, to: usize) {
    let mut edit = egui::TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
    edit.cursor.set_char_range(Some(CCursorRange::two(CCursor::new(from), CCursor::new(to))));
    edit.store(ui.ctx(), id);
}

/// The first of them; a click takes one.
fn completions_ui(ui: &mut Ui, completions: &[String], actions: &mut Actions) {
    const SHOWN: usize = 6;
    for path in completions.iter().take(SHOWN) {
        if ui.add(egui::Button::new(path).small().frame(false).truncate()).clicked() {
            actions.push(WindowAction::EditPath(path.clone()));
        }
    }
    let rest = completions.len().saturating_sub(SHOWN);
    if rest > 0 {
        ui.weak(format!("and {rest} more: Tab goes on as far as they agree"));
    }
}
