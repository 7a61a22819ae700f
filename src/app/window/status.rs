//! What goes on, what stands under the pointer, how long the last run took.

use egui::{ProgressBar, Ui};

use crate::app::hub::actions::{Actions, FileAction, JobAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::parts::runs::Listed;
use crate::app::rooms::maps::scale::read_out;
use crate::engine::ids::Run;

/// Draws the bar.
pub fn status_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.horizontal(|ui| {
        if state.models.opening.is_some() || state.runs.asked.is_some() {
            let (text, fraction) =
                state.ui.progress.map_or(("Waiting", 0.0), |p| (p.phase.label(), p.fraction()));
            if ui.button("Stop (Esc)").on_hover_text(hint(ui.ctx(), does::STOP)).clicked() {
                actions.push(JobAction::Stop);
            }
            ui.add(ProgressBar::new(fraction).desired_width(100.0));
            ui.label(text);
            if let Some(asked) = &state.runs.asked {
                ui.label(format!("{:.1} s", asked.pace().0));
            }
        }
        if let Some(reading) = state.ui.reading.says() {
            ui.spinner();
            ui.label(reading);
        }
        if let Some(text) = read_out(state) {
            ui.label(text);
        } else if let Some(run) = state.shown_run() {
            run_ui(ui, state, run);
        } else {
            let key = hint(ui.ctx(), does::KEYS);
            ui.weak(format!("Hover a patch for its value; {key} lists the keys"));
        }
        let is_untouched = !state.runs.listed().iter().any(Listed::is_work);
        if state.ui.can_reopen && is_untouched && state.ui.said.is_none() {
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let key = hint(ui.ctx(), does::REOPEN);
                let reopen = ui.link(format!("Reopen the runs from before ({key})"));
                if reopen.on_hover_text("The session that the window held when it was last closed").clicked()
                {
                    actions.push(FileAction::Reopen);
                }
            });
        }
        if let Some(said) = &state.ui.said {
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.add(egui::Label::new(said).truncate());
            });
        }
    });
}

/// What the answer in sight took.
fn run_ui(ui: &mut Ui, state: &State, run: &Run) {
    let (trace, t) = (&run.trace, run.trace.timings);
    if !state.is_current(run) {
        ui.weak("The answer in sight:");
    }
    ui.label(format!("{} tokens, {} latents", trace.input_ids.len(), trace.num_latents()));
    ui.separator();
    let first = t.input_secs + t.vision_secs + t.prompt_secs;
    let text = format!("{first:.2} s to the first token, {:.2} s in all", t.total_secs());
    ui.label(text).on_hover_text(format!(
        "input {:.3} s\nvision {:.3} s\nprompt {:.3} s\nanswer {:.3} s\nchoices {:.3} s",
        t.input_secs, t.vision_secs, t.prompt_secs, t.answer_secs, t.choices_secs
    ));
    ui.separator();
    ui.label(format!("Mask: {}", trace.condition.looks()));
    let temperature = trace.condition.decoding.temperature;
    if temperature > 0.0 {
        ui.separator();
        ui.label(format!("Sampled at temperature {temperature}"));
    }
    if let Some(penalty) = trace.applied.repetition_penalty {
        ui.separator();
        ui.label(format!("Repetition penalty {penalty}"));
    }
}
