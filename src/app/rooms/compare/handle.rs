//! What is set side by side.

use crate::app::hub::actions::CompareAction;
use crate::app::hub::controller::Controller;
use crate::app::parts::compare::{CompareRows, MOST_MODELS, MOST_ROWS};
use crate::engine::ids::ModelId;

/// Does what is asked.
pub fn apply(controller: &mut Controller, action: CompareAction) {
    let state = &mut controller.state;
    let form = &mut state.kept.compare;
    state.compare.focus = form.follow(state.models.chosen(), state.compare.focus);
    match action {
        CompareAction::AddColumn(model) => {
            if form.columns.len() < MOST_MODELS && !form.columns.contains(&model) {
                form.columns.push(model);
            }
        }
        CompareAction::SetColumn(column, model) => return set_column(controller, column, model),
        CompareAction::RemoveColumn(column) => return remove_column(controller, column),
        CompareAction::SetRows(rows) => form.rows = rows,
        CompareAction::AddRow => {
            let condition = &state.kept.condition;
            if form.own.len() < MOST_ROWS && !form.own.contains(condition) {
                form.own.push(condition.clone());
            }
            form.rows = CompareRows::Own;
        }
        CompareAction::RemoveRow(row) => {
            if row < form.own.len() {
                form.own.remove(row);
            }
        }
        CompareAction::SetDifference(difference) => {
            state.compare.difference = difference;
            return;
        }
        CompareAction::Ask => state.compare.problems.clear(),
    }
    controller.ask_missing();
}

/// Another model in a column; in that of the model in use it is opened.
fn set_column(controller: &mut Controller, column: usize, model: ModelId) {
    let state = &mut controller.state;
    state.compare.problems.retain(|(own, _)| *own != model);
    if column == state.compare.focus {
        return controller.open(model);
    }
    let columns = &mut state.kept.compare.columns;
    if let Some(own) = columns.get_mut(column).filter(|own| **own != model) {
        *own = model.clone();
        // A model stands beside itself for nothing.
        let mut place = 0;
        columns.retain(|own| {
            place += 1;
            *own != model || place == column + 1
        });
    }
    controller.ask_missing();
}

/// Takes a column away; where it was that of the model in use, the one beside it is used.
fn remove_column(controller: &mut Controller, column: usize) {
    let state = &mut controller.state;
    let columns = &mut state.kept.compare.columns;
    if columns.len() < 2 || column >= columns.len() {
        return;
    }
    columns.remove(column);
    let focus = state.compare.focus;
    if column < focus {
        state.compare.focus -= 1;
    } else if column == focus {
        state.compare.focus = focus.min(columns.len() - 1);
        let next = columns[state.compare.focus].clone();
        return controller.open(next);
    }
    controller.ask_missing();
}
