//! The panes: at windows of any size, by preset, by menu and by key.

use std::sync::Arc;

use egui::Rect;
use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::app::hub::actions::{JobAction, RunAction, WindowAction};
use livr_explorer::app::parts::tiling::{Pane, Preset, Tiling};
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::array::Array;
use livr_explorer::ask::{DeviceChoice, DtypeChoice, LatentChoice, MaskKind};
use livr_explorer::engine::fake::scripted;
use livr_explorer::engine::ids::{Request, Run, RunId};
use livr_explorer::engine::protocol::{Command, News};
use livr_explorer::trace::Trace;
use livr_explorer::units::{GridThw, Role, Span};

use crate::superseding::opened;
use crate::window::{apply, click, first_actions, open, settle, state, tolerant};

const SIZES: [[f32; 2]; 3] = [[900.0, 600.0], [1360.0, 860.0], [2560.0, 1440.0]];

/// A window whose engine answers with 36 layers of 32 heads.
fn large(size: [f32; 2]) -> Window {
    let (engine, script) = scripted();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let startup = Startup { engine: Box::new(|_| Box::new(engine)), ..startup };
    let mut window = open(size, egui::Theme::Dark, startup);
    window.run_steps(2);
    let order = script.orders().last().unwrap().clone();
    script.say(order.job, opened(&order.command, "large"));
    window.run_steps(2);
    apply(&mut window, JobAction::Ask);
    let order = script.orders().last().unwrap().clone();
    let Command::CaptureTrace { request, .. } = &order.command else { panic!("no question was asked") };
    let (layers, heads, latents, visual) = (36, 32, 16, 24);
    let tokens = visual + latents;
    let value = |i: usize| (i * 7919 % 1000) as f32 / 40_000.0;
    let rows: Vec<f32> = (0..layers * heads * latents * tokens).map(value).collect();
    let roles = [vec![Role::Image; visual], vec![Role::Latent; latents]].concat();
    let trace = Trace {
        roles,
        grids: vec![GridThw { t: 1, h: 8, w: 12 }],
        patch_size: 14,
        merge_size: 2,
        image_spans: vec![Span { start: 0, end: visual }],
        latent_attentions: Some(Array::new(vec![layers, heads, latents, tokens], rows)),
        answer: "a spoon, ".repeat(200),
        ..Trace::default()
    };
    let run = Run { id: RunId::Answer(order.job), request: Request::clone(request), trace: Arc::new(trace) };
    script.say(order.job, News::TraceCaptured(Arc::new(run)));
    settle(&mut window);
    window.run_steps(3);
    window
}

fn place(window: &Window, label: &str) -> Rect {
    window.query_all_by_label_contains(label).next().expect(label).rect()
}

#[test]
fn controls_of_the_map_and_the_whole_matrix_are_in_sight_at_any_size() {
    for size in SIZES {
        let mut window = large(size);
        let all = Rect::from_min_size(egui::Pos2::ZERO, size.into());
        let controls = [
            "Layer",
            "Head",
            "Combine by",
            "Opacity",
            "Colours",
            "Clear where low",
            "Clip percentile",
            "Remove sinks",
        ];
        for preset in [Preset::Ask, Preset::Inspect, Preset::Present] {
            apply(&mut window, WindowAction::UsePreset(preset));
            apply(&mut window, WindowAction::ShowPane(Pane::Map, true));
            window.run_steps(3);
            let pane = pane_of(&window, Pane::Map);
            for control in controls {
                let named = || window.query_all_by_label_contains(control).map(|node| node.rect());
                // Other panes may have controls that are called like it.
                let own =
                    named().find(|rect| pane.x_range().contains(rect.center().x) && rect.top() >= pane.top());
                let rect = own.unwrap_or_else(|| named().next().expect(control));
                // The smallest window scrolls its map, and nothing above it.
                let is_small = size[0] < 1000.0;
                let fits = if is_small { pane.right() >= rect.right() } else { pane.contains_rect(rect) };
                assert!(fits, "{control} at {rect:?} of {pane:?}, {preset:?}, {size:?}");
            }
            apply(&mut window, WindowAction::ShowPane(Pane::Matrix, true));
            window.run_steps(3);
            let matrix = place(&window, "of 36 layers and 32 heads");
            let pane = pane_of(&window, Pane::Matrix);
            assert!(pane.contains_rect(matrix) && all.contains_rect(pane), "{matrix:?} of {pane:?}");
            let strip = pane_of(&window, Pane::Latents);
            for latent in 0..16 {
                let thumbnail = place(&window, &format!("Latent {latent},"));
                assert!(
                    strip.contains_rect(thumbnail),
                    "{latent} at {thumbnail:?} of {strip:?}, {preset:?}, {size:?}"
                );
            }
        }
    }
}

fn pane_of(window: &Window, pane: Pane) -> Rect {
    window.get_by_label(&format!("{} pane", pane.title())).rect()
}

