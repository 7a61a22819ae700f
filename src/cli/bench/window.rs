//! `livr bench window`: how long a frame of the window takes, and what it costs while nothing happens.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, value_parser};
use serde::Serialize;

use super::super::output::{print, print_json};
use crate::app::hub::actions::{
    CompareAction, EditAction, GalleryAction, JobAction, ViewAction, WindowAction,
};
use crate::app::parts::tiling::{Pane, Preset};
use crate::app::window::Startup;
use crate::app::window::offscreen::{Drawing, Offscreen, Window, settle};
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::engine::demo::DemoAdapter;
use crate::engine::ids::{ModelId, Source};
use crate::memory;

/// Options of `livr bench window`.
#[derive(Debug, Args)]
pub struct WindowBenchArgs {
    /// Frames that are drawn of each kind
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = value_parser!(u32).range(20..))]
    frames: u32,
    /// Runs in the list
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(1..=200))]
    runs: u32,
    /// Seconds in which nothing happens
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = value_parser!(u32).range(1..=600))]
    idle: u32,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

const NO_DRIVER: &str = "no graphics driver: install one for Vulkan or OpenGL";
const SIZE: [f32; 2] = [1280.0, 800.0];
const PATIENCE: Duration = Duration::from_mins(10);

/// Milliseconds of frames.
#[derive(Debug, Serialize)]
struct Frames {
    what: &'static str,
    median_ms: f64,
    p95_ms: f64,
    /// The medians of what a frame is made of: the layout of the window, and its drawing.
    layout_ms: f64,
    drawing_ms: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    device: String,
    maps: usize,
    frames: Vec<Frames>,
    /// Percent of one processor, with the caret in the question.
    idle_percent: f64,
    /// Frames that were asked for in that time.
    idle_frames: usize,
}

/// Runs it.
pub fn run(args: &WindowBenchArgs) -> anyhow::Result<()> {
    let measured = measure(args)?;
    if args.json {
        print_json(&measured);
        return Ok(());
    }
    let Measured { device, maps, frames, idle_percent, idle_frames } = measured;
    print(&format!("{device}, {} x {}, {maps} maps", SIZE[0], SIZE[1]));
    for Frames { what, median_ms, p95_ms, layout_ms, drawing_ms } in frames {
        print(&format!(
            "{what:40} median {median_ms:6.1} ms, p95 {p95_ms:6.1} ms (layout {layout_ms:.1}, drawing {drawing_ms:.1})"
        ));
    }
    print(&format!(
        "idle with the caret in the question: {idle_percent:.1} % of a processor, {idle_frames} frames"
    ));
    Ok(())
}

fn measure(args: &WindowBenchArgs) -> anyhow::Result<Measured> {
    let actions = vec![
        JobAction::OpenModel {
            base: Source::Demo,
            adapter: ModelId::demo(DeviceChoice::Cpu, DtypeChoice::Auto).adapter,
        }
        .into(),
        GalleryAction::Return.into(),
        EditAction::SetMaxNewTokens(1).into(),
        JobAction::Ask.into(),
    ];
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::Auto, actions);
    let form = Offscreen { size: SIZE, scale: 1.0, theme: egui::Theme::Dark, system_fonts: true };
    let drawing = Drawing::new().context(NO_DRIVER)?;
    let device = drawing.device_name();
    let mut window = form.open_drawing(startup, drawing).context(NO_DRIVER)?;
    anyhow::ensure!(settle(&mut window, PATIENCE), "the demo did not answer in {} s", PATIENCE.as_secs());
    let maps = window.state().state().panes.map.in_sight().map_or(0, |shown| shown.rows.queries.len());
    let (idle_percent, idle_frames) = idle(&mut window, Duration::from_secs(u64::from(args.idle)));
    let canvas = egui::Rect::from_min_max(egui::pos2(200.0, 150.0), egui::pos2(700.0, 450.0));
    let mut frames = vec![timed(&mut window, "pointer over the images", args.frames, |window, i| {
        let across = egui::vec2((i * 37 % 100) as f32 / 100.0, (i * 61 % 100) as f32 / 100.0);
        window.event(egui::Event::PointerMoved(canvas.min + canvas.size() * across));
    })?];
    frames.push(timed(&mut window, "another latent each frame", args.frames, |window, _| {
        apply(window, ViewAction::StepQuery(1));
    })?);
    frames.push(compared(&mut window, "pointer over a column", canvas, args.frames)?);
    for adapter in [DemoAdapter::Stage1, DemoAdapter::LatentsOnly, DemoAdapter::Sft] {
        let model = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::Auto)
            .with_adapter(Some(Source::DemoAdapter(adapter)));
        apply(&mut window, CompareAction::AddColumn(model));
    }
    frames.push(compared(&mut window, "pointer over four columns", canvas, args.frames)?);
    apply(&mut window, WindowAction::UsePreset(Preset::Ask));
    for _ in 1..args.runs {
        repeat(&mut window);
    }
    apply(&mut window, WindowAction::UsePreset(Preset::Inspect));
    apply(&mut window, WindowAction::ShowPane(Pane::Runs, true));
    window.run_steps(3);
    let over = egui::pos2(SIZE[0] - 120.0, SIZE[1] - 120.0);
    window.event(egui::Event::PointerMoved(over));
    frames.push(timed(&mut window, "scrolling through the runs", args.frames, |window, i| {
        let down = if i % 40 < 20 { -30.0 } else { 30.0 };
        window.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: egui::vec2(0.0, down),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: egui::Modifiers::NONE,
        });
    })?);
    Ok(Measured { device, maps, frames, idle_percent, idle_frames })
}

