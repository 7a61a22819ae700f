//! The question, its history, the switches of the run.

use egui::{ComboBox, Key, Modifiers, TextEdit, Ui};

use super::edits::edits_ui;
use crate::app::hub::actions::{Actions, EditAction, JobAction, WindowAction};
use crate::app::hub::keyboard::{ENTER, does, hint, keys};
use crate::app::hub::preferences::MAX_NEW_TOKENS;
use crate::app::hub::state::State;
use crate::app::kit::theme;
use crate::ask::{LatentChoice, MaskKind, PixelBudget, Published};
use crate::data::sample::choices_in;
use crate::units::human_bytes;

/// Draws the section.
pub fn question_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    // On a small screen the switches stay in sight: the question scrolls.
    let is_low = ui.clip_rect().height() < LOW;
    question_box_ui(ui, state, if is_low { 48.0 } else { 120.0 }, actions);
    ui.horizontal_wrapped(|ui| {
        ask_button_ui(ui, state, actions);
        history_ui(ui, state, actions);
        if !is_low {
            longest_ui(ui, state, actions);
        }
    });
    let ready = state.models.chosen().is_some();
    let settings = ui.add_enabled_ui(ready, |ui| {
        ui.horizontal(|ui| switches_ui(ui, state, actions));
        mask_ui(ui, state, actions);
        edits_ui(ui, state, actions);
        choices_ui(ui, state, actions);
        pixels_ui(ui, state, actions);
        penalty_ui(ui, state, actions);
        if is_low {
            ui.horizontal(|ui| longest_ui(ui, state, actions));
        }
        need_ui(ui, state);
    });
    if !ready {
        settings.response.on_hover_text(NO_MODEL);
        ui.weak(NO_MODEL);
    }
}

/// A pane lower than this has no room for the whole question.
const LOW: f32 = 260.0;

fn longest_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut tokens = state.kept.condition.decoding.max_new_tokens;
    let label = ui.label("Longest answer");
    let drag = egui::DragValue::new(&mut tokens).range(1..=MAX_NEW_TOKENS).suffix(" tokens");
    if ui.add(drag).labelled_by(label.id).changed() {
        actions.push(EditAction::SetMaxNewTokens(tokens));
    }
}

const NO_MODEL: &str = "No model is open: open one under Model, or take the built-in demo";

/// What a run as described will keep, beside what is free, before it is asked for.
fn need_ui(ui: &mut Ui, state: &State) {
    let Some(need) = state.expected_need() else { return };
    let text = format!("a run keeps about {}", human_bytes(need.total()));
    let parts = format!(
        "keys and values {}, attention rows of the prompt {}, of the longest answer {}",
        human_bytes(need.cache),
        human_bytes(need.attention),
        human_bytes(need.answer_attention)
    );
    ui.weak(text).on_hover_text(parts);
}

fn question_box_ui(ui: &mut Ui, state: &State, height: f32, actions: &mut Actions) {
    let mut question = state.kept.question.clone();
    let id = ui.make_persistent_id("question");
    // Enter asks; Shift+Enter is a new line.
    let enter = ui.memory(|memory| memory.has_focus(id))
        && ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Enter));
    let edit = TextEdit::multiline(&mut question)
        .id(id)
        .desired_rows(if height < 60.0 { 2 } else { 3 })
        .desired_width(f32::INFINITY);
    let response = egui::ScrollArea::vertical()
        .id_salt("question scroll")
        .max_height(height)
        .show(ui, |ui| ui.add(edit.hint_text("What should the model look for?")))
        .inner;
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label("Question to ask"));
    if response.changed() {
        actions.push(EditAction::TypeQuestion(question));
    }
    if state.ui.focus_question {
        response.request_focus();
        actions.push(WindowAction::QuestionFocused);
    }
    if enter {
        // The keys are the window's again: arrows go through the latents, / comes back here.
        response.surrender_focus();
        actions.push(JobAction::Ask);
    }
}

