//! Which model, which adapter, where it runs; how to change them.

use std::path::Path;

use egui::Ui;

use crate::app::actions::Action;
use crate::app::state::{PathKind, Pending, State};
use crate::device::human_bytes;

/// Draws the bar.
pub fn model_bar_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal_wrapped(|ui| {
        ui.menu_button("Model", |ui| {
            if ui.button("Open model…").clicked() {
                actions.push(Action::OpenPathDialog(PathKind::Model));
            }
            if ui.button("Built-in demo").clicked() {
                actions.push(Action::LoadDemo);
            }
            recent_ui(ui, &state.persisted.recent_models, |path| {
                actions.push(Action::LoadModel(path.to_owned()));
            });
        });
        ui.menu_button("Adapter", |ui| {
            if ui.button("Open adapter…").clicked() {
                actions.push(Action::OpenPathDialog(PathKind::Adapter));
            }
            if ui.button("Take adapter off").clicked() {
                actions.push(Action::SetAdapter(None));
            }
            recent_ui(ui, &state.persisted.recent_adapters, |path| {
                actions.push(Action::SetAdapter(Some(path.to_owned())));
            });
        });
        ui.separator();
        match (&state.model, state.model.latest()) {
            (_, Some(info)) => {
                ui.strong(&info.name).on_hover_text(info.path.display().to_string());
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
                ui.label(format!("weights {}", human_bytes(info.weight_bytes as u64)));
                if state.used_bytes > 0 {
                    ui.label(format!("holds {}", human_bytes(state.used_bytes)))
                        .on_hover_text("Memory of this program");
                }
            }
            (Pending::Failed { problem, .. }, None) => {
                ui.label(problem);
            }
            (Pending::Waiting { .. }, None) => {
                ui.weak("Loading the model…");
            }
            (_, None) => {
                ui.weak("No model: open a checkpoint folder, or drop one here");
            }
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button("Keys").on_hover_text("F1").clicked() {
                actions.push(Action::ToggleHelp);
            }
            let (label, next) = match state.persisted.theme {
                egui::ThemePreference::Dark => ("Light theme", egui::ThemePreference::Light),
                _ => ("Dark theme", egui::ThemePreference::Dark),
            };
            if ui.button(label).clicked() {
                actions.push(Action::SetTheme(next));
            }
        });
    });
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
