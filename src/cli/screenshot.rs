//! `livr screenshot`: the window as a picture, in a described state.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::args::AdapterChoice;
use super::condition_args::{ConditionArgs, Shown};
use super::output::print;
use super::window_args::WindowArgs;
use crate::analysis::normalise::Normalisation;
use crate::analysis::query::{Aggregation, Query, Selection};
use crate::app::hub::actions::{
    Action, CompareAction, EditAction, FileAction, JobAction, ViewAction, WindowAction,
};
use crate::app::hub::state::State;
use crate::app::parts::compare::CompareRows;
use crate::app::parts::tiling::Preset;
use crate::app::session::{Session, SessionFile};
use crate::app::window::Startup;
use crate::app::window::offscreen::{Offscreen, settle};
use crate::atomic;
use crate::engine::ids::ModelId;
use crate::render::blend::{ColourMap, OverlayStyle};
use crate::units::{HeadIdx, LayerIdx};

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThemeArg {
    /// Light.
    Light,
    /// Dark.
    Dark,
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
    /// A session to show, instead of asking
    #[arg(long, value_name = "FILE.livr")]
    session: Option<PathBuf>,
    /// Do not ask: the window before the first question
    #[arg(long)]
    no_ask: bool,
    #[command(flatten)]
    condition: ConditionArgs<Shown>,
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
    /// How the panes lie
    #[arg(long, value_enum, default_value_t = Preset::Ask)]
    panes: Preset,
    /// Adapters in columns beside the model's own: folders, demo:NAME or none; up to three
    #[arg(long, value_name = "DIR", num_args = 1..=3, value_parser = AdapterChoice::parser())]
    beside: Vec<AdapterChoice>,
    /// What each column is asked
    #[arg(long, value_enum, default_value_t = CompareRows::One)]
    rows: CompareRows,
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
pub fn screenshot(args: &ScreenshotArgs) -> anyhow::Result<()> {
    args.window.model.check_output(&args.out, &args.window.image)?;
    let theme = if args.theme == ThemeArg::Dark { egui::Theme::Dark } else { egui::Theme::Light };
    let (width, height) = (args.size.0 as f32, args.size.1 as f32);
    let form = Offscreen { size: [width, height], scale: args.scale, theme, system_fonts: true };
    let mut actions = [args.actions(theme), args.window.actions()?, args.columns()].concat();
    if let Some(path) = &args.session {
        let read = SessionFile::new(path.clone(), Session::read(path)?);
        actions.push(FileAction::TakeSession(Box::new(read)).into());
    }
    let asking = (!args.no_ask && args.session.is_none()).then(|| JobAction::Ask.into());
    let startup = args.window.startup(actions.into_iter().chain(asking).collect());
    picture(startup, form, &args.out, |state| args.check_shown(state))?;
    print(&args.out.display().to_string());
    Ok(())
}

impl ScreenshotArgs {
    /// Condition and view, before anything is opened.
    fn actions(&self, theme: egui::Theme) -> Vec<Action> {
        let selection = Selection {
            layer: self.layer.map(LayerIdx),
            head: self.head.map(HeadIdx),
            aggregation: self.aggregation,
        };
        let style = OverlayStyle {
            opacity: self.opacity,
            colour_map: self.colour_map,
            smooth: self.smooth,
            ..OverlayStyle::default()
        };
        let normalisation = Normalisation {
            clip_percentile: self.clip_percentile,
            remove_sinks: self.remove_sinks,
            ..Normalisation::default()
        };
        let query = self.answer_token.map_or(Query::Latent(self.latent.unwrap_or(0)), Query::Answer);
        let mut actions: Vec<Action> = vec![
            EditAction::SetMask(self.condition.condition.mask).into(),
            EditAction::SetLatents(self.condition.condition.latents).into(),
            EditAction::SetEdits(self.condition.condition.edits.clone()).into(),
            EditAction::KeepEveryRow(self.aggregation == Aggregation::Rollout).into(),
            EditAction::SetMaxNewTokens(self.condition.condition.decoding.max_new_tokens).into(),
            WindowAction::SetTheme(theme.into()).into(),
            ViewAction::Select(selection).into(),
            ViewAction::SetStyle(style).into(),
            ViewAction::SetNormalisation(normalisation).into(),
            ViewAction::SelectQuery(query).into(),
        ];
        actions.extend(self.keys.then(|| WindowAction::ToggleHelp.into()));
        if self.panes != Preset::Ask {
            actions.push(WindowAction::UsePreset(self.panes).into());
        }
        actions
    }

    /// What stands side by side, once the model is on its way.
    fn columns(&self) -> Vec<Action> {
        let base = self.window.model.id().base;
        let beside =
            self.beside.iter().map(|choice| ModelId { base: base.clone(), adapter: choice.0.clone() });
        let columns = beside.map(|model| CompareAction::AddColumn(model).into());
        columns.chain([CompareAction::SetRows(self.rows).into()]).collect()
    }

    /// Does the window show the layer, head, latent and answer token asked for?
    fn check_shown(&self, state: &State) -> anyhow::Result<()> {
        if let Some(problem) = &state.runs.problem {
            anyhow::bail!("{problem}");
        }
        let info = state.models.in_use.as_ref();
        let trace = state.shown_run().map(|run| &run.trace);
        let counts = [
            ("--layer", self.layer, info.map(|i| i.num_layers), "layers"),
            ("--head", self.head, info.map(|i| i.num_heads), "heads"),
            ("--latent", self.latent, trace.map(|t| t.num_latents()), "latents"),
            ("--answer-token", self.answer_token, trace.map(|t| t.generated.len()), "tokens in its answer"),
        ];
        for (option, asked, count, what) in counts {
            if let (Some(asked), Some(count)) = (asked, count) {
                anyhow::ensure!(asked < count, "{option} {asked}: there are {count} {what}, counted from 0");
            }
        }
        Ok(())
    }
}

/// Makes a picture of the window as it begins.
pub fn picture_as_begun(startup: Startup, out: &Path) -> anyhow::Result<()> {
    let form = Offscreen { size: [1360.0, 860.0], scale: 1.0, theme: egui::Theme::Dark, system_fonts: true };
    picture(startup, form, out, |_| Ok(()))
}

/// How long a picture may take; a large model on a CPU takes minutes.
const PATIENCE: Duration = Duration::from_hours(1);

/// Renders the window off-screen once its work is done.
fn picture(
    startup: Startup,
    form: Offscreen,
    out: &Path,
    check: impl FnOnce(&State) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut window = form.open(startup).context(
        "no graphics driver: install one for Vulkan or OpenGL, in software if need be (Debian: mesa-vulkan-drivers)",
    )?;
    let settled = settle(&mut window, PATIENCE);
    anyhow::ensure!(settled, "the model took longer than {} s", PATIENCE.as_secs());
    let state = window.state().state();
    if let Some(problem) = &state.models.problem {
        anyhow::bail!("{problem}");
    }
    check(state)?;
    window.remove_cursor();
    let image =
        window.render().map_err(|problem| anyhow::anyhow!("the window cannot be drawn: {problem}"))?;
    atomic::write(out, |file| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).map_err(std::io::Error::other)?;
        file.write_all(bytes.get_ref())
    })?;
    Ok(())
}
