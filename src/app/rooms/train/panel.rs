//! The training run: what starts it, its curves as it goes, and looks at a sample whose maps evolve.

use egui::Ui;
use egui_plot::{Corner, HLine, Legend, Line, Plot, PlotPoints, Points, uniform_grid_spacer};

use super::form::form_ui;
use super::probe::probe_ui;
use crate::app::hub::actions::{Actions, JobAction, TrainAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::state::State;
use crate::app::kit::theme::{SECTION_GAP, palette};
use crate::app::kit::widgets::bar_ui;
use crate::app::parts::training::Training;
use crate::engine::ids::Source;
use crate::train::ResultChoice;

/// Draws the pane.
pub fn training_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    form_ui(ui, state, actions);
    ui.add_space(SECTION_GAP);
    progress_ui(ui, &state.training);
    outcome_ui(ui, state, actions);
    if !state.training.steps.is_empty() {
        curves_ui(ui, &state.training);
        probe_ui(ui, state, actions);
    }
}

fn progress_ui(ui: &mut Ui, training: &Training) {
    if !training.is_running() && training.begun.is_none() {
        return;
    }
    let Some(begun) = &training.begun else {
        let Some(progress) = training.progress else {
            ui.weak("Reading the recipe, the data and the model…");
            return;
        };
        ui.weak(format!("{}, {} of {}", progress.phase.label(), progress.done, progress.total));
        bar_ui(ui, progress.fraction(), ui.available_width());
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
            "{} samples, {} values trained; loss {:.4}, length of the gradient {:.3}, rate {:.1e}, {speed:.0} examples a second",
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
        plot("loss", HEIGHT, total, Corner::RightTop).show(&mut columns[0], |plot| {
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
        plot("accuracy", HEIGHT, total, Corner::RightBottom).include_y(0.0).include_y(100.0).show(
            &mut columns[1],
            |plot| {
                plot.line(
                    Line::new("accuracy", PlotPoints::from(found.clone())).color(colours.accent).width(2.0),
                );
                plot.points(
                    Points::new("accuracy", PlotPoints::from(found)).color(colours.accent).radius(3.0),
                );
                if let Some(chance) = chance {
                    plot.hline(HLine::new("chance", 100.0 * chance).color(colours.warning));
                }
            },
        );
    });
}

/// Over the steps of the whole run; curves fall or rise away from the corner the legend lies in.
fn plot(name: &str, height: f32, total: f64, legend: Corner) -> Plot<'_> {
    // Some four numbers below, round ones.
    let each = round_up((total / 4.0).max(1.0));
    Plot::new(name)
        .height(height)
        .include_x(0.0)
        .include_x(total)
        .x_axis_label("steps")
        .x_grid_spacer(uniform_grid_spacer(move |_| [4.0 * each, 2.0 * each, each]))
        .x_axis_formatter(|mark, _| format!("{:.0}", mark.value))
        .legend(Legend::default().position(legend))
        .allow_scroll(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_boxed_zoom(false)
}

/// The next of 1, 2, 5, 10, 20, ..
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= value).unwrap_or(value)
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
