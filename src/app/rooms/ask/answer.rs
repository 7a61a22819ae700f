//! The answer, how likely each choice was, and each generated token.

use egui::Ui;

use crate::analysis::query::Query;
use crate::app::hub::actions::{Actions, ViewAction};
use crate::app::hub::state::State;
use crate::app::kit::theme::palette;
use crate::app::kit::widgets::bar_ui;
use crate::app::kit::words::{listed, signed, visible};
use crate::trace::{GeneratedToken, Receipt, SHAM_FAILED, Trace};

/// Draws the section.
pub fn answer_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if let Some(problem) = &state.runs.problem {
        ui.label(problem);
    }
    let asked = state.runs.asked.as_ref().filter(|asked| !asked.aside);
    if let Some(asked) = asked.filter(|asked| !asked.partial_answer.is_empty()) {
        ui.label(egui::RichText::new(&asked.partial_answer).size(16.0));
        if state.shown_run().is_some_and(|run| !run.id.is_partial()) {
            ui.weak("The maps are still those of the answer before");
        }
        return;
    }
    let Some(run) = state.shown_run().filter(|run| asked.is_none() || !run.id.is_partial()) else {
        ui.weak(match asked {
            Some(_) => "Thinking…",
            None if state.models.chosen().is_none() => "Answers come once a model is open",
            None => "Press Enter in the question box to ask",
        });
        return;
    };
    let trace = &run.trace;
    if let Some(step) = state.training.probe_step(run.id) {
        ui.weak(format!("The training run's sample after step {step}: {}", run.request.sample.prompt));
    }
    if !state.is_current(run) {
        let changes = listed(&state.changes_since(run));
        let then = if asked.is_some() { "the next is on its way" } else { "ask again" };
        ui.weak(format!("Since this answer you have changed {changes}: {then}"));
    }
    let answer = match trace.answer.as_str() {
        "" if run.id.is_partial() => "(stopped before the first token)",
        "" => "(nothing but special tokens)",
        answer => answer,
    };
    ui.add(egui::Label::new(egui::RichText::new(answer).size(16.0)).wrap().selectable(true));
    if trace.stopped {
        ui.weak(format!("Stopped at token {}: choices were not compared", trace.generated.len()));
    }
    if let Some(verdict) = state.verdict(run) {
        let palette = palette(ui.visuals());
        let (colour, sign) =
            if verdict.correct { (palette.right, "right") } else { (palette.warning, "wrong") };
        // It speaks for the answer, not for what stands in the controls by now.
        let colour = if state.is_current(run) { colour } else { palette.weak };
        ui.colored_label(colour, format!("{sign}: the sample's answer is {}", verdict.target));
    }
    if let Some(receipt) = &trace.receipt {
        receipt_ui(ui, trace, receipt);
    }
    if state.is_beyond_demo(run) {
        ui.weak(BEYOND_DEMO);
    }
    // What was to be chosen from is seen without scrolling; tokens follow.
    if is_low(ui) {
        choices_ui(ui, trace);
        tokens_ui(ui, state, trace, actions);
    } else {
        tokens_ui(ui, state, trace, actions);
        choices_ui(ui, trace);
    }
}

/// What the edits did, beside the run without them.
fn receipt_ui(ui: &mut Ui, trace: &Trace, receipt: &Receipt) {
    let palette = palette(ui.visuals());
    let same = receipt.base_answer == trace.answer;
    let said =
        if same { "the same answer".to_owned() } else { format!("the answer is {}", receipt.base_answer) };
    ui.label(format!("Without the edits {said}; its state moved by {:.0} %", 100.0 * receipt.last_state))
        .on_hover_text("The state that says the answer's first token, behind the final norm: the length of its change by its own");
    let changes: Vec<String> = trace
        .choices
        .iter()
        .zip(receipt.changes(trace))
        .map(|(choice, change)| format!("{} {}", choice.choice, signed(change, 2)))
        .collect();
    if !changes.is_empty() {
        ui.weak(format!("Nats: {}", changes.join(", ")))
            .on_hover_text("Change of each choice's log-probability");
    }
    if receipt.sham {
        ui.colored_label(palette.right, "✔ sham").on_hover_text(
            "The same edits, done with what was there, give the answer without them to the bit: what changed is what was \
             put in",
        );
    } else {
        ui.colored_label(palette.warning, SHAM_FAILED);
    }
}

const BEYOND_DEMO: &str = "The built-in demo knows drawn scenes and the nine kinds of question of its samples: of anything else \
                           what it says is a guess.";

fn choices_ui(ui: &mut Ui, trace: &Trace) {
    if trace.choices.is_empty() {
        return;
    }
    if is_low(ui) && trace.choices.len() > 2 {
        return few_lines_ui(ui, trace);
    }
    // Beside what stands in the other columns.
    let bar = (ui.available_width() - 175.0).clamp(30.0, 170.0);
    egui::Grid::new("choices").num_columns(4).show(ui, |ui| {
        for choice in &trace.choices {
            ui.strong(&choice.choice);
            bar_ui(ui, choice.probability, bar);
            ui.label(format!("{:.1} %", 100.0 * choice.probability)).on_hover_text(SHARE);
            ui.weak(format!("log p {:.2}", choice.logprob)).on_hover_text(LOG);
            ui.end_row();
        }
    });
}

const SHARE: &str = "Its share among the choices offered";
const LOG: &str = "Natural log of its own probability among all the model could say";

/// Two choices in a line.
fn few_lines_ui(ui: &mut Ui, trace: &Trace) {
    let bar = ((ui.available_width() - 164.0) / 2.0).clamp(12.0, 90.0);
    let grid = egui::Grid::new("few choices").num_columns(6).min_col_width(8.0);
    grid.spacing([6.0, 3.0]).show(ui, |ui| {
        for pair in trace.choices.chunks(2) {
            for choice in pair {
                ui.strong(&choice.choice);
                bar_ui(ui, choice.probability, bar);
                let share = ui.label(format!("{:.1} %", 100.0 * choice.probability));
                share.on_hover_text(format!("{SHARE}; log p {:.2}", choice.logprob));
            }
            ui.end_row();
        }
    });
}

/// Is the pane so low that what does not matter most has to scroll?
fn is_low(ui: &Ui) -> bool {
    const LOW: f32 = 200.0;
    ui.clip_rect().height() < LOW
}

fn tokens_ui(ui: &mut Ui, state: &State, trace: &Trace, actions: &mut Actions) {
    let hint = "Tokens: click one for where the model looked to say it";
    if !is_low(ui) {
        ui.weak(hint);
    }
    ui.horizontal_wrapped(|ui| {
        if is_low(ui) {
            ui.weak("Tokens").on_hover_text(hint);
        }
        for (i, token) in trace.generated.iter().enumerate() {
            let chosen = state.panes.map.query == Query::Answer(i);
            let label = format!("{}  {:.0} %", visible(&token.text), 100.0 * token.logprob.exp());
            let response = ui.selectable_label(chosen, label);
            let response = response.on_hover_ui(|ui| {
                ui.monospace(alternatives(token));
            });
            if response.clicked() {
                actions.push(ViewAction::SelectQuery(Query::Answer(i)));
            }
        }
    });
}

fn alternatives(token: &GeneratedToken) -> String {
    let lines = token
        .alternatives
        .iter()
        .map(|own| format!("{:5.1} %  {}", 100.0 * own.probability, visible(&own.text)));
    lines.collect::<Vec<_>>().join("\n")
}
