//! The list of runs: each answer beside what it was made of, and how its choices differ from those of a base run.

use egui::containers::menu::{MenuButton, MenuConfig};
use egui::text::LayoutJob;
use egui::{
    FontId, PopupCloseBehavior, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, TextEdit, Ui, pos2, vec2,
};

use crate::app::hub::actions::{Actions, RunAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::kit::theme::{GAP, palette};
use crate::app::kit::widgets::name_widget;
use crate::app::kit::words::signed;
use crate::app::parts::runs::{Listed, Runs};
use crate::engine::ids::Run;
use crate::units::counted;

/// Of a run: its name, what it was made of, what came of it.
const HEIGHT: f32 = 52.0;
/// Room for a run's menu.
const MENU: f32 = 30.0;

/// Draws the pane.
pub fn runs_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let runs = &state.runs;
    ui.horizontal_wrapped(|ui| {
        let key = hint(ui.ctx(), does::FOUR);
        let ready = state.models.chosen().is_some() && !state.ui.engine_died;
        let four = ui.add_enabled(ready, egui::Button::new("Mask x latents"));
        let four = four.on_hover_text(format!("{key}: {}", does::FOUR.to_lowercase()));
        if four.on_disabled_hover_text("Open a model first").clicked() {
            actions.push(RunAction::AskFour);
        }
        if !runs.evicted().is_empty() {
            let older = format!("Show older runs ({})", runs.evicted().len());
            let older =
                ui.button(older).on_hover_text("Those that only the session's file holds, the latest first");
            if older.clicked() {
                actions.push(RunAction::ShowOlder);
            }
        }
        let undo = ui.add_enabled(runs.can_undo_delete(), egui::Button::new("Undo delete"));
        if undo.on_disabled_hover_text("No run was deleted").clicked() {
            actions.push(RunAction::UndoDelete);
        }
    });
    // Where there is none too: a row that comes and goes moves what is about to be clicked.
    ui.horizontal(|ui| match base_of(runs) {
        Some(base) => {
            ui.label(format!("Compared with {}", base.title()));
            if ui.small_button("Compare with none").clicked() {
                actions.push(RunAction::SetBase(None));
            }
        }
        None if runs.listed().is_empty() => {}
        None => {
            let text = egui::RichText::new("Compared with none: a run's menu (…) makes it the base").weak();
            ui.add(egui::Label::new(text).truncate());
        }
    });
    if runs.listed().is_empty() {
        ui.weak("Every answer is listed here, the latest first. Ask something");
        return;
    }
    let count = runs.listed().len();
    ScrollArea::vertical().auto_shrink([false, false]).show_rows(ui, HEIGHT, count, |ui, rows| {
        for row in rows {
            let listed = &runs.listed()[count - 1 - row];
            if let Some(run) = runs.get(listed.id) {
                run_ui(ui, state, listed, run, actions);
            }
        }
    });
}

fn base_of(runs: &Runs) -> Option<&Listed> {
    let base = runs.base()?.id;
    runs.listed().iter().find(|own| own.id == base)
}

fn run_ui(ui: &mut Ui, state: &State, listed: &Listed, run: &Run, actions: &mut Actions) {
    let palette = palette(ui.visuals());
    let is_shown = state.panes.map.run == Some(listed.id);
    ui.horizontal(|ui| {
        let width = (ui.available_width() - MENU - GAP).max(60.0);
        let (rect, response) = ui.allocate_exact_size(vec2(width, HEIGHT), Sense::click());
        let lines = lines(state, listed, run);
        name_widget(ui, &response, Role::Button, Some(is_shown), || lines.join("; "));
        if response.clicked() {
            actions.push(RunAction::Show(listed.id));
        }
        if ui.is_rect_visible(rect) {
            let fill =
                if response.hovered() { ui.visuals().widgets.hovered.weak_bg_fill } else { palette.trough };
            ui.painter().rect_filled(rect, 4.0, fill);
            if is_shown || response.has_focus() {
                let stroke = Stroke::new(2.0, palette.accent);
                ui.painter().rect_stroke(rect, 4.0, stroke, StrokeKind::Inside);
            }
            paint_lines(ui, rect.shrink2(vec2(8.0, 4.0)), &lines);
        }
        response.on_hover_text(&run.request.sample.prompt);
        // A name is typed in it, so that it closes by a click elsewhere only; and it is the run's, not the row's.
        let config = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
        let menu = ui.push_id(listed.id, |ui| {
            MenuButton::new("…").config(config).ui(ui, |ui| menu_ui(ui, state, listed, actions)).0
        });
        name_widget(ui, &menu.inner, Role::Button, None, || format!("Menu of {}", listed.title()));
    });
}

