//! What is asked and how.

use super::jobs;
use crate::app::actions::EditAction;
use crate::app::controller::Controller;
use crate::app::undo::TextField;
use crate::settings::AttentionRows;

pub(super) fn apply(controller: &mut Controller, action: EditAction) {
    match action {
        EditAction::TypeQuestion(question) => set_question(controller, question, Some(TextField::Question)),
        EditAction::SetQuestion(question) => set_question(controller, question, None),
        EditAction::SetChoices(choices) => {
            controller.state.keep_draft(Some(TextField::Choices));
            controller.state.kept.choices = choices;
        }
        EditAction::SetMaxNewTokens(n) => controller.state.kept.settings.decoding.max_new_tokens = n,
        EditAction::SetMask(mask) => {
            controller.state.kept.settings.mask = mask;
            jobs::ask_again(controller);
        }
        EditAction::SetLatents(latents) => {
            controller.state.kept.settings.latents = latents;
            jobs::ask_again(controller);
        }
        EditAction::SetMaxPixels(budget) => {
            controller.state.kept.settings.max_pixels = budget;
            jobs::ask_again(controller);
        }
        EditAction::SetRepetitionPenalty(penalty) => {
            controller.state.kept.settings.decoding.repetition_penalty = penalty;
            jobs::ask_again(controller);
        }
        EditAction::KeepEveryRow(every) => {
            controller.state.kept.settings.capture.attention =
                if every { AttentionRows::Full } else { AttentionRows::LatentsAndAnswer };
            jobs::ask_again(controller);
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
