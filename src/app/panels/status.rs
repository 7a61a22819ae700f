//! What goes on, what stands under the pointer, how long the last run took.

use egui::{ProgressBar, Ui};

use super::images::read_out;
use crate::app::actions::Action;
use crate::app::state::State;

/// Draws the bar.
pub fn status_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        if state.model.is_waiting() || state.trace.is_waiting() {
            let (text, fraction) =
                state.progress.map_or(("Waiting", 0.0), |p| (p.phase.label(), p.fraction()));
            if ui.button("Cancel").on_hover_text("Esc").clicked() {
                actions.push(Action::Cancel);
            }
            ui.add(ProgressBar::new(fraction).desired_width(160.0).text(text));
        }
        if let Some(text) = read_out(state) {
            ui.label(text);
        } else if let Some(trace) = state.trace.latest() {
            let t = &trace.timings;
            ui.label(format!("{} tokens, {} latents", trace.input_ids.len(), trace.num_latents()));
            ui.separator();
            ui.label(format!("{:.2} s", t.total_secs())).on_hover_text(format!(
                "input {:.3} s\nvision {:.3} s\nprompt {:.3} s\nanswer {:.3} s\nchoices {:.3} s",
                t.input_secs, t.vision_secs, t.prompt_secs, t.answer_secs, t.choices_secs
            ));
            ui.separator();
            ui.label(format!("Mask: {}", trace.settings.mask.label()));
        } else {
            ui.weak("Hover a patch for its value; F1 lists the keys");
        }
    });
}
