//! What somebody who opens the program for the first time wants to know, in four lines; the help has them too.

use egui::{Align, Frame, Layout, Margin, Panel, Ui};

use crate::app::hub::actions::{Actions, WindowAction};
use crate::app::hub::state::State;
use crate::app::kit::theme;

/// A word and what it means here.
const WORDS: [(&str, &str); 4] = [
    (
        "Latents",
        "are 16 extra tokens after the question. In LIVR a model learns to put into them what it needs of the images.",
    ),
    (
        "The mask",
        "(M) is how it learns that: behind the Stage-1 bottleneck the answer cannot see the images but through the latents.",
    ),
    (
        "A map",
        "shows where a latent, or a word of the answer, looks in the images: its attention. Choose one with the arrow keys.",
    ),
    (
        "Try it:",
        "Ctrl+M asks this sample with and without mask and latents. Page Down takes the next one, Ctrl+4 sets checkpoints side by side.",
    ),
];

/// Where the method is described.
const PAPER: (&str, &str) = ("The paper, arXiv 2512.21218", "https://arxiv.org/abs/2512.21218");

/// The lines, with where more is said.
pub fn words_ui(ui: &mut Ui) {
    ui.spacing_mut().item_spacing.y = 1.0;
    for (word, meaning) in WORDS {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.colored_label(theme::palette(ui.visuals()).accent, word);
            ui.label(meaning);
        });
    }
    ui.hyperlink_to(PAPER.0, PAPER.1);
}

/// Draws them above the status bar until they were read.
pub fn first_words_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if state.kept.words_read {
        return;
    }
    let fill = theme::palette(ui.visuals()).trough;
    let frame = Frame::new().fill(fill).inner_margin(Margin::symmetric(12, 6));
    Panel::bottom("first words").frame(frame).show(ui, |ui| {
        ui.with_layout(Layout::right_to_left(Align::TOP), |ui| {
            if ui.button("Understood (Esc)").on_hover_text("F1 says it again").clicked() {
                actions.push(WindowAction::WordsRead);
            }
            ui.with_layout(Layout::top_down(Align::LEFT), words_ui);
        });
    });
}
