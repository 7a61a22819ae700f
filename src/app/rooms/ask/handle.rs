//! What is asked and how.

use crate::app::hub::actions::EditAction;
use crate::app::hub::controller::Controller;
use crate::app::parts::undo::TextField;
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
        EditAction::SetEdits(edits) => {
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
                controller.state.restore(earlier);
            }
        }
        EditAction::Redo => {
            let present = controller.state.draft();
            if let Some(later) = controller.state.undo.redo(present) {
                controller.state.restore(later);
            }
        }
    }
}

fn set_question(controller: &mut Controller, question: String, typed: Option<TextField>) {
    if question == controller.state.kept.question {
        return;
    }
    controller.state.keep_draft(typed);
    controller.state.kept.question = question;
}
