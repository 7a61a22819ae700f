//! The training run: what starts it, its curves as it goes, and looks at a sample whose maps evolve.

use egui::{Slider, TextEdit, Ui};
use egui_plot::{HLine, Legend, Line, Plot, PlotPoints, Points};

use crate::app::hub::actions::{Actions, JobAction, TrainAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::{PathKind, State};
use crate::app::kit::theme::{SECTION_GAP, palette};
use crate::app::kit::widgets::bar_ui;
use crate::app::parts::training::{TrainStatus, Training};
use crate::engine::ids::Source;
use crate::train::{EXAMPLE, ResultChoice};

/// Draws the pane.
pub fn training_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    form_ui(ui, state, actions);
    ui.add_space(SECTION_GAP);
    progress_ui(ui, &state.training);
    outcome_ui(ui, state, actions);
    if !state.training.steps.is_empty() {
        curves_ui(ui, &state.training);
        probes_ui(ui, state, actions);
    }
}

fn form_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let (training, kept) = (&state.training, &state.kept.training);
    ui.add_enabled_ui(!training.is_running(), |ui| {
        let recipe = Field { label: "Recipe", hint: "TOML file", kind: PathKind::Recipe };
        recipe.ui(ui, !training.resume, &kept.recipe, actions, TrainAction::EditRecipe);
        let hint = "New folder for the run and its result";
        let folder = Field { label: "Folder", hint, kind: PathKind::RunFolder };
        folder.ui(ui, true, &kept.folder, actions, TrainAction::EditFolder);
    });
    ui.horizontal(|ui| {
        if training.is_running() {
            let stop =
                ui.add_enabled(training.under != TrainStatus::Stopping, egui::Button::new("Stop training"));
            if stop.on_hover_text("Saves the state: the run can be gone on with").clicked() {
                actions.push(TrainAction::Stop);
            }
        } else {
            let filled =
                !kept.folder.trim().is_empty() && (training.resume || !kept.recipe.trim().is_empty());
            let label = if training.resume { "Resume training" } else { "Start training" };
            if ui.add_enabled(filled, egui::Button::new(label)).clicked() {
                actions.push(TrainAction::Start);
            }
            let mut resume = training.resume;
            if ui.checkbox(&mut resume, "Go on with the run in the folder").changed() {
                actions.push(TrainAction::SetResume(resume));
            }
            let copy = ui.button("Copy an example recipe");
            if copy.on_hover_text("Paste it into a file, and name your data there").clicked() {
                ui.ctx().copy_text(EXAMPLE.to_owned());
            }
        }
    });
    if training.begun.is_none() && !training.is_running() && training.problem.is_none() {
        ui.weak(
            "A recipe says what to train on what: make data by `livr tasks`, copy the example recipe into a file beside \
             it, and start. You can go on asking while it trains.",
        );
    }
}

/// A path with its button.
struct Field {
    label: &'static str,
    hint: &'static str,
    kind: PathKind,
}

impl Field {
    fn ui(
        &self,
        ui: &mut Ui,
        enabled: bool,
        path: &str,
        actions: &mut Actions,
        edit: fn(String) -> TrainAction,
    ) {
        const LABEL: f32 = 52.0;
        const BUTTON: f32 = 84.0;
        ui.horizontal(|ui| {
            let height = ui.spacing().interact_size.y;
            ui.add_enabled_ui(enabled, |ui| {
                ui.add_sized([LABEL, height], egui::Label::new(self.label).halign(egui::Align::LEFT));
                let mut text = path.to_owned();
                let width = (ui.available_width() - BUTTON).max(120.0);
                let response =
                    ui.add_sized([width, height], TextEdit::singleline(&mut text).hint_text(self.hint));
                let label = self.label;
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, enabled, label));
                if response.changed() {
                    actions.push(edit(text));
                }
                let name = format!("Browse for the {}…", label.to_lowercase());
                let button = ui.button("Browse…");
                button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, &name));
                if button.clicked() {
                    actions.push(TrainAction::Browse(self.kind));
                }
            });
        });
    }
}

fn progress_ui(ui: &mut Ui, training: &Training) {
    if !training.is_running() && training.begun.is_none() {
        return;
    }
    let Some(begun) = &training.begun else {
        ui.weak("Reading the recipe, the data and the model…");
        return;
    };
    let (step, total) = (training.steps.last(), begun.total_steps);
    let done = format!("{} of {total} steps", step.map_or(0, |step| step.step));
    let place = step.map_or_else(String::new, |s| format!(", stage {}, epoch {:.1}", s.stage, s.epoch));
    let left = training.secs_left().filter(|left| training.is_running() && *left >= 1.0);
    let left = left.map_or_else(String::new, |left| format!(", about {} left", duration(left)));
    let text = done + &place + &left;
    ui.label(text);
    bar_ui(ui, training.fraction(), ui.available_width());
    if let Some(step) = step {
        let speed = step.examples as f64 / step.secs.max(1e-9);
        ui.weak(format!(
            "{} samples, {} values trained; loss {:.4}, gradient {:.3}, rate {:.1e}, {speed:.0} examples a second",
            begun.samples[0], begun.trained_values, step.loss, step.grad_norm, step.rate
        ));
    }
}

fn duration(secs: f64) -> String {
    let secs = secs.round() as u64;
    match secs {
        0..90 => format!("{secs} s"),
        90..5400 => format!("{} min", secs.div_ceil(60)),
        _ => format!("{:.1} h", secs as f64 / 3600.0),
    }
}

