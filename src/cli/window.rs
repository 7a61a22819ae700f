//! The window from the command line: on the screen, or as a picture where there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use egui_kittest::Harness;
use egui_system_font_provider::SystemFontProvider;

use super::args::ModelArgs;
use super::output::{print, say};
use crate::analysis::maps::{Aggregation, Query};
use crate::app::state::{Pending, State};
use crate::app::window::{LivrApp, Startup, load_problem, open};
use crate::data::picture::Picture;
use crate::engine::demo;
use crate::export::atomic;
use crate::render::blend::ColourMap;
use crate::settings::MaskKind;
use crate::units::{HeadIdx, LayerIdx};

/// Options of the window.
#[derive(Debug, Clone, Args)]
pub struct WindowArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Images in the canvas [default: a photograph of a cup of coffee]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    image: Vec<PathBuf>,
    /// The question
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
}

impl WindowArgs {
    fn startup(&self, ask: bool, adjust: impl FnOnce(&mut State) + 'static) -> anyhow::Result<Startup> {
        let images = if self.image.is_empty() {
            vec![Arc::new(demo::picture()?)]
        } else {
            self.image.iter().map(|path| Picture::read(path).map(Arc::new)).collect::<Result<_, _>>()?
        };
        let prompt = self.prompt.clone();
        Ok(Startup {
            model: self.model.source()?.folder,
            adapter: self.model.adapter_folder()?,
            device: self.model.device,
            dtype: self.model.dtype,
            images,
            ask,
            adjust: Box::new(move |state| {
                if let Some(prompt) = prompt {
                    state.persisted.prompt = prompt;
                }
                adjust(state);
            }),
        })
    }
}

/// Opens the window; without a display, makes a picture of it instead and says where.
pub fn run(args: &WindowArgs) -> anyhow::Result<()> {
    let startup = args.startup(false, |_| ())?;
    match open(startup) {
        Ok(()) => Ok(()),
        Err(problem) => {
            say(&format!("livr: the window cannot be opened here: {}", why(&problem)));
            let path = std::env::temp_dir().join("livr-window.png");
            let startup = args.startup(true, |_| ())?;
            picture(startup, (1360, 860), 1.0, egui::Theme::Dark, &path, |_| Ok(()))?;
            print(&format!("a picture of the window is in {}", path.display()));
            Ok(())
        }
    }
}

/// The reason without source positions and backtraces.
fn why(problem: &eframe::Error) -> String {
    match problem {
        eframe::Error::WinitEventLoop(_) | eframe::Error::Winit(_) => "there is no display".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeArg {
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// With the latents or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LatentSwitch {
    /// As many as the model was trained with.
    Auto,
    /// None.
    Off,
}

/// Options of `livr screenshot`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ScreenshotArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// The picture to write
    #[arg(long, value_name = "FILE.png", value_parser = parse_png)]
    out: PathBuf,
    /// Size in points
    #[arg(long, value_name = "WxH", default_value = "1360x860", value_parser = parse_size)]
    size: (u32, u32),
    /// Pixels per point
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale)]
    scale: f32,
    /// Light or dark
    #[arg(long, value_enum, default_value_t = ThemeArg::Dark)]
    theme: ThemeArg,
    /// Do not ask: the window before the first question
    #[arg(long)]
    no_ask: bool,
    /// Attention mask
    #[arg(long, value_enum, default_value_t = MaskKind::Standard)]
    mask: MaskKind,
    /// Append the latents or not
    #[arg(long, value_enum, default_value_t = LatentSwitch::Auto)]
    latents: LatentSwitch,
    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    max_new_tokens: u32,
    /// Show the attention of this latent
    #[arg(long, value_name = "I", conflicts_with = "answer_token")]
    latent: Option<usize>,
    /// Show the attention of this generated token
    #[arg(long, value_name = "I")]
    answer_token: Option<usize>,
    /// One layer instead of all
    #[arg(long, value_name = "L")]
    layer: Option<usize>,
    /// One head instead of all
    #[arg(long, value_name = "H")]
    head: Option<usize>,
    /// How all layers and heads become one
    #[arg(long, value_enum, default_value_t = Aggregation::Mean)]
    aggregation: Aggregation,
    /// Share of the map's colour
    #[arg(long, default_value_t = 0.6, value_parser = parse_share)]
    opacity: f32,
    /// Colours
    #[arg(long, value_enum, default_value_t = ColourMap::Viridis)]
    colour_map: ColourMap,
    /// Values above this percentile take the last colour
    #[arg(long, default_value_t = 99.0, value_parser = parse_percent)]
    clip_percentile: f32,
    /// Bilinear between patches
    #[arg(long)]
    smooth: bool,
    /// Leave out patches that draw attention whatever the query
    #[arg(long)]
    remove_sinks: bool,
    /// Open the list of keys
    #[arg(long)]
    keys: bool,
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("expected WxH from 320x240 to 7680x4320, found {text}");
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    match (width.parse(), height.parse()) {
        (Ok(w @ 320..=7680), Ok(h @ 240..=4320)) => Ok((w, h)),
        _ => Err(wrong()),
    }
}

