//! Checkpoints and conditions side by side, as one sets them there.

use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::app::hub::actions::{CompareAction, GalleryAction, JobAction};
use livr_explorer::app::parts::compare::CompareRows;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice, LatentChoice, MaskKind};
use livr_explorer::engine::demo::{self, DemoAdapter};
use livr_explorer::engine::ids::{ModelId, Source};

use crate::common::Copy;
use crate::window::{apply, click, open, picture, settle, state};

fn window(size: [f32; 2]) -> Window {
    let adapter = Some(Source::DemoAdapter(DemoAdapter::Livr));
    let actions =
        vec![JobAction::OpenModel { base: Source::Demo, adapter }.into(), GalleryAction::Return.into()];
    let mut window =
        open(size, egui::Theme::Dark, Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions));
    settle(&mut window);
    window
}

fn four_columns(window: &mut Window) {
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num4);
    settle(window);
    for _ in 0..3 {
        click(window, "+ column");
    }
}

/// Every cell's accessible name.
fn cells(window: &Window) -> Vec<String> {
    let is_cell = |name: &String| name.contains(", Standard") || name.contains(", Bottleneck");
    let all = window.get_all_by_role(egui::accesskit::Role::Button);
    all.filter_map(|node| node.accesskit_node().label()).filter(is_cell).collect()
}

#[test]
fn four_checkpoints_answer_one_sample_in_five_presses() {
    let mut window = window([1360.0, 860.0]);
    // The caret is nowhere: letters are keys.
    window.key_press(egui::Key::M);
    settle(&mut window);
    assert_eq!(state(&window).kept.condition.mask, MaskKind::Bottleneck);
    assert_eq!(state(&window).kept.question, demo::first().prompt);
    window.key_press(egui::Key::M);
    settle(&mut window);
    four_columns(&mut window);
    let names = cells(&window);
    assert_eq!(names.len(), 4, "{names:?}");
    for (name, column) in names.iter().zip(["LIVR", "LIVR after Stage 1", "latents only", "direct SFT"]) {
        assert!(name.starts_with(&format!("{column}, Standard: ")), "{name}");
        assert!(name.contains(" %") && (name.contains("right") || name.contains("wrong")), "{name}");
    }
    // All were asked the same, and each by its own model.
    let grid = state(&window).compare.grid();
    let runs: Vec<_> =
        grid.cells[0].iter().map(|cell| state(&window).runs.get(cell.run.unwrap()).unwrap()).collect();
    for run in &runs {
        assert_eq!(run.request.sample, runs[0].request.sample);
        let alone = state(&window).compare.in_sight(run.id, state(&window).panes.map.query);
        assert!(alone.is_some(), "maps of every cell");
    }
    picture(&mut window, "compare_four");

    // The next sample is asked of all of them.
    window.key_press(egui::Key::PageDown);
    settle(&mut window);
    let grid = state(&window).compare.grid();
    assert!(
        grid.cells[0]
            .iter()
            .all(|cell| cell.run.is_some() && cell.request.sample.prompt != demo::first().prompt)
    );
}

#[test]
fn mask_and_latents_are_a_table_and_a_click_takes_a_cell() {
    let mut window = window([1360.0, 860.0]);
    four_columns(&mut window);
    click(&mut window, "Mask x latents");
    let names = cells(&window);
    assert_eq!(names.len(), 16, "{names:?}");
    // Without latents behind the mask nothing is left to see by.
    let blind: Vec<&String> = names.iter().filter(|name| name.contains(", blind")).collect();
    assert_eq!(blind.len(), 5, "four without latents, and the model that has none: {blind:?}");
    let cell =
        names.iter().find(|name| name.starts_with("latents only, Bottleneck (Stage 1), no latents")).unwrap();
    click(&mut window, cell);
    let (state, run) = (state(&window), state(&window).shown_run().unwrap().clone());
    assert_eq!(run.request.condition.mask, MaskKind::Bottleneck);
    assert_eq!(run.request.condition.latents, LatentChoice::Off);
    assert_eq!(run.request.model.adapter, Some(Source::DemoAdapter(DemoAdapter::LatentsOnly)));
    assert_eq!(state.models.chosen(), Some(&run.request.model));
    assert_eq!((state.compare.focus, cells(&window).len()), (2, 16), "its column, and nothing moved");

    // Differences from the first column, by the key and back.
    window.key_press(egui::Key::D);
    settle(&mut window);
    let state = self::state(&window);
    let grid = state.compare.grid();
    let is_difference = |column: usize| {
        let run = grid.cells[0][column].run.unwrap();
        state.compare.in_sight(run, state.panes.map.query).unwrap().rows.is_difference()
    };
    assert_eq!([0, 1, 2].map(is_difference), [false, true, true]);
    picture(&mut window, "compare_differences");
    window.key_press(egui::Key::D);
    settle(&mut window);

    // A row of one's own, and columns taken away.
    click(&mut window, "Keep as a row");
    assert_eq!(cells(&window).len(), 4);
    assert_eq!(self::state(&window).kept.compare.rows, CompareRows::Own);
    click(&mut window, "Take latents only away");
    assert_eq!(cells(&window).len(), 3);
    let kept = &self::state(&window).kept.compare;
    assert!(!kept.columns.contains(&run.request.model) && kept.columns.len() == 3);
    let in_use = self::state(&window).models.chosen().unwrap().clone();
    assert!(kept.columns.contains(&in_use), "the one beside it is in use");
}

#[test]
fn a_model_that_cannot_answer_says_so_in_its_head_and_the_others_do() {
    let mut window = window([1200.0, 800.0]);
    let broken = Copy::of("tiny", "adapter");
    let base = state(&window).models.chosen().unwrap().base.clone();
    let model = ModelId { base, adapter: Some(Source::folder(broken.path())) };
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num4);
    settle(&mut window);
    apply(&mut window, CompareAction::AddColumn(model));
    settle(&mut window);
    click(&mut window, "+ column");
    let grid = state(&window).compare.grid();
    let answered: Vec<bool> = grid.cells[0].iter().map(|cell| cell.run.is_some()).collect();
    assert_eq!(answered, [true, false, true]);
    let [(_, problem)] = &state(&window).compare.problems[..] else { panic!("one problem") };
    assert!(problem.contains("expected"), "{problem}");
    assert!(state(&window).ui.notices.is_empty(), "{:?}", state(&window).ui.notices);
    assert!(cells(&window)[1].contains("this model could not answer"));
}
