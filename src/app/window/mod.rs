//! The window as eframe runs it, and the way it starts.

pub mod chrome;
pub mod events;
pub mod file_menu;
pub mod first_words;
pub mod handle;
pub mod help;
pub mod jobs;
pub mod model_bar;
pub mod news;
pub mod notices;
#[cfg(feature = "offscreen")]
pub mod offscreen;
pub mod palette;
pub mod path_dialog;
pub mod status;
pub mod workspace;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{CentralPanel, Frame, Margin, Panel};

use crate::app::hub::actions::{Action, Actions, FileAction, ImagesAction, JobAction};
use crate::app::hub::controller::Controller;
use crate::app::hub::keyboard;
use crate::app::hub::preferences::Preferences;
use crate::app::hub::state::State;
use crate::app::kit::theme;
use crate::app::rooms::models::browser;
use crate::app::rooms::samples;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::data::picture::Picture;
use crate::engine::Engine;
use crate::engine::desk::Desk;
use crate::engine::shelf::HubCache;
use crate::render::fill::{FillRenderer, fill};
use crate::render::overlay::OverlayRenderer;
use crate::render::points::PointsRenderer;
use crate::render::still::{Stills, still_rows};

/// Seconds between two looks at the clock while a question is being answered.
const CLOCK: f64 = 0.2;

/// The name eframe and the system know the program by.
const APP_ID: &str = "livr-explorer";

/// Makes the engine; it is handed what to call after each piece of news.
pub type MakeEngine = Box<dyn FnOnce(Box<dyn Fn() + Send + Sync>) -> Box<dyn Engine>>;

/// How the window begins.
pub struct Startup {
    /// Where models run.
    pub device: DeviceChoice,
    /// Their element type.
    pub dtype: DtypeChoice,
    /// Where [`Preferences`] lies; nothing is read or written without it.
    pub kept_in: Option<PathBuf>,
    /// What does the work.
    pub engine: MakeEngine,
    /// What is asked of the window first, in order.
    pub actions: Vec<Action>,
}

impl Startup {
    /// A window with an engine of its own that remembers nothing.
    pub fn new(device: DeviceChoice, dtype: DtypeChoice, actions: Vec<Action>) -> Self {
        let engine = |wake| -> Box<dyn Engine> { Box::new(Desk::start(wake)) };
        Self { device, dtype, kept_in: None, engine: Box::new(engine), actions }
    }

    /// The same, remembering where programs of this system do.
    #[must_use]
    pub fn remembering(self) -> Self {
        Self { kept_in: eframe::storage_dir(APP_ID).map(|dir| dir.join("kept.json")), ..self }
    }
}

/// The window.
pub struct LivrApp {
    /// State and what can act.
    pub controller: Controller,
    kept_in: Option<PathBuf>,
    written: Preferences,
    title: String,
    /// Parts that stand still; none without a graphics device.
    stills: Option<Stills>,
    /// No size was kept: the screen says how large it is.
    to_be_sized: bool,
}

impl LivrApp {
    /// Starts the engine, takes up what was kept, does what is asked first.
    pub fn new(cc: &eframe::CreationContext<'_>, startup: Startup) -> Self {
        theme::install(&cc.egui_ctx);
        if let Some(render) = &cc.wgpu_render_state {
            let renderer = OverlayRenderer::new(&render.device, render.target_format);
            let points = PointsRenderer::new(&render.device, render.target_format);
            let resources = &mut render.renderer.write().callback_resources;
            resources.insert(FillRenderer::new(&render.device, render.target_format));
            resources.insert(renderer);
            resources.insert(points);
        }
        let stills = cc.wgpu_render_state.as_ref().map(|render| Stills::install(&cc.egui_ctx, render));
        let kept = startup.kept_in.as_deref().map(Preferences::read).unwrap_or_default();
        cc.egui_ctx.set_theme(kept.theme);
        let ctx = cc.egui_ctx.clone();
        let wake = move || ctx.request_repaint();
        let engine = (startup.engine)(Box::new(wake.clone()));
        let written = kept.clone();
        let states_in = startup.kept_in.as_deref().and_then(Path::parent).map(|dir| dir.join("states"));
        let mut controller = Controller::new(kept, engine, startup.device, startup.dtype, states_in, wake);
        controller.hub_cache = startup.kept_in.as_ref().and_then(|_| HubCache::of_user());
        controller.begin(startup.actions, &cc.egui_ctx);
        controller.state.ui.can_reopen = controller.last_session().is_some();
        let to_be_sized = cc.storage.is_some_and(|storage| storage.get_string("window").is_none());
        Self { controller, kept_in: startup.kept_in, written, title: String::new(), stills, to_be_sized }
    }

