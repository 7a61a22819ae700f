//! The models of this machine, in a window of their own: what each is, whether it fits, which adapters go on it.

use egui::{ProgressBar, ScrollArea, TextEdit, Ui, Window};

use crate::app::hub::actions::{Actions, JobAction, WindowAction};
use crate::app::hub::path_kind::PathKind;
use crate::app::hub::state::State;
use crate::app::kit::theme::{BELOW_THE_BAR, palette};
use crate::app::kit::widgets::name_widget;
use crate::engine::ids::{ModelId, Source};
use crate::engine::shelf::{ModelFacts, Shelf, ShelvedModel};
use crate::units::human_bytes;

/// Draws the window where it is open.
pub fn browser_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    if !state.ui.browser_open {
        return;
    }
    let mut open = true;
    let size = ui.ctx().content_rect().size();
    Window::new("Models")
        .open(&mut open)
        .default_pos(BELOW_THE_BAR)
        .default_size([560.0_f32.min(size.x - 40.0), 460.0_f32.min(size.y - 80.0)])
        .show(ui.ctx(), |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.label("Built in, used before, and in the Hugging Face cache.");
                if ui.button("Open another…").clicked() {
                    actions.push(WindowAction::OpenPathDialog(PathKind::Model));
                }
                if ui.button("Look again").clicked() {
                    actions.push(JobAction::LookForModels);
                }
            });
            download_ui(ui, state, actions);
            ui.separator();
            match &state.models.shelf {
                None => {
                    ui.weak("Looking…");
                }
                Some(shelf) => {
                    ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
                        shelf.models.iter().for_each(|model| model_ui(ui, state, shelf, model, actions));
                    });
                }
            }
        });
    if !open {
        actions.push(WindowAction::ToggleBrowser);
    }
}

/// A repository by its name.
fn download_ui(ui: &mut Ui, state: &State, actions: &mut Actions) {
    ui.horizontal(|ui| {
        if let Some(download) = &state.models.download {
            let bar = ProgressBar::new(download.share).desired_width(220.0);
            ui.add(bar.text(format!("{} {:.0} %", download.repository, 100.0 * download.share)));
            if ui.button("Stop the download").clicked() {
                actions.push(JobAction::StopDownload);
            }
            return;
        }
        let label = ui.label("From the Hub");
        let mut name = state.models.repository.clone();
        let edit =
            TextEdit::singleline(&mut name).hint_text("Qwen/Qwen2.5-VL-3B-Instruct").desired_width(230.0);
        let edit = ui.add(edit).labelled_by(label.id);
        if edit.changed() {
            actions.push(JobAction::EditRepository(name.clone()));
        }
        let enter = edit.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let download = ui.add_enabled(!name.trim().is_empty(), egui::Button::new("Download"));
        if download.on_hover_text("Into the cache that Hugging Face's programs share").clicked() || enter {
            actions.push(JobAction::Download);
        }
    });
}

fn model_ui(ui: &mut Ui, state: &State, shelf: &Shelf, model: &ShelvedModel, actions: &mut Actions) {
    let place = model.source.path().map(|path| path.display().to_string());
    let place = place.unwrap_or_else(|| "built into the program".to_owned());
    ui.horizontal_wrapped(|ui| {
        ui.strong(&model.name).on_hover_text(place);
        match &model.facts {
            Err(problem) => {
                ui.colored_label(palette(ui.visuals()).warning, problem);
            }
            Ok(facts) => facts_ui(ui, state, shelf, model, facts, actions),
        }
    });
    ui.separator();
}

fn facts_ui(
    ui: &mut Ui,
    state: &State,
    shelf: &Shelf,
    model: &ShelvedModel,
    facts: &ModelFacts,
    actions: &mut Actions,
) {
    ui.label(format!("{} · {} on disk", facts.family, human_bytes(facts.disk)));
    let need = format!("needs {} as {}", human_bytes(facts.need), facts.dtype);
    match shelf.free {
        Some(free) if free < facts.need => {
            let text = format!("{need}, {} are free", human_bytes(free));
            ui.colored_label(palette(ui.visuals()).warning, text);
        }
        Some(free) => {
            ui.label(need).on_hover_text(format!("{} are free", human_bytes(free)));
        }
        None => {
            ui.label(need);
        }
    }
    ui.end_row();
    let mut open_ui = |ui: &mut Ui, name: &str, adapter: Option<&Source>| {
        let is_in_use = |id: &ModelId| id.base.source == model.source && id.adapter.as_ref() == adapter;
        let chosen = state.models.chosen().is_some_and(is_in_use);
        let response = ui.selectable_label(chosen, name);
        name_widget(ui, &response, egui::Role::Button, Some(chosen), || {
            format!("Open {}, {name}", model.name)
        });
        if response.clicked() {
            actions.push(JobAction::OpenModel { base: model.source.clone(), adapter: adapter.cloned() });
        }
    };
    open_ui(ui, "without adapter", None);
    for (name, adapter) in &facts.adapters {
        open_ui(ui, &format!("with {name}"), Some(adapter));
    }
}
