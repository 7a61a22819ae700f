//! The window as its user has it: clicked by accessible name, pictures compared. Nothing but actions changes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use egui_kittest::SnapshotOptions;
use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::analysis::query::{Query, Selection};
use livr_explorer::app::hub::actions::{Action, EditAction, ImagesAction, JobAction, ViewAction};
use livr_explorer::app::hub::preferences::Preferences;
use livr_explorer::app::hub::state::State;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::{Offscreen, Window};
use livr_explorer::ask::{DeviceChoice, DtypeChoice, LatentChoice, MaskKind, PixelBudget};
use livr_explorer::engine::ids::Run;
use livr_explorer::engine::model_info::ModelInfo;
use livr_explorer::trace::Timings;
use livr_explorer::units::{HeadIdx, LayerIdx};

use crate::common::{Copy, fixture, photo, source, tiny};

/// Software drivers differ by one grey level on a few pixels, and fonts by hinting.
pub fn tolerant() -> SnapshotOptions {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    SnapshotOptions::new().threshold(1.5).max_failed_pixels(40).output_path(snapshots)
}

/// A tiny model, a photograph with a question, and answers of three tokens.
pub fn first_actions() -> Vec<Action> {
    let (base, adapter) = tiny();
    vec![
        JobAction::OpenModel { base, adapter }.into(),
        ImagesAction::Add(vec![Arc::new(photo())]).into(),
        EditAction::SetQuestion("What stands next to the cup? (A) a spoon (B) a glass".to_owned()).into(),
        EditAction::SetMaxNewTokens(3).into(),
    ]
}

fn startup(actions: Vec<Action>) -> Startup {
    Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions)
}

pub fn open(size: [f32; 2], theme: egui::Theme, startup: Startup) -> Window {
    let form = Offscreen { size, scale: 1.0, theme, system_fonts: false };
    form.open(startup).expect("a graphics driver, in software if need be")
}

fn window_of(size: [f32; 2], theme: egui::Theme, startup: Startup) -> Window {
    let mut window = open(size, theme, startup);
    settle(&mut window);
    window
}

fn window() -> Window {
    window_of([1200.0, 800.0], egui::Theme::Dark, startup(first_actions()))
}

/// Steps until nothing is under way.
pub fn settle(window: &mut Window) {
    let settled = livr_explorer::app::window::offscreen::settle(window, Duration::from_mins(2));
    assert!(settled, "it never settles");
}

pub fn state(window: &Window) -> &State {
    window.state().state()
}

/// Does what a panel or the command line would ask for.
pub fn apply(window: &mut Window, action: impl Into<Action>) {
    let ctx = window.ctx.clone();
    window.state_mut().controller.apply(action, &ctx);
}

fn run(window: &Window) -> Arc<Run> {
    state(window).shown_run().expect("an answer").clone()
}

fn info(window: &Window) -> &ModelInfo {
    state(window).models.in_use.as_ref().expect("a model")
}

pub fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    settle(window);
}

/// Takes one of a list.
pub fn choose(window: &mut Window, list: &str, option: &str) {
    click(window, list);
    window.get_by_role_and_label(egui::accesskit::Role::Button, option).click();
    settle(window);
}

fn asked() -> Window {
    let mut window = window();
    click(&mut window, "Ask");
    window
}

/// Hides what differs from machine to machine: threads and memory, and the run's time.
pub fn picture(window: &mut Window, name: &str) {
    window.remove_cursor();
    let state = &mut window.state_mut().controller.state;
    state.ui.used_bytes = 0;
    if let Some(info) = &mut state.models.in_use {
        "CPU".clone_into(&mut info.device);
    }
    if let Some(run) = state.shown_run().cloned() {
        let mut timeless = Run::clone(&run);
        Arc::make_mut(&mut timeless.trace).timings = Timings::default();
        state.runs.insert(Arc::new(timeless), |_| true);
    }
    window.run_steps(2);
    window.snapshot_options(name, &tolerant());
}

#[test]
fn the_first_minute() {
    let mut window = window();
    picture(&mut window, "first_window");
    // Enter in the question box asks.
    window.get_by_label("Question to ask").focus();
    window.run_steps(1);
    window.key_press(egui::Key::Enter);
    settle(&mut window);
    let trace = run(&window).trace.clone();
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
    let mut window = window_of([860.0, 560.0], egui::Theme::Light, startup(first_actions()));
    click(&mut window, "Light theme");
    click(&mut window, "Ask");
    picture(&mut window, "light_small");
}

