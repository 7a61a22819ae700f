//! The window as its user has it: clicked by accessible name, pictures compared.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, SnapshotOptions};
use livr_explorer::analysis::maps::Query;
use livr_explorer::app::state::Persisted;
use livr_explorer::app::window::{LivrApp, STORAGE_KEY, Startup};
use livr_explorer::checkpoint::folder::Folder;
use livr_explorer::data::picture::Picture;
use livr_explorer::device::{DeviceChoice, DtypeChoice};
use livr_explorer::engine::demo;
use livr_explorer::settings::MaskKind;
use livr_explorer::units::LayerIdx;

use crate::common::{Copy, fixture};

type Window = Harness<'static, LivrApp>;

/// Software drivers differ by one grey level on a few pixels, and fonts by hinting.
fn tolerant() -> SnapshotOptions {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    SnapshotOptions::new().threshold(1.5).max_failed_pixels(40).output_path(snapshots)
}

fn startup() -> Startup {
    Startup {
        model: demo::model(),
        adapter: Some(demo::adapter()),
        device: DeviceChoice::Cpu,
        dtype: DtypeChoice::F32,
        images: vec![Arc::new(demo::picture().unwrap())],
        ask: false,
        adjust: Box::new(|state| state.persisted.max_new_tokens = 3),
    }
}

fn window_of(size: [f32; 2], theme: egui::Theme, startup: Startup) -> Window {
    let mut window = Harness::builder()
        .with_size(size)
        .with_theme(theme)
        .with_step_dt(0.1)
        .allow_missing_glyphs()
        .wgpu()
        .build_eframe(|cc| LivrApp::new(cc, startup));
    settle(&mut window);
    window
}

fn window() -> Window {
    window_of([1200.0, 800.0], egui::Theme::Dark, startup())
}

/// Steps until nothing is under way.
fn settle(window: &mut Window) {
    let started = Instant::now();
    window.step();
    while !window.state().is_settled() {
        assert!(started.elapsed() < Duration::from_mins(2), "it never settles");
        std::thread::sleep(Duration::from_millis(2));
        window.step();
    }
    window.run_steps(3);
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    settle(window);
}

fn asked() -> Window {
    let mut window = window();
    click(&mut window, "Ask");
    window
}

/// Hides what differs from machine to machine: threads and memory, and the run's time.
fn picture(window: &mut Window, name: &str) {
    window.remove_cursor();
    window.state_mut().controller.state.used_bytes = 0;
    if let livr_explorer::app::state::Pending::Ready(info) = &mut window.state_mut().controller.state.model {
        "CPU".clone_into(&mut info.device);
    }
    if let livr_explorer::app::state::Pending::Ready(trace) = &mut window.state_mut().controller.state.trace {
        Arc::make_mut(trace).timings = livr_explorer::trace::Timings::default();
    }
    window.run_steps(2);
    window.snapshot_options(name, &tolerant());
}

#[test]
fn the_first_minute() {
    let mut window = window();
    picture(&mut window, "first_window");
    // Enter in the question box asks.
    window.get_by_label("Question").focus();
    window.run_steps(1);
    window.key_press(egui::Key::Enter);
    settle(&mut window);
    let trace = window.state().controller.state.trace.latest().expect("an answer").clone();
    assert_eq!(trace.num_latents(), 16);
    assert_eq!(trace.choices.len(), 2);
    for latent in 0..16 {
        assert!(
            window.query_by_label_contains(&format!("Latent {latent},")).is_some(),
            "no thumbnail of latent {latent}"
        );
    }
    picture(&mut window, "answered");
}

#[test]
fn light_theme_and_small_window() {
    let mut window = window_of([860.0, 560.0], egui::Theme::Light, startup());
    click(&mut window, "Light theme");
    click(&mut window, "Ask");
    picture(&mut window, "light_small");
}

#[test]
fn the_stage_one_switch_answers_anew() {
    let mut window = asked();
    let before = window.state().controller.state.trace.latest().unwrap().clone();
    click(&mut window, "Stage-1 bottleneck mask");
    let after = window.state().controller.state.trace.latest().unwrap().clone();
    assert_eq!(after.settings.mask, MaskKind::Bottleneck);
    assert_ne!(before.logits, after.logits);
    // The same images: the vision tower did not run again.
    assert_eq!(after.timings.vision_secs, 0.0);
    click(&mut window, "Latents");
    assert_eq!(window.state().controller.state.trace.latest().unwrap().num_latents(), 0);
    assert_eq!(window.state().controller.state.query, Query::Answer(0));
}