/// The pointer over checkpoints side by side: a patch is framed in each of them.
fn compared(window: &mut Window, what: &'static str, area: egui::Rect, count: u32) -> anyhow::Result<Frames> {
    apply(window, WindowAction::UsePreset(Preset::Compare));
    anyhow::ensure!(settle(window, PATIENCE), "the columns did not answer in {} s", PATIENCE.as_secs());
    timed(window, what, count, |window, i| {
        let across = egui::vec2((i * 37 % 100) as f32 / 100.0, (i * 61 % 100) as f32 / 100.0);
        window.event(egui::Event::PointerMoved(area.min + area.size() * across));
    })
}

fn apply(window: &mut Window, action: impl Into<crate::app::hub::actions::Action>) {
    let ctx = window.ctx.clone();
    window.state_mut().controller.apply(action, &ctx);
}

/// Another run like the one in sight, without asking again.
fn repeat(window: &mut Window) {
    let state = &mut window.state_mut().controller.state;
    let Some(run) = state.shown_run().cloned() else { return };
    let mut again = crate::engine::ids::Run::clone(&run);
    again.id = crate::app::parts::runs::next_loaded_id();
    let id = again.id;
    state.runs.insert(again.into(), |_| true);
    state.runs.list(id);
}

fn timed(
    window: &mut Window,
    what: &'static str,
    count: u32,
    mut event: impl FnMut(&mut Window, u32),
) -> anyhow::Result<Frames> {
    let (mut all, mut layouts, mut drawings) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        event(window, i);
        let clock = Instant::now();
        window.step();
        let layout = clock.elapsed();
        window.render().map_err(|problem| anyhow::anyhow!("the window cannot be drawn: {problem}"))?;
        let whole = clock.elapsed();
        let ms = |time: Duration| 1e3 * time.as_secs_f64();
        all.push(ms(whole));
        layouts.push(ms(layout));
        drawings.push(ms(whole.saturating_sub(layout)));
    }
    let [median_ms, layout_ms, drawing_ms] = [&mut all, &mut layouts, &mut drawings].map(|values| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    });
    let p95_ms = all[(all.len() * 95 / 100).min(all.len() - 1)];
    Ok(Frames { what, median_ms, p95_ms, layout_ms, drawing_ms })
}

/// Draws when the window asks for it, as the window itself would, and sleeps in between.
fn idle(window: &mut Window, time: Duration) -> (f64, usize) {
    let (started, before) = (Instant::now(), memory::cpu_time());
    let mut frames = 0;
    while started.elapsed() < time {
        let delay = window.output().viewport_output.values().map(|view| view.repaint_delay).min();
        let left = time.saturating_sub(started.elapsed());
        let delay = delay.unwrap_or(Duration::MAX);
        std::thread::sleep(delay.min(left));
        if delay > left {
            break;
        }
        window.step();
        if window.render().is_err() {
            break;
        }
        frames += 1;
    }
    let spent = memory::cpu_time().saturating_sub(before);
    (100.0 * spent.as_secs_f64() / started.elapsed().as_secs_f64(), frames)
}
