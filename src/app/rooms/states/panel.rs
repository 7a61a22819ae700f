//! Layouts of hidden states: what is mapped, the layout, and what the states say besides.

use egui::{
    Align, ComboBox, DragValue, Layout, ProgressBar, Rect, ScrollArea, Slider, TextEdit, Ui, UiBuilder, vec2,
};

use super::said::{BESIDE, beside_ui, layer_name};
use super::scatter::scatter_ui;
use crate::app::hub::actions::{Actions, LayoutAction, WindowAction};
use crate::app::hub::model_choices::{choices, name_of};
use crate::app::hub::state::{PathKind, State};
use crate::app::kit::theme::{GAP, palette};
use crate::app::parts::states::{Answered, ColourBy, LayoutForm, Projection, ROLES, Tool, tasks};

/// Draws the pane.
pub fn projection_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let mut form = state.kept.map.clone();
    form_ui(ui, state, &mut form, actions);
    view_ui(ui, state, &mut form, actions);
    if form != state.kept.map {
        actions.push(LayoutAction::Edit(Box::new(form)));
    }
    ui.separator();
    body_ui(ui, state, actions);
}

/// What is mapped.
fn form_ui(ui: &mut Ui, state: &State, form: &mut LayoutForm, actions: &mut Actions) {
    let projection = &state.projection;
    ui.horizontal_wrapped(|ui| {
        ui.add_enabled_ui(!projection.is_running(), |ui| {
            let label = ui.label("Samples");
            let edit =
                TextEdit::singleline(&mut form.data).hint_text("The built-in ones").desired_width(150.0);
            ui.add(edit).labelled_by(label.id).on_hover_text("A data file: JSONL or parquet");
            if ui.button("Browse…").clicked() {
                actions.push(LayoutAction::Browse);
            }
            ui.add(DragValue::new(&mut form.samples).range(1..=1_000_000).prefix("at most "))
                .on_hover_text("Samples that are run, the first ones");
            for (wanted, (_, name)) in form.tokens.iter_mut().zip(ROLES) {
                ui.checkbox(wanted, name);
            }
            let layers = |all: bool| if all { "All layers" } else { "Last layer" };
            ComboBox::from_id_salt("layers").selected_text(layers(form.all_layers)).show_ui(ui, |ui| {
                for all in [false, true] {
                    ui.selectable_value(&mut form.all_layers, all, layers(all));
                }
            });
            ui.add(DragValue::new(&mut form.perplexity).range(1.0..=1000.0).speed(0.2).prefix("perplexity "))
                .on_hover_text("How many neighbours of each point count, about");
            ui.add(DragValue::new(&mut form.seed).prefix("seed ")).on_hover_text("One seed, one layout");
        });
    });
    // A row of its own: what comes and goes with the work moves nothing else.
    ui.horizontal(|ui| {
        if projection.is_running() {
            if ui.button("Stop").on_hover_text("States that are kept stay").clicked() {
                actions.push(LayoutAction::Stop);
            }
            let (text, share) =
                projection.progress.map_or(("Waiting", 0.0), |p| (p.phase.label(), p.fraction()));
            ui.add(ProgressBar::new(share).desired_width(120.0));
            // Beside it: on it half of the letters would be of the bar's own darkness.
            ui.label(text);
        } else {
            let can = form.tokens.iter().any(|wanted| *wanted) && state.models.chosen().is_some();
            let start = ui.add_enabled(can, egui::Button::new("Make layout"));
            if start.on_disabled_hover_text("Needs a model and tokens of some role").clicked() {
                actions.push(LayoutAction::Start);
            }
            let open =
                ui.button("Open layout…").on_hover_text("A file that livr project wrote, with its states");
            if open.clicked() {
                actions.push(WindowAction::OpenPathDialog(PathKind::Layout));
            }
        }
        besides_ui(ui, state, actions);
    });
    if let Some(problem) = &projection.problem {
        let palette = palette(ui.visuals());
        egui::Frame::new().fill(palette.problem).inner_margin(GAP).show(ui, |ui| {
            ui.colored_label(palette.on_problem, problem);
        });
    }
}

/// Whose layout stands beside.
fn besides_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let first = state.projection.first().and_then(|side| side.collected.model.as_ref());
    let Some(model) = first.or(state.models.chosen()) else { return };
    let beside = state.kept.map.beside.as_ref();
    let name = beside.map_or("nothing".to_owned(), |own| name_of(own, &[own.clone(), model.clone()]));
    let combo = ComboBox::from_id_salt("beside").selected_text(format!("Beside: {name}"));
    let shown = combo.show_ui(ui, |ui| {
        if ui.selectable_label(beside.is_none(), "Nothing").clicked() {
            actions.push(LayoutAction::SetBeside(None));
        }
        for (label, other) in choices(&state.kept, model) {
            if other != *model && ui.selectable_label(beside == Some(&other), label).clicked() {
                actions.push(LayoutAction::SetBeside(Some(other)));
            }
        }
        if state.projection.first().is_some() && ui.button("A layout file…").clicked() {
            actions.push(WindowAction::OpenPathDialog(PathKind::LayoutBeside));
        }
    });
    shown.response.on_hover_text("Another model's layout of the same samples, under the same zoom and lasso");
}