#[test]
fn panes_go_and_come_by_menu_and_presets_by_key() {
    let mut window = large(SIZES[1]);
    assert!(window.query_by_label("Matrix").is_some());
    click(&mut window, "Layout");
    window.run_steps(3);
    click(&mut window, "Show matrix");
    assert!(!state(&window).kept.layout.is_shown(Pane::Matrix));
    window.run_steps(2);
    assert!(window.query_by_label("Matrix").is_none());
    click(&mut window, "Show matrix");
    assert!(state(&window).kept.layout.is_shown(Pane::Matrix));
    window.key_press(egui::Key::Escape);
    window.run_steps(2);
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num2);
    window.run_steps(2);
    let inspect = Tiling::of(Preset::Inspect);
    let shown = &state(&window).kept.layout;
    assert!(shown.0.tiles.len() >= inspect.0.tiles.len() && shown.is_shown(Pane::Matrix));
    window.remove_cursor();
    window.run_steps(2);
    window.state_mut().controller.state.ui.used_bytes = 0;
    window.run_steps(2);
    window.snapshot_options("panes_inspect", &tolerant());
    // Layers and heads by their means.
    click(&mut window, "Sort");
    assert!(state(&window).kept.view.matrix_sorted);
    assert!(!window.get_by_label("Sort").accesskit_node().is_disabled());
}

#[test]
fn every_answer_is_listed_and_found_again() {
    let mut window = open(
        [1360.0, 860.0],
        egui::Theme::Dark,
        Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions()),
    );
    settle(&mut window);
    apply(&mut window, WindowAction::UsePreset(Preset::Inspect));
    window.run_steps(2);
    window.get_by_label_contains("Every answer is listed here");
    click(&mut window, "Ask");
    let first = state(&window).shown_run().unwrap().clone();
    // Toggling the mask adds a row.
    window.key_press(egui::Key::M);
    settle(&mut window);
    assert_eq!(state(&window).runs.listed().len(), 2);
    assert_ne!(state(&window).shown_run().unwrap().id, first.id);
    // Compared with the first, the second says by how much each choice changed.
    click(&mut window, "Menu of run 1");
    window.run_steps(2);
    click(&mut window, "Compare others with it");
    let second = state(&window).shown_run().unwrap().clone();
    let change = 100.0 * (second.trace.choices[0].probability - first.trace.choices[0].probability);
    window.get_by_label_contains("Compared with run 1");
    window.get_by_label_contains(&format!("({change:+.1} points)"));
    // Back to the first: its maps, undimmed, and the controls as they were.
    window.get_by_label_contains("run 1 (base): What stands").click();
    settle(&mut window);
    let shown = state(&window).shown_run().unwrap();
    assert!(shown.id == first.id && state(&window).is_current(shown));
    assert_eq!(state(&window).kept.condition.mask, MaskKind::Standard);
    // Named, kept, deleted, brought back.
    click(&mut window, "Menu of run 1");
    window.run_steps(2);
    window.get_by_role_and_label(egui::accesskit::Role::TextInput, "Name").focus();
    window.run_steps(1);
    window.get_by_role_and_label(egui::accesskit::Role::TextInput, "Name").type_text("plain");
    window.run_steps(2);
    click(&mut window, "Keep");
    let listed = &state(&window).runs.listed()[0];
    assert!(listed.pinned && listed.name == "plain");
    // The menu holds while a name is typed in it.
    click(&mut window, "Delete");
    assert_eq!(state(&window).runs.listed().len(), 1);
    click(&mut window, "Undo delete");
    assert_eq!(state(&window).runs.listed()[0].name, "plain");
}

#[test]
fn mask_and_latents_are_asked_two_by_two() {
    let mut window = open(
        [1360.0, 860.0],
        egui::Theme::Light,
        Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions()),
    );
    settle(&mut window);
    apply(&mut window, WindowAction::UsePreset(Preset::Inspect));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::M);
    window.run_steps(1);
    settle(&mut window);
    // A table of the model in use: four conditions below each other.
    let grid = state(&window).compare.grid();
    assert_eq!((grid.conditions.len(), grid.cells[0].len()), (4, 1));
    assert!(state(&window).is_comparing() && grid.cells.iter().flatten().all(|cell| cell.run.is_some()));
    // The same key leads back to where it was pressed.
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::M);
    window.run_steps(1);
    settle(&mut window);
    assert!(!state(&window).is_comparing());
    window.get_by_label("Matrix pane");
    let runs = &state(&window).runs;
    let of = |own: &livr_explorer::app::parts::runs::Listed| {
        let settings = &runs.get(own.id).unwrap().request.condition;
        (settings.mask, settings.latents)
    };
    let all: Vec<_> = runs.listed().iter().map(of).collect();
    let [standard, bottleneck] = [MaskKind::Standard, MaskKind::Bottleneck];
    let [with, without] = [LatentChoice::Auto, LatentChoice::Off];
    assert_eq!(all, [(standard, with), (standard, without), (bottleneck, with), (bottleneck, without)]);
    // What is in sight is what the controls say.
    let shown = state(&window).shown_run().unwrap();
    assert!(state(&window).is_current(shown) && shown.id == runs.listed()[0].id);
    let base = Some(shown.id);
    apply(&mut window, RunAction::SetBase(base));
    window.run_steps(3);
    window.remove_cursor();
    crate::window::picture(&mut window, "runs_of_mask_and_latents");
}
