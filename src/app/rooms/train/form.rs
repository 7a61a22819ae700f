//! What is trained on what: a form with the paper's values in place, or a recipe's file; and the folder it goes into.

use egui::{ComboBox, DragValue, TextEdit, Ui};

use crate::app::hub::actions::{Actions, TrainAction};
use crate::app::hub::state::{PathKind, State};
use crate::app::parts::training::{RecipeForm, TrainStatus};
use crate::data::tasks::Task;
use crate::engine::ids::Source;
use crate::train::{EXAMPLE, Variant};

/// Draws it.
pub fn form_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let (training, kept) = (&state.training, &state.kept.training);
    let mut form = kept.form.clone();
    ui.add_enabled_ui(!training.is_running(), |ui| {
        ui.add_enabled_ui(!training.resume, |ui| {
            ui.horizontal(|ui| {
                ui.selectable_value(&mut form.by_file, false, "By a form");
                ui.selectable_value(&mut form.by_file, true, "By a recipe's file");
            });
            if !form.by_file {
                recipe_ui(ui, state, &mut form);
            }
        });
        if form.by_file {
            let recipe = Field { label: "Recipe", hint: "TOML file", kind: PathKind::Recipe };
            recipe.ui(ui, !training.resume, &kept.recipe, actions, TrainAction::EditRecipe);
        }
        let hint = "New folder for the run and its result";
        let folder = Field { label: "Folder", hint, kind: PathKind::RunFolder };
        folder.ui(ui, true, &kept.folder, actions, TrainAction::EditFolder);
    });
    if form != kept.form {
        actions.push(TrainAction::EditForm(Box::new(form)));
    }
    buttons_ui(ui, state, actions);
    if training.begun.is_none() && !training.is_running() && training.problem.is_none() {
        let made = "The recipe, and data that are made, are written beside the folder. ";
        let made = if kept.form.by_file { "" } else { made };
        ui.weak(format!("{made}You can go on asking while it trains: the model in use stays as it is."));
    }
}

fn buttons_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let (training, kept) = (&state.training, &state.kept.training);
    ui.horizontal_wrapped(|ui| {
        if training.is_running() {
            let stop =
                ui.add_enabled(training.under != TrainStatus::Stopping, egui::Button::new("Stop training"));
            if stop.on_hover_text("Saves the state: the run can be gone on with").clicked() {
                actions.push(TrainAction::Stop);
            }
            return;
        }
        let has_recipe = training.resume || !kept.form.by_file || !kept.recipe.trim().is_empty();
        let label = if training.resume { "Resume training" } else { "Start training" };
        let start = ui.add_enabled(has_recipe && !kept.folder.trim().is_empty(), egui::Button::new(label));
        if start.on_disabled_hover_text("Name a folder for the run first").clicked() {
            actions.push(TrainAction::Start);
        }
        let mut resume = training.resume;
        if ui.checkbox(&mut resume, "Go on with the run in the folder").changed() {
            actions.push(TrainAction::SetResume(resume));
        }
        if kept.form.by_file {
            let copy = ui.button("Copy an example recipe");
            if copy.on_hover_text("Paste it into a file, and name your data there").clicked() {
                ui.ctx().copy_text(EXAMPLE.to_owned());
            }
        }
    });
}

/// The recipe, value by value.
fn recipe_ui(ui: &mut Ui, state: &State, form: &mut RecipeForm) {
    let base = state.models.chosen().map_or(Source::Demo, |model| model.base.source.clone());
    ui.horizontal_wrapped(|ui| {
        ui.label(format!("{}, trained as", base.name()));
        let combo = ComboBox::from_id_salt("variant").selected_text(form.variant.label());
        let combo = combo.show_ui(ui, |ui| {
            for variant in Variant::ALL {
                ui.selectable_value(&mut form.variant, variant, variant.label())
                    .on_hover_text(variant.explanation());
            }
        });
        let explained = form.variant.explanation();
        combo
            .response
            .on_hover_text(explained)
            .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Way to train"));
    });
    data_ui(ui, form);
    ui.horizontal_wrapped(|ui| {
        let two = matches!(form.variant, Variant::Livr | Variant::MaskOnly);
        let mut number = |name: &str, value: &mut usize, range: std::ops::RangeInclusive<usize>| {
            let label = ui.label(name);
            ui.add(DragValue::new(value).range(range)).labelled_by(label.id);
        };
        if two {
            number("Passes behind the mask", &mut form.epochs[0], 0..=1000);
            number("without it", &mut form.epochs[1], 1..=1000);
        } else {
            let mut all = form.epochs.iter().sum();
            number("Passes", &mut all, 1..=2000);
            form.epochs = [0, all];
        }
        if form.variant.has_latents() {
            number("Latents", &mut form.latents, 1..=64);
        }
        number("Rank of the updates", &mut form.rank, 1..=1024);
    });
    ui.horizontal_wrapped(|ui| {
        let label = ui.label("Highest rate");
        let rate = DragValue::new(&mut form.rate).range(1e-7..=1.0).speed(1e-6);
        let rate = rate.custom_formatter(|value, _| format!("{value:.1e}"));
        ui.add(rate).labelled_by(label.id);
        let label = ui.label("Seed");
        ui.add(DragValue::new(&mut form.seed)).labelled_by(label.id);
        if ui.button("As in the paper").on_hover_text("Every value but data and seed").clicked() {
            let RecipeForm { epochs, rate, rank, latents, .. } = RecipeForm::default();
            *form = RecipeForm { epochs, rate, rank, latents, ..form.clone() };
        }
    });
}

/// Data made on the spot, or files.
fn data_ui(ui: &mut Ui, form: &mut RecipeForm) {
    ui.horizontal_wrapped(|ui| {
        let label = ui.label("Data");
        let edit =
            TextEdit::singleline(&mut form.data[0]).hint_text("Made of drawn scenes").desired_width(200.0);
        let hint =
            "A data file for training: LIVR's JSONL, BLINK's parquet, Mirage's or LVR's; empty makes samples";
        ui.add(edit).labelled_by(label.id).on_hover_text(hint);
        if form.data[0].trim().is_empty() {
            let name = |task: &str| {
                if task.is_empty() { "all nine tasks".to_owned() } else { task.replace('_', " ") }
            };
            let combo = ComboBox::from_id_salt("task").selected_text(name(&form.task));
            combo.show_ui(ui, |ui| {
                for task in std::iter::once("").chain(Task::ALL.iter().map(|task| task.name())) {
                    ui.selectable_value(&mut form.task, task.to_owned(), name(task));
                }
            });
            ui.add(DragValue::new(&mut form.samples).range(10..=1_000_000).suffix(" samples each"))
                .on_hover_text("A tenth each is for validation and test");
        } else {
            let label = ui.label("validation");
            let edit = TextEdit::singleline(&mut form.data[1]).hint_text("None").desired_width(160.0);
            ui.add(edit).labelled_by(label.id);
        }
    });
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