fn parse_scale(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(scale) if (0.5..=4.0).contains(&scale) => Ok(scale),
        _ => Err(format!("expected a number from 0.5 to 4, found {text}")),
    }
}

fn parse_share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("expected a number from 0 to 1, found {text}")),
    }
}

fn parse_percent(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err(format!("expected a number from 0 to 100, found {text}")),
    }
}

fn parse_png(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => Ok(path),
        _ => Err(format!("expected a name that ends in .png, found {text}")),
    }
}

/// Makes a picture of the window.
pub fn screenshot(args: ScreenshotArgs) -> anyhow::Result<()> {
    let (size, scale, out) = (args.size, args.scale, args.out.clone());
    let theme = if args.theme == ThemeArg::Dark { egui::Theme::Dark } else { egui::Theme::Light };
    let window = args.window.clone();
    let ask = !args.no_ask;
    let asked = (args.layer, args.head, args.latent, args.answer_token);
    let startup = window.startup(ask, move |state| adjust(state, &args, theme))?;
    picture(startup, size, scale, theme, &out, |state| check_shown(state, asked))?;
    print(&out.display().to_string());
    Ok(())
}

fn adjust(state: &mut State, args: &ScreenshotArgs, theme: egui::Theme) {
    let persisted = &mut state.persisted;
    persisted.theme = theme.into();
    persisted.mask = args.mask;
    persisted.latents_on = args.latents == LatentSwitch::Auto;
    persisted.max_new_tokens = args.max_new_tokens as usize;
    persisted.style.opacity = args.opacity;
    persisted.style.colour_map = args.colour_map;
    persisted.style.smooth = args.smooth;
    persisted.normalisation.clip_percentile = args.clip_percentile;
    persisted.normalisation.remove_sinks = args.remove_sinks;
    state.selection.layer = args.layer.map(LayerIdx);
    state.selection.head = args.head.map(HeadIdx);
    state.selection.aggregation = args.aggregation;
    state.query = args.answer_token.map_or(Query::Latent(args.latent.unwrap_or(0)), Query::Answer);
    state.help_open = args.keys;
}

type Asked = (Option<usize>, Option<usize>, Option<usize>, Option<usize>);

/// Does the window show the layer, head, latent and answer token asked for?
fn check_shown(state: &State, (layer, head, latent, answer_token): Asked) -> anyhow::Result<()> {
    if let Pending::Failed { problem, .. } = &state.trace {
        anyhow::bail!("{problem}");
    }
    let info = state.model.latest();
    let trace = state.trace.latest();
    let counts = [
        ("--layer", layer, info.map(|i| i.num_layers), "layers"),
        ("--head", head, info.map(|i| i.num_heads), "heads"),
        ("--latent", latent, trace.map(|t| t.num_latents()), "latents"),
        ("--answer-token", answer_token, trace.map(|t| t.generated.len()), "tokens in its answer"),
    ];
    for (option, asked, count, what) in counts {
        if let (Some(asked), Some(count)) = (asked, count) {
            anyhow::ensure!(asked < count, "{option} {asked}: the model has {count} {what}, counted from 0");
        }
    }
    Ok(())
}

/// How long a picture may take; a large model on a CPU takes minutes.
const PATIENCE: Duration = Duration::from_hours(1);

/// Renders the window off-screen once its work is done.
fn picture(
    startup: Startup,
    size: (u32, u32),
    scale: f32,
    theme: egui::Theme,
    out: &Path,
    check: impl FnOnce(&State) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let make = || {
        Harness::builder()
            .with_size(egui::vec2(size.0 as f32, size.1 as f32))
            .with_pixels_per_point(scale)
            .with_theme(theme)
            .with_accessibility_check(false)
            .allow_missing_glyphs()
            .with_context_setup(|ctx| {
                // Questions are in any script; the fonts built in know few.
                ctx.add_font_provider(Arc::new(SystemFontProvider::new()));
            })
            .wgpu()
            .build_eframe(|cc| LivrApp::new(cc, startup))
    };
    // The test harness panics where there is no graphics driver at all.
    let mut harness = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).ok().context(
        "no graphics driver: install one for Vulkan or OpenGL, in software if need be (Debian: mesa-vulkan-drivers)",
    )?;
    let started = Instant::now();
    while !harness.state().is_settled() {
        anyhow::ensure!(started.elapsed() < PATIENCE, "the model took longer than {} s", PATIENCE.as_secs());
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Some(problem) = load_problem(&harness.state().controller.state) {
        anyhow::bail!("{problem}");
    }
    check(&harness.state().controller.state)?;
    // A layout that depends on the last frame's settles within a few.
    harness.run_steps(4);
    harness.remove_cursor();
    let image =
        harness.render().map_err(|problem| anyhow::anyhow!("the window cannot be drawn: {problem}"))?;
    atomic::write(out, |file| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).map_err(std::io::Error::other)?;
        file.write_all(bytes.get_ref())
    })?;
    Ok(())
}
