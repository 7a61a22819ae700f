//! The head of a column: which model it is, what it may be instead, what went wrong with it.

use egui::{Role, Ui};

use crate::app::hub::actions::{Actions, CompareAction};
use crate::app::hub::model_choices::{choices, name_of};
use crate::app::hub::state::State;
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::name_widget;
use crate::app::parts::compare::MOST_MODELS;
use crate::ask::{Condition, LatentChoice};
use crate::engine::ids::ModelId;

/// Draws it.
pub fn head_ui(ui: &mut Ui, state: &State, column: usize, actions: &mut Actions) {
    let columns = &state.kept.compare.columns;
    let Some(model) = columns.get(column) else { return };
    let palette = palette(ui.visuals());
    ui.horizontal(|ui| {
        let name = name_of(model, columns);
        let problem = state.compare.problems.iter().find(|(own, _)| own == model);
        let text = egui::RichText::new(&name).strong();
        let text = match problem {
            Some(_) => text.color(palette.warning),
            None if column == state.compare.focus && columns.len() > 1 => text.color(palette.accent),
            None => text,
        };
        let menu = ui.menu_button(text, |ui| {
            for (label, other) in choices(&state.kept, model) {
                if ui.selectable_label(other == *model, label).clicked() {
                    actions.push(CompareAction::SetColumn(column, other));
                    ui.close();
                }
            }
        });
        let hover = match problem {
            Some((_, problem)) => problem.clone(),
            None => format!("Column {}: {name}; click for another model", column + 1),
        };
        menu.response.on_hover_text(hover);
        if columns.len() > 1 {
            let remove = ui.small_button("×").on_hover_text(format!("Take {name} away"));
            name_widget(ui, &remove, Role::Button, None, || format!("Take {name} away"));
            if remove.clicked() {
                actions.push(CompareAction::RemoveColumn(column));
            }
        }
        if column + 1 == columns.len() && columns.len() < MOST_MODELS {
            add_ui(ui, state, model, actions);
        }
    });
}

/// One more column: a click takes the next that there is.
fn add_ui(ui: &mut Ui, state: &State, model: &ModelId, actions: &mut Actions) {
    let columns = &state.kept.compare.columns;
    let next = choices(&state.kept, model).into_iter().find(|(_, other)| !columns.contains(other));
    let Some((label, next)) = next else { return };
    let add = ui.button("+ column").on_hover_text(format!("{label} beside it; its head changes what it is"));
    if add.clicked() {
        actions.push(CompareAction::AddColumn(next));
    }
}

/// "Bottleneck (Stage 1), no latents".
pub fn row_name(condition: &Condition) -> String {
    let latents = match condition.latents {
        LatentChoice::Auto => String::new(),
        LatentChoice::Off => ", no latents".to_owned(),
        LatentChoice::Count(count) => format!(", {count} latents"),
    };
    format!("{}{latents}", condition.looks())
}