#[test]
fn the_stage_one_switch_answers_anew() {
    let mut window = asked();
    // One head of one layer, where the mask shows: the mean over all hides it behind the rest.
    let selection = Selection { layer: Some(LayerIdx(2)), head: Some(HeadIdx(0)), ..Selection::default() };
    apply(&mut window, ViewAction::Select(selection));
    apply(&mut window, ViewAction::SelectQuery(Query::Answer(0)));
    settle(&mut window);
    let before = run(&window);
    let map = |window: &Window| {
        let shown = state(window).panes.map.in_sight().unwrap();
        shown.maps.maps[shown.query][0].values.clone()
    };
    assert!(map(&window).iter().all(|p| *p > 0.0), "without the mask the answer sees every patch");
    choose(&mut window, "Mask", "Bottleneck (Stage 1)");
    let after = run(&window);
    assert_eq!(after.request.condition.mask, MaskKind::Bottleneck);
    assert_ne!(before.id, after.id);
    let logprob = |run: &Run| run.trace.choices[0].logprob;
    assert_ne!(logprob(&before), logprob(&after));
    assert!(map(&window).iter().all(|p| *p == 0.0), "with it the answer sees none");
    // The same images: the vision tower did not run again.
    assert_eq!(after.trace.timings.vision_secs, 0.0);
    window.get_by_role_and_label(egui::accesskit::Role::CheckBox, "Latents").click();
    settle(&mut window);
    assert_eq!(run(&window).trace.num_latents(), 0);
    assert_eq!(state(&window).panes.map.query, Query::Answer(0));
    assert_eq!(state(&window).kept.condition.latents, LatentChoice::Off);
}

#[test]
fn latents_layers_and_heads_by_click_and_by_key() {
    let mut window = asked();
    window.get_by_label_contains("Latent 5,").click();
    window.run_steps(2);
    assert_eq!(state(&window).panes.map.query, Query::Latent(5));
    // Keys go to the window once no text is being edited.
    window.get_by_label_contains("Latent 5,").focus();
    window.run_steps(1);
    let keys = [egui::Key::M, egui::Key::CloseBracket, egui::Key::CloseBracket, egui::Key::S];
    for key in keys {
        window.key_press(key);
        settle(&mut window);
    }
    let view = state(&window).kept.view;
    assert_eq!(state(&window).kept.condition.mask, MaskKind::Bottleneck);
    assert_eq!(view.selection.head.map(|h| h.0), Some(1));
    assert!(!view.style.smooth, "it is at first");
    let selection = Selection { layer: Some(LayerIdx(2)), ..view.selection };
    apply(&mut window, ViewAction::Select(selection));
    settle(&mut window);
    picture(&mut window, "latent_5_layer_2_head_1_sharp");
}

#[test]
fn hovering_a_patch_reads_it_out() {
    let mut window = asked();
    let canvas = window.get_by_label_contains("images with the attention of latent 0").rect();
    window.hover_at(canvas.center());
    window.run_steps(3);
    let hovered = state(&window).panes.map.hovered.expect("a patch");
    assert!(window.query_by_label_contains("most from latents").is_some());
    let trace = &run(&window).trace;
    let (rows, cols) = trace.grids[0].merged(trace.merge_size);
    assert_eq!((hovered.row, hovered.col), (rows / 2, cols / 2));
}

#[test]
fn images_come_go_and_come_back() {
    let mut window = asked();
    let dir = fixture("qwen3_vl/images");
    apply(&mut window, ImagesAction::Read(vec![dir.join("0.png"), dir.join("1.png")]));
    settle(&mut window);
    assert!(window.query_by_label_contains("you have changed the images: ask again").is_some());
    // The photograph that was asked about still shows its map.
    assert!(window.query_by_label_contains("3 images with the attention of latent 0").is_some());
    picture(&mut window, "three_images_before_asking");
    // One batch, one step to take back.
    click(&mut window, "Undo");
    assert_eq!(state(&window).images.len(), 1);
    apply(&mut window, EditAction::Redo);
    settle(&mut window);
    click(&mut window, "Clear images");
    assert!(state(&window).images.is_empty());
    picture(&mut window, "no_images");
    click(&mut window, "Undo");
    assert_eq!(state(&window).images.len(), 3);
    click(&mut window, "Ask");
    let shown = state(&window).panes.map.in_sight().unwrap();
    assert_eq!(shown.maps.maps[0].len(), 3);
}