/// Asks; while an answer is on its way, stops it.
fn ask_button_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if let Some(asked) = &state.runs.asked {
        // It stands where Ask stood: a second click on that is not meant for it.
        const GUARD_SECS: f32 = 0.4;
        let (seconds, a_second) = asked.pace();
        let stop = egui::Button::new(egui::RichText::new("Stop").strong());
        let hint = format!("{}: keeps what there is", hint(ui.ctx(), does::STOP));
        if ui.add_enabled(seconds > GUARD_SECS, stop).on_hover_text(hint).clicked() {
            actions.push(JobAction::Stop);
        }
        let pace = a_second.map_or_else(String::new, |pace| format!(", {pace:.1} tokens/s"));
        ui.weak(format!("{seconds:.1} s{pace}"));
        return;
    }
    let palette = theme::palette(ui.visuals());
    let text = egui::RichText::new("Ask").strong().color(palette.on_accent);
    let ready = state.models.chosen().is_some() && !state.ui.engine_died;
    let ask = ui.add_enabled(ready, egui::Button::new(text).fill(palette.accent));
    let why_not = if state.ui.engine_died { "The engine has stopped" } else { "Open a model first" };
    if ask.on_hover_text(keys(ui.ctx(), &ENTER)).on_disabled_hover_text(why_not).clicked() {
        actions.push(JobAction::Ask);
    }
}

fn history_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.add_enabled_ui(!state.kept.history.is_empty(), |ui| {
        ui.menu_button("History", |ui| {
            for question in &state.kept.history {
                let one_line: String = question.split_whitespace().collect::<Vec<_>>().join(" ");
                let short: String = one_line.chars().take(60).collect();
                if ui.button(short).on_hover_text(question).clicked() {
                    actions.push(EditAction::SetQuestion(question.clone()));
                }
            }
        });
    });
}

/// The answers to choose from: those the question offers, or others.
fn choices_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut choices = state.kept.choices.clone();
    let offered = choices_in(&state.kept.question);
    let found = if offered.is_empty() { "none in the question".to_owned() } else { offered.join(", ") };
    ui.horizontal(|ui| {
        let label = ui.label("Choices");
        let edit = TextEdit::singleline(&mut choices).hint_text(found).desired_width(180.0);
        let edit = ui.add(edit).labelled_by(label.id).on_hover_text(
            "Answers whose probabilities are compared, with commas between them (\"quotes\" around one that has a comma); empty takes those the question offers",
        );
        if edit.changed() {
            actions.push(EditAction::SetChoices(choices));
        }
        if edit.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) {
            actions.push(JobAction::Ask);
        }
    });
}

fn switches_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let settings = &state.kept.condition;
    let mut on = settings.latents != LatentChoice::Off;
    let key = hint(ui.ctx(), does::LATENTS);
    let room = state.models.in_use.as_ref().map_or((0, 0), |info| (info.trained_latents, info.max_latents));
    let what = match room {
        (0, 0) => "this model has no room for latents".to_owned(),
        (0, spare) => format!("none were trained; of {spare} untrained rows K can stand in"),
        (k, _) => format!("append the {k} latent tokens this model was trained with"),
    };
    let (trained, _) = room;
    if trained == 0 && settings.latents == LatentChoice::Auto {
        // There is nothing to switch off.
        on = false;
    }
    if ui.checkbox(&mut on, "Latents").on_hover_text(format!("{key}: {what}")).changed() {
        actions.push(EditAction::SetLatents(if on { LatentChoice::Auto } else { LatentChoice::Off }));
    }
    let (trained, most) = room;
    if trained == 0 && state.models.in_use.is_some() {
        ui.weak("this model has none");
    }
    if most == 0 || settings.latents == LatentChoice::Off {
        return;
    }
    let current = if let LatentChoice::Count(n) = settings.latents { n } else { trained };
    let mut count = current;
    let drag = egui::DragValue::new(&mut count).range(0..=most).prefix("K = ").update_while_editing(false);
    if ui.add(drag).on_hover_text("How many of them").changed() && count != current {
        actions.push(EditAction::SetLatents(match count {
            n if n == trained => LatentChoice::Auto,
            0 => LatentChoice::Off,
            n => LatentChoice::Count(n),
        }));
    }
}

