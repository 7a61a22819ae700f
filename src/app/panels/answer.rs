//! The answer, how likely each choice was, and each generated token.

use egui::Ui;

use super::bar_ui;
use crate::analysis::maps::Query;
use crate::app::actions::Action;
use crate::app::state::{Pending, State};

/// Draws the section.
pub fn answer_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.heading("Answer");
    if let Pending::Failed { problem, .. } = &state.trace {
        ui.label(problem);
    }
    if state.trace.is_waiting() && !state.partial_answer.is_empty() {
        ui.label(egui::RichText::new(&state.partial_answer).size(16.0));
        return;
    }
    let Some(trace) = state.trace.latest() else {
        ui.weak(if state.trace.is_waiting() {
            "Thinking…"
        } else {
            "Press Enter in the question box to ask"
        });
        return;
    };
    if !state.is_current() && !state.trace.is_waiting() {
        ui.weak("The images or switches have changed since: ask again");
    }
    let answer = if trace.answer.is_empty() { "(nothing but special tokens)" } else { &trace.answer };
    ui.add(egui::Label::new(egui::RichText::new(answer).size(16.0)).wrap().selectable(true));
    if !trace.choices.is_empty() {
        egui::Grid::new("choices").num_columns(3).show(ui, |ui| {
            for choice in &trace.choices {
                ui.strong(&choice.choice);
                bar_ui(ui, choice.probability, 170.0);
                ui.label(format!("{:.1} %", 100.0 * choice.probability))
                    .on_hover_text(format!("log-probability {:.3}, share among the choices", choice.logprob));
                ui.end_row();
            }
        });
    }
    ui.weak("Tokens: click one for where it looks");
    ui.horizontal_wrapped(|ui| {
        for (i, token) in trace.generated.iter().enumerate() {
            let chosen = state.query == Query::Answer(i);
            let label = format!("{}  {:.0} %", visible(&token.text), 100.0 * token.logprob.exp());
            let response = ui.selectable_label(chosen, label);
            let others = || {
                let lines: Vec<String> = token
                    .alternatives
                    .iter()
                    .map(|(_, text, p)| format!("{:5.1} %  {}", 100.0 * p, visible(text)))
                    .collect();
                lines.join("\n")
            };
            if response
                .on_hover_ui(|ui| {
                    ui.monospace(others());
                })
                .clicked()
            {
                actions.push(Action::SelectQuery(Query::Answer(i)));
            }
        }
    });
}

/// A token's text with white space in sight.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            '\t' => '→',
            ' ' => '␣',
            c if c.is_control() => '□',
            c => c,
        })
        .collect()
}