#[test]
fn a_question_and_choices_replaced_come_back() {
    let mut window = asked();
    let first = state(&window).kept.question.clone();
    apply(&mut window, EditAction::SetQuestion("Another question entirely".to_owned()));
    window.run_steps(2);
    assert!(window.query_by_label_contains("you have changed the question").is_some());
    click(&mut window, "Undo");
    assert_eq!(state(&window).kept.question, first);
    assert!(window.query_by_label_contains("you have changed").is_none());
    apply(&mut window, EditAction::Redo);
    assert_eq!(state(&window).kept.question, "Another question entirely");
    for typed in ["r", "red", "red, \"pale, blue\""] {
        apply(&mut window, EditAction::SetChoices(typed.to_owned()));
    }
    assert_eq!(state(&window).sample().choices, ["red", "pale, blue"]);
    click(&mut window, "Undo");
    assert_eq!(state(&window).kept.choices, "", "letters typed one after another are one step");
    assert_eq!(state(&window).kept.question, "Another question entirely");
}

#[test]
fn a_bad_model_leaves_the_one_in_use() {
    let broken = Copy::of("qwen3_vl", "model");
    broken.edit_json("config.json", |config| config["model_type"] = "llama".into());
    let mut window = asked();
    let before = run(&window);
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::O);
    window.run_steps(2);
    window
        .get_by_role_and_label(egui::accesskit::Role::TextInput, "Open model")
        .type_text(&broken.path().display().to_string());
    window.run_steps(2);
    click(&mut window, "Open");
    assert!(window.query_by_label_contains("expected qwen2_5_vl or qwen3_vl, found \"llama\"").is_some());
    assert_eq!(state(&window).ui.notices.len(), 1, "one failure, one notice");
    assert_eq!(info(&window).family, "qwen3_vl");
    // The answer in sight is still that of the model in use.
    assert_eq!(run(&window).id, before.id);
    assert!(state(&window).is_current(&before));
    click(&mut window, "Ask");
    assert_ne!(run(&window).id, before.id);
    click(&mut window, "Dismiss");
    assert!(state(&window).ui.notices.is_empty());
}

#[test]
fn models_and_adapters_change_hands() {
    let mut window = asked();
    apply(&mut window, JobAction::TakePaths(vec![fixture("qwen2_5_vl/model")]));
    settle(&mut window);
    assert_eq!((info(&window).family, info(&window).adapter.as_deref()), ("qwen2_5_vl", None));
    apply(&mut window, JobAction::TakePaths(vec![fixture("qwen2_5_vl/adapter")]));
    settle(&mut window);
    assert_eq!(info(&window).trained_latents, 4);
    // The question was asked anew of each.
    assert_eq!(run(&window).request.model, info(&window).id);
    assert_eq!(run(&window).trace.num_latents(), 4);
    assert_eq!(state(&window).kept.recent_models, [fixture("qwen2_5_vl/model"), fixture("tiny/model")]);
    assert_eq!(state(&window).kept.recent_adapters, [fixture("qwen2_5_vl/adapter"), fixture("tiny/adapter")]);
}

#[test]
fn a_deeper_model_while_the_old_run_is_in_sight() {
    let mut window = asked();
    apply(&mut window, JobAction::TakePaths(vec![fixture("qwen3_vl_big/model")]));
    while state(&window).models.opening.is_some() {
        window.step();
    }
    // Layer 3 is there now, but not in the tiny model's run.
    let selection = Selection { layer: Some(LayerIdx(3)), ..state(&window).kept.view.selection };
    apply(&mut window, ViewAction::Select(selection));
    window.step();
    settle(&mut window);
    assert_eq!(run(&window).trace.attention_dims(), (4, 6));
}

#[test]
fn a_model_and_its_adapter_dropped_together() {
    let mut window = window();
    let paths = vec![fixture("qwen2_5_vl/adapter"), fixture("qwen2_5_vl/model")];
    apply(&mut window, JobAction::TakePaths(paths));
    settle(&mut window);
    assert_eq!(
        (info(&window).family, info(&window).adapter.as_deref()),
        ("qwen2_5_vl", Some("qwen2_5_vl/adapter"))
    );
    assert!(state(&window).ui.notices.is_empty());
}

#[test]
fn an_answer_of_more_tokens_than_a_texture_has_layers() {
    let mut window = window();
    apply(&mut window, EditAction::SetMaxNewTokens(260));
    click(&mut window, "Ask");
    let count = state(&window).panes.map.in_sight().unwrap().rows.queries.len();
    assert!(count > 256, "{count}");
    apply(&mut window, ViewAction::SelectQuery(Query::Answer(259)));
    window.run_steps(2);
    assert!(window.render().is_ok());
}