#[test]
fn latents_layers_and_heads_by_click_and_by_key() {
    let mut window = asked();
    window.get_by_label_contains("Latent 5,").click();
    window.run_steps(2);
    assert_eq!(window.state().controller.state.query, Query::Latent(5));
    // Keys go to the window once no text is being edited.
    window.get_by_label_contains("Latent 5,").focus();
    window.run_steps(1);
    let keys = [egui::Key::M, egui::Key::CloseBracket, egui::Key::CloseBracket, egui::Key::S];
    for key in keys {
        window.key_press(key);
        settle(&mut window);
    }
    let state = &window.state().controller.state;
    assert_eq!(state.persisted.mask, MaskKind::Bottleneck);
    assert_eq!(state.selection.head.map(|h| h.0), Some(1));
    assert!(state.persisted.style.smooth);
    window.state_mut().controller.state.selection.layer = Some(LayerIdx(2));
    picture(&mut window, "latent_5_layer_2_head_1_smooth");
}

#[test]
fn the_matrix_chooses_a_head() {
    let mut window = window_of([1200.0, 1100.0], egui::Theme::Dark, startup());
    click(&mut window, "Ask");
    let node = window.get_by_label_contains("of 3 layers and 4 heads");
    let rect = node.rect();
    let cell = egui::pos2(rect.left() + rect.width() * 2.5 / 4.0, rect.top() + rect.height() * 1.5 / 3.0);
    window.hover_at(cell);
    window.run_steps(1);
    for pressed in [true, false] {
        let button = egui::PointerButton::Primary;
        window.event(egui::Event::PointerButton {
            pos: cell,
            button,
            pressed,
            modifiers: egui::Modifiers::NONE,
        });
        window.run_steps(1);
    }
    let selection = window.state().controller.state.selection;
    assert_eq!((selection.layer.map(|l| l.0), selection.head.map(|h| h.0)), (Some(1), Some(2)));
}

#[test]
fn hovering_a_patch_reads_it_out() {
    let mut window = asked();
    let canvas = window.get_by_label_contains("images with the attention of latent 0").rect();
    window.hover_at(canvas.center());
    window.run_steps(3);
    let hovered = window.state().controller.state.hovered.expect("a patch");
    assert!(window.query_by_label_contains("most from latents").is_some());
    let trace = window.state().controller.state.trace.latest().unwrap().clone();
    let (rows, cols) = trace.grids[0].merged(trace.merge_size);
    assert_eq!((hovered.row, hovered.col), (rows / 2, cols / 2));
}

#[test]
fn images_come_go_and_come_back() {
    let mut window = asked();
    let dir = fixture("qwen3_vl/images");
    for name in ["0.png", "1.png"] {
        let added = Arc::new(Picture::read(&dir.join(name)).unwrap());
        window.state_mut().controller.add_image(added);
    }
    window.run_steps(2);
    assert!(window.query_by_label_contains("ask again").is_some());
    picture(&mut window, "three_images_before_asking");
    click(&mut window, "Clear images");
    assert!(window.state().controller.state.images.is_empty());
    picture(&mut window, "no_images");
    click(&mut window, "Undo");
    assert_eq!(window.state().controller.state.images.len(), 3);
    click(&mut window, "Ask");
    let maps = window.state().controller.state.maps.as_ref().unwrap();
    assert_eq!(maps.stacks.len(), 3);
}

#[test]
fn a_bad_model_leaves_the_one_in_use() {
    let broken = Copy::of("qwen3_vl", "model");
    broken.edit_json("config.json", |config| config["model_type"] = "llama".into());
    let mut window = asked();
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::O);
    window.run_steps(2);
    window
        .get_by_role_and_label(egui::accesskit::Role::TextInput, "Open model")
        .type_text(&broken.path().display().to_string());
    window.run_steps(2);
    click(&mut window, "Open");
    assert!(window.query_by_label_contains("expected qwen2_5_vl or qwen3_vl, found \"llama\"").is_some());
    assert_eq!(window.state().controller.state.model.latest().unwrap().family, "qwen3_vl");
    click(&mut window, "Ask");
    assert!(window.state().controller.state.trace.latest().is_some());
    click(&mut window, "Dismiss");
    assert!(window.state().controller.state.notices.is_empty());
}

#[test]
fn models_and_adapters_change_hands() {
    let mut window = asked();
    let controller = &mut window.state_mut().controller;
    controller.take_dropped(vec![fixture("qwen2_5_vl/model")]);
    settle(&mut window);
    let info = window.state().controller.state.model.latest().unwrap().clone();
    assert_eq!((info.family, info.adapter.as_deref()), ("qwen2_5_vl", None));
    window.state_mut().controller.take_dropped(vec![fixture("qwen2_5_vl/adapter")]);
    settle(&mut window);
    let state = &window.state().controller.state;
    assert_eq!(state.model.latest().unwrap().trained_latents, 4);
    // The question was asked anew of each.
    assert_eq!(state.trace.latest().unwrap().num_latents(), 4);
    assert_eq!(state.persisted.recent_models, [fixture("qwen2_5_vl/model")]);
}

