//! What is asked and how.

use crate::app::hub::actions::EditAction;
use crate::app::hub::controller::Controller;
use crate::app::parts::tiling::Pane;
use crate::app::parts::undo::{Draft, TextField};
use crate::ask::AttentionRows;

pub fn apply(controller: &mut Controller, action: EditAction) {
    match action {
        EditAction::TypeQuestion(question) => set_question(controller, question, Some(TextField::Question)),
        EditAction::SetQuestion(question) => set_question(controller, question, None),
        EditAction::SetChoices(choices) => {
            controller.state.keep_draft(Some(TextField::Choices));
            controller.state.kept.choices = choices;
        }
        EditAction::SetMaxNewTokens(n) => controller.state.kept.condition.decoding.max_new_tokens = n,
        EditAction::SetMask(mask) => {
            controller.state.kept.condition.mask = mask;
            controller.ask_again();
        }
        EditAction::SetLatents(latents) => {
            controller.state.kept.condition.latents = latents;
            controller.ask_again();
        }
        EditAction::SetDonor(donor) => {
            controller.state.kept.condition.donor = donor;
            controller.ask_again();
        }
        EditAction::WriteStatement(text) => {
            if text.is_some() {
                controller.state.kept.layout.show(Pane::Question, true);
            }
            controller.state.ui.statement = text;
        }
        EditAction::SetEdits(edits) => {
            controller.state.keep_draft(None);
            controller.state.kept.condition.edits = edits;
            controller.ask_again();
        }
        EditAction::SetMaxPixels(budget) => {
            controller.state.kept.condition.max_pixels = budget;
            controller.ask_again();
        }
        EditAction::SetRepetitionPenalty(penalty) => {
            controller.state.kept.condition.decoding.repetition_penalty = penalty;
            controller.ask_again();
        }
        EditAction::KeepEveryRow(every) => {
            controller.state.kept.keep.attention =
                if every { AttentionRows::Full } else { AttentionRows::LatentsAndAnswer };
            // The answer would be the same: it is asked for once more only where its rows are not there.
            let lacks_them = controller.state.shown_run().is_none_or(|run| run.trace.attentions.is_none());
            if every && lacks_them {
                controller.ask_again();
            }
        }
        EditAction::Undo => {
            let present = controller.state.draft();
            if let Some(earlier) = controller.state.undo.undo(present) {
                restore(controller, earlier);
            }
        }
        EditAction::Redo => {
            let present = controller.state.draft();
            if let Some(later) = controller.state.undo.redo(present) {
                restore(controller, later);
            }
        }
    }
}

/// A draft comes back; where edits do, the question is asked so.
fn restore(controller: &mut Controller, draft: Draft) {
    let is_edited = draft.edits != controller.state.kept.condition.edits;
    controller.state.restore(draft);
    if is_edited {
        controller.ask_again();
    }
}

fn set_question(controller: &mut Controller, question: String, typed: Option<TextField>) {
    if question == controller.state.kept.question {
        return;
    }
    controller.state.keep_draft(typed);
    controller.state.kept.question = question;
}