#[test]
fn the_window_repaints_while_the_model_works_and_can_stop_it() {
    let mut window = window();
    apply(&mut window, EditAction::SetMaxNewTokens(512));
    window.get_by_label("Ask").click();
    window.step();
    // Each frame shows how far the answer is: were the window to wait for the model, it would see the end only.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 5 {
        window.step();
        let asked = state(&window).runs.asked.as_ref().expect("it answers until it is stopped");
        seen.insert(asked.partial_answer.clone());
    }
    // The prompt has been read: maps of the latents are there before the answer is.
    let early = run(&window);
    assert!(early.id.is_partial() && early.trace.generated.is_empty());
    while state(&window).panes.map.is_waiting() {
        window.step();
    }
    assert_eq!(state(&window).panes.map.in_sight().unwrap().rows.queries.len(), 16);
    assert!(window.query_by_label_contains("tokens/s").is_some());
    while window.get_by_label("Stop").accesskit_node().is_disabled() {
        window.step();
    }
    window.get_by_label("Stop").click();
    settle(&mut window);
    // What there was is kept, each token with its row.
    let stopped = run(&window).trace.clone();
    assert!(stopped.stopped && state(&window).ui.notices.is_empty());
    let count = stopped.generated.len();
    assert!((1..512).contains(&count) && stopped.answer_attentions.as_ref().unwrap().num_tokens() == count);
    assert!(window.query_by_label_contains(&format!("Stopped at token {count}")).is_some());
    apply(&mut window, EditAction::SetMaxNewTokens(2));
    click(&mut window, "Ask");
    assert_eq!(run(&window).trace.generated.len(), 2);
}

#[test]
fn what_the_user_set_is_kept_between_starts() {
    let dir = tempfile::TempDir::new().unwrap();
    let kept_in: PathBuf = dir.path().join("kept.json");
    let remembering = |actions| Startup { kept_in: Some(kept_in.clone()), ..startup(actions) };
    let mut first = window_of([900.0, 620.0], egui::Theme::Dark, remembering(first_actions()));
    // What is said at a first start is gone with a key.
    assert!(first.query_by_label("Understood (Esc)").is_some());
    first.key_press(egui::Key::Escape);
    first.run_steps(3);
    assert!(first.query_by_label("Understood (Esc)").is_none());
    choose(&mut first, "Mask", "Bottleneck (Stage 1)");
    click(&mut first, "Smooth");
    click(&mut first, "Ask");
    eframe::App::on_exit(first.state_mut());
    let kept = state(&first).kept.clone();
    assert_eq!(Preferences::read(&kept_in), kept);
    let second = window_of([900.0, 620.0], egui::Theme::Dark, remembering(Vec::new()));
    assert_eq!(state(&second).kept, kept);
    assert_eq!((kept.condition.mask, kept.view.style.smooth), (MaskKind::Bottleneck, false));
    assert_eq!((kept.condition.decoding.max_new_tokens, kept.history.len()), (3, 1));
}

#[test]
fn a_model_that_is_not_there_says_so() {
    let empty = tempfile::TempDir::new().unwrap();
    let open: Action = JobAction::OpenModel { base: source(empty.path()), adapter: None }.into();
    let mut window = window_of([900.0, 600.0], egui::Theme::Dark, startup(vec![open, JobAction::Ask.into()]));
    assert_eq!(window.query_all_by_label_contains("config.json is missing").count(), 1, "said once");
    assert!(window.query_all_by_label_contains("No model is open").next().is_some());
    for control in ["Ask", "Latents", "Mask", "Smooth"] {
        let node = window.query_all_by_label(control).last().unwrap();
        assert!(node.accesskit_node().is_disabled(), "{control}");
    }
    assert!(state(&window).ui.notices.is_empty());
    // A good one makes it good again.
    apply(&mut window, JobAction::OpenModel { base: tiny().0, adapter: None });
    settle(&mut window);
    assert!(!window.get_by_label("Ask").accesskit_node().is_disabled());
}

#[test]
fn fewer_latents_can_be_asked_for() {
    let mut window = asked();
    apply(&mut window, EditAction::SetLatents(LatentChoice::Count(5)));
    settle(&mut window);
    assert_eq!(run(&window).trace.num_latents(), 5);
    // Of a model without trained latents, untrained rows can stand in.
    apply(&mut window, JobAction::SetAdapter(None));
    settle(&mut window);
    assert_eq!((info(&window).trained_latents, run(&window).trace.num_latents()), (0, 5));
}

#[test]
fn larger_images_cost_more_tokens() {
    let mut window = asked();
    let tokens = |window: &Window| run(window).trace.image_spans[0].len();
    let auto = tokens(&window);
    apply(&mut window, EditAction::SetMaxPixels(PixelBudget::Pixels(64 * 64)));
    settle(&mut window);
    let small = tokens(&window);
    assert!(small <= 4 && small < auto, "{small} of {auto}");
    let (height, width) = run(&window).trace.read_size(0);
    assert!(window.query_by_label(&format!("read at {width} x {height}")).is_some());
}