#[test]
fn a_deeper_model_while_the_old_trace_is_in_sight() {
    let mut window = asked();
    window.state_mut().controller.take_dropped(vec![fixture("qwen3_vl_big/model")]);
    while window.state().controller.state.model.is_waiting() {
        window.step();
    }
    // Layer 3 is there now, but not in the demo's trace.
    window.state_mut().controller.state.selection.layer = Some(LayerIdx(3));
    window.step();
    settle(&mut window);
    assert_eq!(window.state().controller.state.trace.latest().unwrap().attention_dims(), (4, 6));
}

#[test]
fn a_model_and_its_adapter_dropped_together() {
    let mut window = window();
    let paths = vec![fixture("qwen2_5_vl/adapter"), fixture("qwen2_5_vl/model")];
    window.state_mut().controller.take_dropped(paths);
    settle(&mut window);
    let info = window.state().controller.state.model.latest().unwrap().clone();
    assert_eq!((info.family, info.adapter.as_deref()), ("qwen2_5_vl", Some("adapter")));
}

#[test]
fn an_answer_of_more_tokens_than_a_texture_has_layers() {
    let mut window = window();
    window.state_mut().controller.state.persisted.max_new_tokens = 260;
    click(&mut window, "Ask");
    let count = window.state().controller.state.maps.as_ref().unwrap().queries.len();
    assert!(count > 256, "{count}");
    window.state_mut().controller.state.query = Query::Answer(259);
    window.run_steps(2);
    assert!(window.render().is_ok());
}

#[test]
fn the_window_repaints_while_the_model_works_and_can_stop_it() {
    let mut window = window();
    window.state_mut().controller.state.persisted.max_new_tokens = 512;
    window.get_by_label("Ask").click();
    window.step();
    let mut frames = 0;
    while window.state().controller.state.partial_answer.is_empty() && frames < 10_000 {
        window.step();
        frames += 1;
    }
    assert!(!window.state().is_settled(), "it should still be answering");
    window.get_by_label("Cancel").click();
    settle(&mut window);
    let state = &window.state().controller.state;
    assert!(state.trace.latest().is_none() && state.notices.is_empty());
    window.state_mut().controller.state.persisted.max_new_tokens = 2;
    click(&mut window, "Ask");
    assert!(window.state().controller.state.trace.latest().is_some());
}

/// Keeps what eframe would write to disk.
#[derive(Default)]
struct Memory(std::collections::BTreeMap<String, String>);

impl eframe::Storage for Memory {
    fn get_string(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn set_string(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }

    fn remove_string(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn flush(&mut self) {}
}

#[test]
fn what_the_user_set_is_kept_between_starts() {
    let mut window = asked();
    click(&mut window, "Stage-1 bottleneck mask");
    click(&mut window, "Smooth");
    let mut storage = Memory::default();
    eframe::App::save(window.state_mut(), &mut storage);
    let kept: Persisted = eframe::get_value(&storage, STORAGE_KEY).unwrap();
    assert_eq!(kept, window.state().controller.state.persisted);
    assert_eq!((kept.mask, kept.style.smooth, kept.history.len()), (MaskKind::Bottleneck, true, 1));
    // A file of an older version lacks fields; one that is damaged counts as none.
    storage.0.insert(STORAGE_KEY.to_owned(), "(max_new_tokens: 7)".to_owned());
    let older: Persisted = eframe::get_value(&storage, STORAGE_KEY).unwrap();
    assert_eq!(older, Persisted { max_new_tokens: 7, ..Persisted::default() });
    storage.0.insert(STORAGE_KEY.to_owned(), "((damaged".to_owned());
    assert!(eframe::get_value::<Persisted>(&storage, STORAGE_KEY).is_none());
}

#[test]
fn the_list_of_keys() {
    let mut window = window_of([900.0, 620.0], egui::Theme::Dark, startup());
    window.key_press(egui::Key::F1);
    window.run_steps(3);
    picture(&mut window, "keys");
    window.key_press(egui::Key::Escape);
    window.run_steps(3);
    assert!(!window.state().controller.state.help_open);
}

#[test]
fn a_model_that_is_not_there_says_so() {
    let empty = tempfile::TempDir::new().unwrap();
    let broken = Startup { model: Folder::open(empty.path()).unwrap(), adapter: None, ..startup() };
    let window = window_of([900.0, 600.0], egui::Theme::Dark, broken);
    assert!(window.query_all_by_label_contains("config.json is missing").next().is_some());
    assert!(window.get_by_label("Ask").accesskit_node().is_disabled());
}