fn paint_lines(ui: &Ui, rect: Rect, lines: &[String; 3]) {
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let colour = ui.visuals().text_color();
    for (i, line) in lines.iter().enumerate() {
        let at = pos2(rect.min.x, rect.min.y + i as f32 * rect.height() / 3.0);
        let mut job = LayoutJob::simple_singleline(line.clone(), FontId::proportional(12.0), colour);
        job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width());
        painter.galley(at, painter.layout_job(job), colour);
    }
}

fn menu_ui(ui: &mut Ui, state: &State, listed: &Listed, actions: &mut Actions) {
    let id = listed.id;
    let mut name = listed.name.clone();
    let label = ui.label("Name");
    let edit =
        TextEdit::singleline(&mut name).hint_text(format!("run {}", listed.number)).desired_width(160.0);
    if ui.add(edit).labelled_by(label.id).changed() {
        actions.push(RunAction::Name(id, name));
    }
    let mut pinned = listed.pinned;
    if ui.checkbox(&mut pinned, "Keep").on_hover_text("Stays, maps and all, when the list is full").changed()
    {
        actions.push(RunAction::Pin(id, pinned));
    }
    if ui.button("Compare others with it").clicked() {
        actions.push(RunAction::SetBase(Some(id)));
        ui.close();
    }
    if ui.button("Delete").clicked() {
        actions.push(RunAction::Delete(id));
        ui.close();
    }
    if let Some(run) = state.runs.get(id) {
        let images = counted(run.request.sample.images.len(), "image");
        ui.weak(format!("{images}, {:.2} s", run.trace.timings.total_secs()));
    }
}

/// What the list says of a run.
fn lines(state: &State, listed: &Listed, run: &Run) -> [String; 3] {
    let (request, trace) = (&run.request, &run.trace);
    let question = request.sample.prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_base = state.runs.base().is_some_and(|base| base.id == listed.id);
    let kept = match (listed.pinned, is_base) {
        (true, true) => " (kept, base)",
        (true, false) => " (kept)",
        (false, true) => " (base)",
        (false, false) => "",
    };
    let answer = trace.answer.split_whitespace().collect::<Vec<_>>().join(" ");
    let verdict =
        state.verdict(run).map_or("", |verdict| if verdict.correct { " (right)" } else { " (wrong)" });
    // Where nothing was to choose from: of what it said itself.
    let sure = trace.certainty().map_or_else(String::new, |p| format!("{:.1} %", 100.0 * p));
    let model = trace.model_name();
    let made = format!("{model} · {}", request.condition.line(trace.num_latents()));
    let choices: Vec<String> = trace
        .choices
        .iter()
        .zip(state.runs.differences(run))
        .map(|(choice, difference)| {
            let share = format!("{} {:.1} %", choice.choice, 100.0 * choice.probability);
            difference.map_or(share.clone(), |by| format!("{share} ({} points)", signed(100.0 * by, 1)))
        })
        .collect();
    [
        format!("{}{kept}: {question}", listed.title()),
        made,
        format!("{answer}{verdict}   {}", if choices.is_empty() { sure } else { choices.join("   ") }),
    ]
}
