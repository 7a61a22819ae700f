//! Which model, which adapter, where it runs; how to change them.

use std::path::Path;

use egui::{Align, Layout, TextWrapMode, Ui};

use super::training::training_button_ui;
use super::workspace::layout_menu_ui;
use crate::app::actions::{Actions, JobAction, MapAction, ViewAction};
use crate::app::keyboard::{does, hint};
use crate::app::state::{PathKind, State};
use crate::app::theme;
use crate::engine::demo::DemoAdapter;
use crate::engine::protocol::{ModelInfo, Source};
use crate::units::human_bytes;

/// Draws the bar.
pub fn model_bar_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    // What is on the right has its room first; what the model is called is cut off where there is none left.
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            window_buttons_ui(ui, state, actions);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
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
        actions.push(ViewAction::ToggleHelp);
    }
    layout_menu_ui(ui, &state.kept.layout, actions);
    training_button_ui(ui, state, actions);
    if ui.button("States").on_hover_text(hint(ui.ctx(), does::MAP)).clicked() {
        actions.push(MapAction::Toggle);
    }
    let (label, next) = match state.kept.theme {
        egui::ThemePreference::Dark => ("Light theme", egui::ThemePreference::Light),
        _ => ("Dark theme", egui::ThemePreference::Dark),
    };
    if ui.button(label).clicked() {
        actions.push(ViewAction::SetTheme(next));
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
    if ui.button("Open model…").on_hover_text(hint(ui.ctx(), does::OPEN_MODEL)).clicked() {
        actions.push(ViewAction::OpenPathDialog(PathKind::Model));
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
    if ui.button("Open adapter…").on_hover_text(hint(ui.ctx(), does::OPEN_ADAPTER)).clicked() {
        actions.push(ViewAction::OpenPathDialog(PathKind::Adapter));
    }
    if ui.button("Take adapter off").clicked() {
        actions.push(JobAction::SetAdapter(None));
    }
    if state.models.chosen().is_some_and(|model| model.base.source == Source::Demo) {
        ui.separator();
        ui.weak("Of the built-in demo");
        for adapter in DemoAdapter::ALL {
            if ui.button(adapter.name()).clicked() {
                actions.push(JobAction::SetAdapter(Some(Source::DemoAdapter(adapter))));
            }
        }
    }
    recent_ui(ui, &state.kept.recent_adapters, |path| {
        actions.push(JobAction::SetAdapter(Some(Source::Folder(path.to_owned()))));
    });
}

fn info_ui(ui: &mut Ui, state: &State, info: &ModelInfo) {
    let place = info.id.base.source.path().map(|path| path.display().to_string());
    ui.strong(&info.name).on_hover_text(place.unwrap_or_else(|| "built into the program".to_owned()));
    ui.label(format!("{} · {} layers · {} heads", info.family, info.num_layers, info.num_heads));
    ui.separator();
    match &info.adapter {
        Some(adapter) => ui.label(adapter),
        None => ui.weak("no adapter"),
    };
    ui.label(match info.trained_latents {
        0 => "no latents".to_owned(),
        k => format!("K = {k} latents"),
    });
    ui.separator();
    let device = ui.label(format!("{} · {}", info.device, info.dtype));
    if let Some(advice) = &info.device_advice {
        device.on_hover_text(advice);
    }
    if info.quantised {
        let text = format!("{}: answers differ from the reference", info.dtype);
        ui.colored_label(theme::palette(ui.visuals()).warning, text).on_hover_text(
            "The linear layers are held in fewer bits than the checkpoint has. How far scores are off: \
             livr check --measure",
        );
    }
    ui.label(format!("{} on disk", human_bytes(info.weight_bytes as u64)));
    if state.ui.used_bytes > 0 {
        ui.label(format!("program uses {}", human_bytes(state.ui.used_bytes)))
            .on_hover_text("Memory of this program: models, runs, images");
    }
}

fn recent_ui(ui: &mut Ui, paths: &[std::path::PathBuf], mut open: impl FnMut(&Path)) {
    if paths.is_empty() {
        return;
    }
    ui.separator();
    ui.weak("Recent");
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ui.button(name).on_hover_text(path.display().to_string()).clicked() {
            open(path);
        }
    }
}
