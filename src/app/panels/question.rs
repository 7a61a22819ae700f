//! The question, its history, the switches of the run.

use egui::{Key, Modifiers, TextEdit, Ui};

use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::theme;
use crate::settings::MaskKind;

/// Draws the section.
pub fn question_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let heading = ui.heading("Question");
    let mut prompt = state.persisted.prompt.clone();
    let id = ui.make_persistent_id("question");
    // Enter asks; Shift+Enter is a new line.
    let enter = ui.memory(|memory| memory.has_focus(id))
        && ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Enter));
    let edit = TextEdit::multiline(&mut prompt).id(id).desired_rows(4).desired_width(f32::INFINITY);
    let response = egui::ScrollArea::vertical()
        .id_salt("question scroll")
        .max_height(120.0)
        .show(ui, |ui| ui.add(edit.hint_text("What should the model look for?")).labelled_by(heading.id))
        .inner;
    if response.changed() {
        actions.push(Action::SetPrompt(prompt));
    }
    if state.focus_question {
        response.request_focus();
    }
    if enter {
        // The keys are the window's again: arrows go through the latents, / comes back here.
        response.surrender_focus();
        actions.push(Action::Ask);
    }
    ui.horizontal(|ui| {
        let palette = theme::palette(ui.visuals());
        let text = egui::RichText::new("Ask").strong().color(palette.on_accent);
        let ready = state.model.latest().is_some() || state.model.is_waiting();
        let ask = ui.add_enabled(ready, egui::Button::new(text).fill(palette.accent));
        if ask.on_hover_text("Enter").on_disabled_hover_text("Open a model first").clicked() {
            actions.push(Action::Ask);
        }
        ui.add_enabled_ui(!state.persisted.history.is_empty(), |ui| {
            ui.menu_button("History", |ui| {
                for question in &state.persisted.history {
                    let one_line: String = question.split_whitespace().collect::<Vec<_>>().join(" ");
                    let short: String = one_line.chars().take(60).collect();
                    if ui.button(short).on_hover_text(question).clicked() {
                        actions.push(Action::SetPrompt(question.clone()));
                    }
                }
            });
        });
        let mut tokens = state.persisted.max_new_tokens;
        let label = ui.label("Longest answer");
        let drag = egui::DragValue::new(&mut tokens).range(1..=512).suffix(" tokens");
        if ui.add(drag).labelled_by(label.id).changed() {
            actions.push(Action::SetMaxNewTokens(tokens));
        }
    });
    ui.horizontal(|ui| {
        let mut bottleneck = state.persisted.mask == MaskKind::Bottleneck;
        let switch = ui.checkbox(&mut bottleneck, "Stage-1 bottleneck mask");
        if switch.on_hover_text("M: prompt and answer see the image only through the latents").changed() {
            actions.push(Action::SetMask(if bottleneck { MaskKind::Bottleneck } else { MaskKind::Standard }));
        }
        let mut on = state.persisted.latents_on;
        if ui.checkbox(&mut on, "Latents").on_hover_text("L: append the latent tokens").changed() {
            actions.push(Action::SetLatents(on));
        }
    });
    egui::ComboBox::from_label("Mask").width(180.0).selected_text(state.persisted.mask.label()).show_ui(
        ui,
        |ui| {
            for mask in MaskKind::ALL {
                if ui.selectable_label(state.persisted.mask == mask, mask.label()).clicked() {
                    actions.push(Action::SetMask(mask));
                }
            }
        },
    );
}