fn outcome_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let training = &state.training;
    if let Some(problem) = &training.problem {
        ui.colored_label(palette(ui.visuals()).warning, problem);
    }
    let Some(outcome) = &training.outcome else { return };
    ui.horizontal_wrapped(|ui| {
        let which = match outcome.keep {
            ResultChoice::Best => "The best checkpoint",
            ResultChoice::Final => "The last checkpoint",
        };
        let accuracy = outcome
            .accuracy
            .map_or_else(String::new, |a| format!(", {:.1} % of the validation samples", 100.0 * a));
        ui.label(format!("{which}{accuracy}: {}", outcome.folder.display()));
        if outcome.folder.join("config.json").is_file() {
            if ui.button("Open the trained model").clicked() {
                actions.push(JobAction::OpenModel { base: Source::folder(&outcome.folder), adapter: None });
            }
        } else if ui.button("Open the model with this adapter").clicked() {
            let recipe = training.begun.as_ref().and_then(|begun| begun.recipe.model.as_ref());
            let base = recipe.map_or(Source::Demo, Source::folder);
            let adapter = Some(Source::folder(&outcome.folder));
            actions.push(JobAction::OpenModel { base, adapter });
        }
    });
}

fn curves_ui(ui: &mut Ui, training: &Training) {
    const HEIGHT: f32 = 170.0;
    let colours = palette(ui.visuals());
    let total = training.begun.as_ref().map_or(0, |begun| begun.total_steps) as f64;
    ui.columns(2, |columns| {
        let losses: Vec<[f64; 2]> = training.steps.iter().map(|s| [s.step as f64, s.loss]).collect();
        columns[0].label("Loss");
        plot("loss", HEIGHT, total).show(&mut columns[0], |plot| {
            plot.line(
                Line::new("each step", PlotPoints::from(losses.clone()))
                    .color(colours.accent.gamma_multiply(0.45)),
            );
            plot.line(
                Line::new("smoothed", PlotPoints::from(smoothed(&losses))).color(colours.accent).width(2.0),
            );
        });
        columns[1].label("Validation accuracy, %");
        if training.validations.is_empty() {
            columns[1].weak("After the first pass over the data, where the recipe names validation data");
            return;
        }
        let found: Vec<[f64; 2]> =
            training.validations.iter().map(|v| [v.step as f64, 100.0 * v.all.accuracy]).collect();
        let chance = training.validations.last().and_then(|v| v.all.chance);
        plot("accuracy", HEIGHT, total).include_y(0.0).include_y(100.0).show(&mut columns[1], |plot| {
            plot.line(
                Line::new("accuracy", PlotPoints::from(found.clone())).color(colours.accent).width(2.0),
            );
            plot.points(Points::new("accuracy", PlotPoints::from(found)).color(colours.accent).radius(3.0));
            if let Some(chance) = chance {
                plot.hline(HLine::new("chance", 100.0 * chance).color(colours.warning));
            }
        });
    });
}

/// Over the steps of the whole run.
fn plot(name: &str, height: f32, total: f64) -> Plot<'_> {
    Plot::new(name)
        .height(height)
        .include_x(0.0)
        .include_x(total)
        .legend(Legend::default())
        .allow_scroll(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_boxed_zoom(false)
}

/// Running mean with a memory of a twentieth of the run.
fn smoothed(values: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let keep = 1.0 - (20.0 / values.len() as f64).clamp(0.02, 1.0);
    let mut mean = values.first().map_or(0.0, |v| v[1]);
    let mut one = |[x, y]: &[f64; 2]| {
        mean = keep * mean + (1.0 - keep) * y;
        [*x, mean]
    };
    values.iter().map(&mut one).collect()
}

fn probes_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let training = &state.training;
    if training.probes.is_empty() {
        return;
    }
    ui.add_space(SECTION_GAP);
    let shown = state.panes.map.run.and_then(|run| training.probes.iter().position(|(_, id)| *id == run));
    ui.label("The maps of one sample as they evolve, in the window behind");
    ui.horizontal(|ui| {
        let last = training.probes.len() - 1;
        let mut place = shown.unwrap_or(last);
        let steps: Vec<usize> = training.probes.iter().map(|(step, _)| *step).collect();
        let named = move |place: f64, _: std::ops::RangeInclusive<usize>| {
            format!("after step {}", steps.get(place as usize).copied().unwrap_or_default())
        };
        let slider = Slider::new(&mut place, 0..=last).custom_formatter(named).text("Look");
        if ui.add(slider).changed() {
            actions.push(TrainAction::ShowProbe(place));
        }
        let mut follow = training.follow;
        if ui.checkbox(&mut follow, "Follow").on_hover_text("Show each new look as it comes").changed() {
            actions.push(TrainAction::Follow(follow));
        }
        let take = ui.button("Take the sample");
        if take.on_hover_text("Puts its images and question in the window; undo brings yours back").clicked()
        {
            actions.push(TrainAction::TakeProbe);
        }
    });
}

/// The button of the bar, with how far the run is.
pub fn training_button_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let training = &state.training;
    let label = if training.is_running() {
        format!("Training {:.0} %", 100.0 * training.fraction())
    } else {
        "Train".to_owned()
    };
    if ui.button(label).on_hover_text(hint(ui.ctx(), does::TRAIN)).clicked() {
        actions.push(TrainAction::Toggle);
    }
}