/// How the layout is looked at.
fn view_ui(ui: &mut Ui, state: &State, form: &mut LayoutForm, actions: &mut Actions) {
    let projection = &state.projection;
    if projection.scene().is_none() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label("Colour");
        ComboBox::from_id_salt("colour").selected_text(form.colour.label()).show_ui(ui, |ui| {
            for colour in ColourBy::ALL {
                ui.selectable_value(&mut form.colour, colour, colour.label());
            }
        });
        ui.label("Show");
        for (shown, (_, name)) in form.shown.iter_mut().zip(ROLES) {
            ui.toggle_value(shown, name);
        }
        let answered = |answered: Answered| match answered {
            Answered::Either => "Right and wrong",
            Answered::Right => "Answered right",
            Answered::Wrong => "Answered wrong",
        };
        ComboBox::from_id_salt("answered").selected_text(answered(form.answered)).show_ui(ui, |ui| {
            for which in [Answered::Either, Answered::Right, Answered::Wrong] {
                ui.selectable_value(&mut form.answered, which, answered(which));
            }
        });
        task_ui(ui, projection, form);
        latent_ui(ui, projection, form);
        let label = ui.label("Sample");
        let edit = TextEdit::singleline(&mut form.sample).hint_text("All").desired_width(90.0);
        ui.add(edit).labelled_by(label.id).on_hover_text("Part of the name of the samples that are shown");
        tools_ui(ui, projection, actions);
    });
    let layouts = projection.first().map_or(&[][..], |side| &side.layouts);
    if layouts.len() > 1 {
        let mut shown = projection.shown;
        let last = layouts.len() - 1;
        let name =
            |place: usize| layouts.get(place).map_or_else(String::new, |layout| layer_name(layout.layer));
        let slider =
            Slider::new(&mut shown, 0..=last).text("Layer").custom_formatter(move |v, _| name(v as usize));
        if ui.add(slider).changed() {
            actions.push(LayoutAction::ShowLayer(shown));
        }
    }
}

/// What drags do, and what can be done with the layout.
fn tools_ui(ui: &mut Ui, projection: &Projection, actions: &mut Actions) {
    for (tool, name, what) in [
        (Tool::Pan, "Move", "Drags move the layout; the wheel zooms, a double click shows all"),
        (Tool::Box, "Box", "Drags choose what is in a box"),
        (Tool::Lasso, "Lasso", "Drags choose what is inside a line"),
    ] {
        if ui.selectable_label(projection.tool == tool, name).on_hover_text(what).clicked() {
            actions.push(LayoutAction::SetTool(tool));
        }
    }
    if ui.button("Show all").clicked() {
        for side in 0..projection.sides.len() {
            actions.push(LayoutAction::SetView(side, None));
        }
    }
    for (name, kind) in [("Save picture…", PathKind::LayoutPicture), ("Save table…", PathKind::LayoutTable)]
    {
        if ui.button(name).on_hover_text("The points that are shown").clicked() {
            actions.push(WindowAction::OpenPathDialog(kind));
        }
    }
}

fn task_ui(ui: &mut Ui, projection: &Projection, form: &mut LayoutForm) {
    let Some(collected) = projection.first().map(|side| &side.collected) else { return };
    let name = |task: &str| if task.is_empty() { "All tasks".to_owned() } else { task.replace('_', " ") };
    ComboBox::from_id_salt("task").selected_text(name(&form.task)).show_ui(ui, |ui| {
        for task in std::iter::once(String::new()).chain(tasks(&collected.states)) {
            let label = name(&task);
            ui.selectable_value(&mut form.task, task, label);
        }
    });
}

fn latent_ui(ui: &mut Ui, projection: &Projection, form: &mut LayoutForm) {
    let latents = projection.scene().map_or(0, |scene| scene.num_latents);
    let name =
        |latent: Option<u32>| latent.map_or("All latents".to_owned(), |latent| format!("Latent {latent}"));
    ComboBox::from_id_salt("latent").selected_text(name(form.latent)).show_ui(ui, |ui| {
        for latent in std::iter::once(None).chain((0..latents).map(Some)) {
            ui.selectable_value(&mut form.latent, latent, name(latent));
        }
    });
}

/// The layout, and beside it what it shows.
fn body_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let room = ui.available_size();
    let beside = if room.x > 2.2 * BESIDE && state.projection.scene().is_some() { BESIDE } else { 0.0 };
    let height = room.y.max(160.0);
    ui.horizontal_top(|ui| {
        let width = (room.x - beside - GAP).max(120.0);
        ui.allocate_ui(vec2(width, height), |ui| sides_ui(ui, state, actions));
        if beside > 0.0 {
            ui.allocate_ui_with_layout(vec2(beside, height), Layout::top_down(Align::Min), |ui| {
                ui.set_width(beside);
                ScrollArea::vertical()
                    .auto_shrink([false, false])
                    .show(ui, |ui| beside_ui(ui, state, actions));
            });
        }
    });
}

/// One layout, or two: beside each other where there is width for it.
fn sides_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let count = state.projection.sides.len().max(1);
    let rect = Rect::from_min_size(ui.cursor().min, ui.available_size());
    let across = count as f32 * 220.0 < rect.width();
    for side in 0..count {
        let share = |from: f32, to: f32| {
            let each = (to - from - GAP * (count - 1) as f32) / count as f32;
            let first = from + side as f32 * (each + GAP);
            first..=first + each
        };
        let own = if across {
            Rect::from_x_y_ranges(share(rect.left(), rect.right()), rect.y_range())
        } else {
            Rect::from_x_y_ranges(rect.x_range(), share(rect.top(), rect.bottom()))
        };
        ui.scope_builder(UiBuilder::new().max_rect(own).id_salt(side), |ui| {
            scatter_ui(ui, state, side, actions);
        });
    }
}
