//! Which model, which adapter, where it runs; how to change them.

use std::path::Path;

use egui::{Align, Layout, TextWrapMode, Ui};

use super::file_menu::file_menu_ui;
use super::workspace::layout_menu_ui;
use crate::app::hub::actions::{Actions, JobAction, LayoutAction, WindowAction};
use crate::app::hub::keyboard::{does, hint};
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::State;
use crate::app::kit::theme;
use crate::app::rooms::train::panel::training_button_ui;
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::Source;
use crate::engine::model_info::ModelInfo;
use crate::units::human_bytes;

/// Draws the bar.
pub fn model_bar_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    // What is on the right has its room first; what the model is called is cut off where there is none left.
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            window_buttons_ui(ui, state, actions);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                file_menu_ui(ui, state, actions);
                ui.menu_button("Model", |ui| model_menu_ui(ui, state, actions));
                ui.menu_button("Adapter", |ui| adapter_menu_ui(ui, state, actions));
                ui.separator();
                ui.style_mut().wrap_mode = Some(TextWrapMode::Truncate);
                model_ui(ui, state);
            });
        });
    });
}

fn window_buttons_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if ui.button("Keys").on_hover_text(hint(ui.ctx(), does::KEYS)).clicked() {
        actions.push(WindowAction::ToggleHelp);
    }
    layout_menu_ui(ui, &state.kept.layout, actions);
    training_button_ui(ui, state, actions);
    let states = format!("{}: {}", hint(ui.ctx(), does::STATES), does::STATES);
    if ui.button("States").on_hover_text(states).clicked() {
        actions.push(LayoutAction::Toggle);
    }
    let (label, next) = match state.kept.theme {
        egui::ThemePreference::Dark => ("Light theme", egui::ThemePreference::Light),
        _ => ("Dark theme", egui::ThemePreference::Dark),
    };
    if ui.button(label).clicked() {
        actions.push(WindowAction::SetTheme(next));
    }
}

fn model_ui(ui: &mut Ui, state: &State) {
    match (&state.models.in_use, &state.models.opening, &state.models.problem) {
        (Some(info), ..) => info_ui(ui, state, info),
        (None, Some(_), _) => {
            ui.weak("Loading the model…");
        }
        (None, None, Some(problem)) => {
            ui.label(problem).on_hover_text(problem);
        }
        (None, None, None) => {
            ui.weak("No model: open a checkpoint folder, or drop one here");
        }
    }
}

fn model_menu_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let open = egui::Button::new("Open model…").shortcut_text(hint(ui.ctx(), does::OPEN_MODEL));
    if ui.add(open).clicked() {
        actions.push(WindowAction::OpenPathDialog(PathKind::Model));
    }
    let browse = egui::Button::new("Browse models…").shortcut_text(hint(ui.ctx(), does::BROWSE));
    if ui.add(browse).clicked() {
        actions.push(WindowAction::ToggleBrowser);
        ui.close();
    }
    if ui.button("Built-in demo").clicked() {
        actions.push(JobAction::OpenModel {
            base: Source::Demo,
            adapter: Some(Source::DemoAdapter(DemoAdapter::Livr)),
        });
    }
    recent_ui(ui, &state.kept.recent_models, |path| {
        actions.push(JobAction::OpenModel { base: Source::Folder(path.to_owned()), adapter: None });
    });
}

fn adapter_menu_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    let open = egui::Button::new("Open adapter…").shortcut_text(hint(ui.ctx(), does::OPEN_ADAPTER));
    if ui.add(open).clicked() {
        actions.push(WindowAction::OpenPathDialog(PathKind::Adapter));
    }
    if ui.button("Take adapter off").clicked() {
        actions.push(JobAction::SetAdapter(None));
    }
    if state.models.chosen().is_some_and(|model| model.base.source == Source::Demo) {
        ui.separator();
        ui.weak("Of the built-in demo");
        for adapter in DemoAdapter::ALL {
            let source = Some(Source::DemoAdapter(adapter));
            let is_on = state.models.chosen().is_some_and(|model| model.adapter == source);
            if ui.selectable_label(is_on, adapter.name()).clicked() {
                actions.push(JobAction::SetAdapter(source));
                ui.close();
            }
        }
    }
    recent_ui(ui, &state.kept.recent_adapters, |path| {
        actions.push(JobAction::SetAdapter(Some(Source::Folder(path.to_owned()))));
    });
}

/// Room below which nothing more is said of the model: what is cut off to a dot says nothing.
const LEAST_ROOM: f32 = 60.0;

fn info_ui(ui: &mut Ui, state: &State, info: &ModelInfo) {
    let place = info.id.base.source.path().map(|path| path.display().to_string());
    let place = place.unwrap_or_else(|| "built into the program".to_owned());
    let used = match state.ui.used_bytes {
        0 => String::new(),
        bytes => format!("\nThe program uses {}: models, runs, images", human_bytes(bytes)),
    };
    ui.strong(&info.name)
        .on_hover_text(format!("{place}\n{} on disk{used}", human_bytes(info.weight_bytes as u64)));
    let warning = theme::palette(ui.visuals()).warning;
    let adapter = info.adapter.as_ref().map_or_else(|| "no adapter".to_owned(), Clone::clone);
    let latents = match info.trained_latents {
        0 => "no latents".to_owned(),
        k => format!("K = {k} latents"),
    };
    let quantised = info.quantised.then(|| format!("{}: answers differ from the reference", info.dtype));
    let facts = [
        (Some(adapter), "Its adapter", None),
        (Some(latents), "Latent tokens it was trained with", None),
        (quantised, QUANTISED, Some(warning)),
        (Some(format!("{} · {} layers · {} heads", info.family, info.num_layers, info.num_heads)), "", None),
        (
            Some(format!("{} · {}", info.device, info.dtype)),
            info.device_advice.as_deref().unwrap_or(""),
            None,
        ),
    ];
    for (fact, hint, colour) in facts {
        let Some(fact) = fact else { continue };
        if ui.available_width() < LEAST_ROOM {
            return;
        }
        ui.separator();
        let text = egui::RichText::new(fact);
        let label = ui.label(colour.map_or(text.clone(), |colour| text.color(colour)));
        if !hint.is_empty() {
            label.on_hover_text(hint);
        }
    }
}

const QUANTISED: &str = "The linear layers are held in fewer bits than the checkpoint has. How far scores are off: \
                         livr check --measure";

fn recent_ui(ui: &mut Ui, paths: &[std::path::PathBuf], mut open: impl FnMut(&Path)) {
    if paths.is_empty() {
        return;
    }
    ui.separator();
    ui.weak("Recent");
    for path in paths {
        if ui.button(Source::folder(path).name()).on_hover_text(path.display().to_string()).clicked() {
            open(path);
        }
    }
}