    /// True when nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        self.controller.is_settled()
    }

    /// What the window knows.
    pub fn state(&self) -> &State {
        &self.controller.state
    }

    fn take_input(&mut self, ctx: &egui::Context) {
        let (dropped, pasted) = ctx.input(|input| {
            let dropped: Vec<PathBuf> =
                input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect();
            let pasted: Vec<Arc<Picture>> = input
                .events
                .iter()
                .filter_map(|event| match event {
                    egui::Event::PasteImage(image) => Some(Arc::new(picture_from_clipboard(image))),
                    _ => None,
                })
                .collect();
            (dropped, pasted)
        });
        self.controller.state.ui.peeks =
            !ctx.text_edit_focused() && ctx.input(|input| input.key_down(keyboard::PEEK));
        if !dropped.is_empty() {
            self.controller.apply(JobAction::TakePaths(dropped), ctx);
        }
        // Where no text is being edited a pasted text can only be meant as a path.
        let text = ctx.input(|input| {
            input.events.iter().find_map(|event| match event {
                egui::Event::Paste(text) => Some(text.clone()),
                _ => None,
            })
        });
        if let Some(text) = text.filter(|_| !ctx.text_edit_focused()) {
            self.controller.apply(FileAction::TakeText(text), ctx);
        }
        if !pasted.is_empty() {
            self.controller.apply(ImagesAction::Take(pasted), ctx);
        }
    }

    /// At the first start: most of a large screen, all of a small one that a title bar leaves.
    fn size_window(&mut self, ctx: &egui::Context) {
        let Some(screen) = ctx.input(|input| input.viewport().monitor_size).filter(|_| self.to_be_sized)
        else {
            return;
        };
        self.to_be_sized = false;
        let share = egui::vec2(0.9 * screen.x, 0.88 * screen.y);
        let size = share.clamp(egui::vec2(LEAST[0], LEAST[1]), egui::vec2(2200.0, 1400.0));
        ctx.send_viewport_cmd(egui::ViewportCommand::InnerSize(size));
    }

    /// The window is called by model and adapter, and by its session.
    fn set_title(&mut self, ctx: &egui::Context) {
        let title = title(&self.controller.state);
        if title != self.title {
            ctx.send_viewport_cmd(egui::ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }

    fn write_kept(&mut self) {
        let kept = &self.controller.state.kept;
        let Some(path) = self.kept_in.as_deref().filter(|_| *kept != self.written) else { return };
        match kept.write(path) {
            Ok(()) => self.written = kept.clone(),
            Err(problem) => log::warn!("settings are not kept: {problem}"),
        }
    }
}

const NAME: &str = "LIVR Explorer";

/// Smaller the window does not get.
const LEAST: [f32; 2] = [820.0, 520.0];

fn title(state: &State) -> String {
    let session = state.ui.session.as_deref().and_then(Path::file_stem);
    let session = session.map(|name| name.to_string_lossy().into_owned());
    let model = state.models.in_use.as_ref().map(|info| match &info.adapter {
        Some(adapter) => format!("{} + {adapter}", info.name),
        None => info.name.clone(),
    });
    session.into_iter().chain(model).chain([NAME.to_owned()]).collect::<Vec<_>>().join(" – ")
}

fn picture_from_clipboard(image: &egui::ColorImage) -> Picture {
    let [width, height] = image.size;
    // egui's colours are premultiplied: what is missing to opaque is white, as for files.
    let on_white = |p: &egui::Color32| [p.r(), p.g(), p.b()].map(|c| c.saturating_add(255 - p.a()));
    let samples = image.pixels.iter().flat_map(on_white).collect();
    let pixels =
        image::RgbImage::from_raw(width as u32, height as u32, samples).expect("three samples a pixel");
    Picture::new("pasted", pixels)
}

impl eframe::App for LivrApp {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        // Here rather than in ui: it also runs while the window is hidden.
        self.controller.drain();
        self.size_window(ctx);
        self.take_input(ctx);
        let now = ctx.input(|input| input.time);
        let waits =
            [self.controller.tick(now, ctx), self.controller.state.runs.asked.as_ref().map(|_| CLOCK)];
        if let Some(least) = waits.into_iter().flatten().reduce(f64::min) {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(least));
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let mut actions = Actions::default();
        for action in keyboard::actions(ui.ctx(), &self.controller.state) {
            actions.push(action);
        }
        draw(ui, &self.controller.state, &mut actions);
        if let Some(stills) = &self.stills {
            stills.finish(ui.ctx());
        }
        for action in actions {
            self.controller.apply(action, ui.ctx());
            ui.ctx().request_repaint();
        }
        self.controller.refresh();
        self.set_title(ui.ctx());
    }

    /// Now and then, and before the window closes.
    fn save(&mut self, _storage: &mut dyn eframe::Storage) {
        self.write_kept();
        self.controller.keep_session();
    }

    fn on_exit(&mut self) {
        self.write_kept();
        self.controller.close();
    }
}

/// Draws the whole window.
fn draw(ui: &mut egui::Ui, state: &State, actions: &mut Actions) {
    // Of one colour in all, so that panels need no ground of their own.
    fill(ui.painter(), ui.ctx().content_rect(), ui.visuals().panel_fill);
    let bar = Frame::NONE.inner_margin(Margin::symmetric(8, 2));
    Panel::top("model bar").frame(bar).show(ui, |ui| {
        ui.add_space(2.0);
        still_rows(ui, "model bar", |ui| model_bar::model_bar_ui(ui, state, actions));
        ui.add_space(2.0);
    });
    Panel::bottom("status").frame(bar).show(ui, |ui| status::status_ui(ui, state, actions));
    notices::notices_ui(ui, state, actions);
    first_words::first_words_ui(ui, state, actions);
    CentralPanel::default().frame(Frame::NONE).show(ui, |ui| workspace::workspace_ui(ui, state, actions));
    path_dialog::path_dialog_ui(ui, state, actions);
    samples::panel::gallery_ui(ui, state, actions);
    browser::browser_ui(ui, state, actions);
    help::help_ui(ui, state, actions);
    palette::palette_ui(ui, state, actions);
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// No display, or no graphics device to draw with.
pub fn open(startup: Startup) -> Result<(), eframe::Error> {
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title(NAME)
            .with_app_id(APP_ID)
            .with_inner_size([1360.0, 860.0])
            .with_min_inner_size(LEAST)
            .with_drag_and_drop(true),
        renderer: eframe::Renderer::Wgpu,
        // Nothing here is a gradient of egui's; on a software driver it costs every pixel.
        dithering: false,
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(APP_ID, options, Box::new(|cc| Ok(Box::new(LivrApp::new(cc, startup)))))
}
