//! The window as eframe runs it, and the way it starts.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{CentralPanel, Panel, ScrollArea};

use super::files::Files;
use super::panels::latent_strip::STRIP_HEIGHT;
use super::panels::{
    answer, help, images, latent_strip, matrix, model_bar, notices, path_dialog, question, status,
    view_options,
};
use super::state::{Pending, Persisted, State};
use super::theme::{self, SECTION_GAP, SIDE_WIDTH};
use super::update::Controller;
use super::{actions::Action, keyboard};
use crate::checkpoint::folder::Folder;
use crate::data::picture::Picture;
use crate::device::{DeviceChoice, DtypeChoice};
use crate::engine::worker::Engine;
use crate::render::overlay::OverlayRenderer;

/// Where eframe keeps [`Persisted`].
pub const STORAGE_KEY: &str = "livr-explorer";

/// How the window begins, as far as the command line says.
pub struct Startup {
    /// The checkpoint.
    pub model: Folder,
    /// Its adapter.
    pub adapter: Option<Folder>,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Its element type.
    pub dtype: DtypeChoice,
    /// Images in the canvas.
    pub images: Vec<Arc<Picture>>,
    /// Ask as soon as the model is there.
    pub ask: bool,
    /// Changes to what is kept between starts.
    pub adjust: Box<dyn FnOnce(&mut State)>,
}

/// The window.
pub struct LivrApp {
    /// State and what can act.
    pub controller: Controller,
}

impl LivrApp {
    /// Starts the engine, takes up what was kept, loads the first model.
    pub fn new(cc: &eframe::CreationContext<'_>, startup: Startup) -> Self {
        let persisted: Persisted =
            cc.storage.and_then(|storage| eframe::get_value(storage, STORAGE_KEY)).unwrap_or_default();
        theme::install(&cc.egui_ctx);
        if let Some(render) = &cc.wgpu_render_state {
            let renderer = OverlayRenderer::new(&render.device, render.target_format);
            render.renderer.write().callback_resources.insert(renderer);
        }
        let (wake_engine, wake_files) = (cc.egui_ctx.clone(), cc.egui_ctx.clone());
        let mut controller = Controller {
            state: State::new(persisted),
            engine: Engine::start(move || wake_engine.request_repaint()),
            files: Files::new(move || wake_files.request_repaint()),
            device: startup.device,
            dtype: startup.dtype,
            loading: None,
        };
        for picture in startup.images {
            controller.add_image(picture);
        }
        controller.state.removed_images.clear();
        controller.state.ask_when_ready = startup.ask;
        (startup.adjust)(&mut controller.state);
        cc.egui_ctx.set_theme(controller.state.persisted.theme);
        controller.load(startup.model, startup.adapter);
        Self { controller }
    }

    /// True when nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        let state = &self.controller.state;
        !self.controller.engine.is_busy()
            && !state.model.is_waiting()
            && !state.trace.is_waiting()
            && !state.ask_when_ready
    }

    fn take_input(&mut self, ctx: &egui::Context) {
        let (dropped, pasted) = ctx.input(|input| {
            let dropped: Vec<PathBuf> =
                input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect();
            let pasted: Vec<_> = input
                .events
                .iter()
                .filter_map(|event| match event {
                    egui::Event::PasteImage(image) => Some(image.clone()),
                    _ => None,
                })
                .collect();
            (dropped, pasted)
        });
        if !dropped.is_empty() {
            self.controller.take_dropped(dropped);
        }
        for image in pasted {
            self.controller.add_image(Arc::new(picture_from_clipboard(&image)));
        }
    }
}

fn picture_from_clipboard(image: &egui::ColorImage) -> Picture {
    let [width, height] = image.size;
    // egui's colours are premultiplied: what is missing to opaque is white, as for files.
    let on_white = |p: &egui::Color32| [p.r(), p.g(), p.b()].map(|c| c.saturating_add(255 - p.a()));
    let samples = image.pixels.iter().flat_map(on_white).collect();
    let pixels =
        image::RgbImage::from_raw(width as u32, height as u32, samples).expect("three samples a pixel");
    Picture { name: "pasted".to_owned(), path: None, pixels }
}

impl eframe::App for LivrApp {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        // Here rather than in ui: it also runs while the window is hidden.
        self.controller.drain();
        self.take_input(ctx);
        self.controller.refresh_maps();
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let mut actions = keyboard::actions(ui.ctx(), &self.controller.state);
        draw(ui, &self.controller.state, &mut actions);
        self.controller.state.focus_question = false;
        for action in actions {
            self.controller.apply(action, ui.ctx());
            ui.ctx().request_repaint();
        }
        self.controller.refresh_maps();
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        eframe::set_value(storage, STORAGE_KEY, &self.controller.state.persisted);
    }
}

/// Draws the whole window.
fn draw(ui: &mut egui::Ui, state: &State, actions: &mut Vec<Action>) {
    Panel::top("model bar").show(ui, |ui| {
        ui.add_space(2.0);
        model_bar::model_bar_ui(ui, state, actions);
        ui.add_space(2.0);
    });
    if !state.notices.is_empty() {
        Panel::top("notices").show(ui, |ui| notices::notices_ui(ui, state, actions));
    }
    Panel::bottom("status").show(ui, |ui| status::status_ui(ui, state, actions));
    Panel::right("side").default_size(SIDE_WIDTH).size_range(SIDE_WIDTH..=560.0).show(ui, |ui| {
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            question::question_ui(ui, state, actions);
            ui.add_space(SECTION_GAP);
            answer::answer_ui(ui, state, actions);
            ui.add_space(SECTION_GAP);
            view_options::view_options_ui(ui, state, actions);
            ui.add_space(SECTION_GAP);
            matrix::matrix_ui(ui, state, actions);
        });
    });
    Panel::bottom("latents")
        .default_size(STRIP_HEIGHT)
        .size_range(90.0..=420.0)
        .resizable(true)
        .show(ui, |ui| latent_strip::latent_strip_ui(ui, state, actions));
    CentralPanel::default().show(ui, |ui| {
        images::image_bar_ui(ui, state, actions);
        images::canvas_ui(ui, state, actions);
    });
    path_dialog::path_dialog_ui(ui, state, actions);
    help::help_ui(ui, state, actions);
}

/// Opens the window and stays until it is closed.
pub fn open(startup: Startup) -> Result<(), eframe::Error> {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("LIVR Explorer")
            .with_app_id("livr-explorer")
            .with_inner_size([1360.0, 860.0])
            .with_min_inner_size([820.0, 520.0])
            .with_drag_and_drop(true),
        renderer: eframe::Renderer::Wgpu,
        ..eframe::NativeOptions::default()
    };
    eframe::run_native("livr-explorer", options, Box::new(|cc| Ok(Box::new(LivrApp::new(cc, startup)))))
}

/// Says whether the model in use could be loaded at all.
pub fn load_problem(state: &State) -> Option<&str> {
    match &state.model {
        Pending::Failed { problem, previous: None } => Some(problem),
        _ => None,
    }
}