fn mask_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let current = state.kept.condition.mask;
    let key = hint(ui.ctx(), does::MASK);
    ui.horizontal(|ui| {
        let label = ui.label("Mask");
        let combo = ComboBox::from_id_salt("mask")
            .width(ui.available_width().clamp(80.0, 220.0))
            .truncate()
            .selected_text(current.label());
        let combo = combo.show_ui(ui, |ui| {
            for mask in MaskKind::ALL {
                let option = ui.selectable_label(current == mask, mask.label());
                if option.on_hover_text(mask.explanation()).clicked() {
                    actions.push(EditAction::SetMask(mask));
                }
            }
        });
        let explained = format!("{}\n{key}: the Stage-1 bottleneck on or off", current.explanation());
        combo.response.labelled_by(label.id).on_hover_text(explained);
    });
}

/// How large images are read, and how large they come out.
fn pixels_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    const SIDES: [usize; 5] = [224, 336, 448, 672, 1008];
    let current = state.kept.condition.max_pixels;
    let info = state.models.in_use.as_ref();
    let megapixels = |n: usize| format!("{:.2} MP", n as f64 / 1e6);
    let label = |budget: PixelBudget| match budget {
        PixelBudget::Auto => {
            info.map_or_else(|| "Auto".to_owned(), |i| format!("Auto, {}", megapixels(i.auto_max_pixels)))
        }
        PixelBudget::Checkpoint => info.map_or_else(
            || "Checkpoint's".to_owned(),
            |i| format!("Checkpoint's, {}", megapixels(i.checkpoint_max_pixels)),
        ),
        PixelBudget::Pixels(n) => megapixels(n),
    };
    let budgets = [PixelBudget::Auto, PixelBudget::Checkpoint].into_iter();
    let budgets = budgets.chain(SIDES.iter().map(|side| PixelBudget::Pixels(side * side)));
    ui.horizontal(|ui| {
        let name = ui.label("Largest image");
        let combo = ComboBox::from_id_salt("pixels").width(160.0).selected_text(label(current));
        let combo = combo.show_ui(ui, |ui| {
            for budget in budgets {
                if ui.selectable_label(current == budget, label(budget)).clicked() {
                    actions.push(EditAction::SetMaxPixels(budget));
                }
            }
        });
        combo.response.labelled_by(name.id).on_hover_text(
            "In millions of pixels. Larger images are read smaller; each visual token costs time",
        );
    });
    let current = state.shown_run().filter(|run| state.is_current(run));
    if let Some(run) = current.filter(|run| !run.trace.grids.is_empty()) {
        let sizes: Vec<String> = (0..run.trace.grids.len())
            .map(|image| run.trace.read_size(image))
            .map(|(height, width)| format!("{width} x {height}"))
            .collect();
        ui.weak(format!("read at {}", sizes.join(", ")));
    }
}

/// The penalty a checkpoint publishes, as a switch; nothing where it publishes none.
fn penalty_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let published = state.models.in_use.as_ref().and_then(|info| info.repetition_penalty);
    let current = state.kept.condition.decoding.repetition_penalty;
    let Some(penalty) = published.or(match current {
        Published::Value(penalty) => Some(penalty),
        Published::Auto | Published::Off => None,
    }) else {
        return;
    };
    let mut on = current != Published::Off;
    let text = format!("Repetition penalty {penalty}");
    let switch = ui.checkbox(&mut on, text).on_hover_text(
        "This checkpoint publishes it: tokens already in prompt or answer are made less likely, in greedy \
         decoding too. Probabilities are shown without it",
    );
    if switch.changed() {
        actions.push(EditAction::SetRepetitionPenalty(if on { Published::Auto } else { Published::Off }));
    }
}
