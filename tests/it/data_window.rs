//! A data set in the window: opened, asked of two models, filtered to where they disagree, walked.

use egui_kittest::kittest::{NodeT, Queryable};
use livr_explorer::app::hub::actions::{DataAction, GalleryAction, JobAction, WindowAction};
use livr_explorer::app::hub::path_kind::PathKind;
use livr_explorer::app::parts::data::{DataForm, RowFilter};
use livr_explorer::app::parts::tiling::Pane;
use livr_explorer::app::rooms::data::handle::{column_name, columns};
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::data::tasks::Task;
use livr_explorer::engine::demo::{self, DemoAdapter};
use livr_explorer::engine::ids::Source;

use crate::common::drawn;
use crate::window::{apply, click, open, picture, settle, state};

fn window() -> Window {
    let adapter = Some(Source::DemoAdapter(DemoAdapter::Livr));
    let actions =
        vec![JobAction::OpenModel { base: Source::Demo, adapter }.into(), GalleryAction::Return.into()];
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions);
    let mut window = open([1360.0, 860.0], egui::Theme::Dark, startup);
    settle(&mut window);
    window
}

#[test]
fn two_checkpoints_over_a_data_set_to_where_they_disagree() {
    let place = drawn(&[Task::Counting, Task::ArtStyle], [8, 0, 0]);
    let file = place.path().join("data/train.jsonl");
    let mut window = window();
    // Two columns, a data file dropped on the window, all asked.
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num4);
    settle(&mut window);
    click(&mut window, "+ column");
    apply(&mut window, JobAction::TakePaths(vec![file.clone()]));
    settle(&mut window);
    assert!(state(&window).kept.layout.is_shown(Pane::Data));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num7);
    settle(&mut window);
    assert_eq!(state(&window).data.rows().len(), 16);
    click(&mut window, "Ask all");
    let two = columns(state(&window));
    let data = &state(&window).data;
    assert_eq!((two.len(), data.asking, data.problem.as_ref()), (2, false, None));
    assert!(two.iter().all(|column| data.answered(column) == 16));
    // As the evaluation on the command line has it.
    let accuracies = data.accuracies(&two);
    assert_eq!(accuracies.len(), 3, "two tasks, and all");
    let right = (0..16).filter(|row| data.answer(&two[0], *row).unwrap().prediction.correct).count();
    let all = accuracies[2].1[0].clone().unwrap();
    assert_eq!((all.samples, (all.accuracy * 16.0).round() as usize), (16, right));
    window.run_steps(3);
    picture(&mut window, "data");

    click(&mut window, "They disagree");
    let data = &state(&window).data;
    let differ = |row: usize| {
        let [a, b] = [&two[0], &two[1]].map(|column| data.answer(column, row).unwrap());
        a.prediction.pred != b.prediction.pred
    };
    let expected: Vec<usize> = (0..16).filter(|row| differ(*row)).collect();
    assert_eq!(data.rows(), expected);
    click(&mut window, "All");

    // A row is asked by a click, with its verdict; the keys walk the rows in sight.
    let name = |window: &Window, row: usize| format!("Sample {},", state(window).data.set.records[row].id);
    let label = name(&window, 3);
    window.get_by_label_contains(&label).click();
    settle(&mut window);
    let record = state(&window).data.set.records[3].clone();
    let run = state(&window).shown_run().unwrap().clone();
    assert_eq!(run.request.sample.prompt, record.prompt);
    assert_eq!(state(&window).verdict(&run).unwrap().target, record.target);
    window.key_press(egui::Key::PageDown);
    settle(&mut window);
    assert_eq!(state(&window).data.selected, Some(4));
    let prompt = &state(&window).data.set.records[4].prompt;
    assert_eq!(&state(&window).shown_run().unwrap().request.sample.prompt, prompt);

    // The table as it is in sight.
    let form = DataForm { filter: RowFilter::Wrong, ..state(&window).kept.data.clone() };
    apply(&mut window, DataAction::Edit(Box::new(form)));
    settle(&mut window);
    let wrong = state(&window).data.rows().len();
    let table = place.path().join("table.csv");
    apply(&mut window, WindowAction::OpenPathDialog(PathKind::DataTable));
    apply(&mut window, WindowAction::EditPath(table.display().to_string()));
    apply(&mut window, JobAction::TakePath);
    settle(&mut window);
    let text = std::fs::read_to_string(&table).unwrap();
    assert_eq!(text.lines().count(), 1 + wrong);
    assert!(text.starts_with("\"id\",\"task\",\"question\",\"expected\",\"LIVR: answer\""), "{text}");
}

#[test]
fn open_images_given_a_data_file_opens_it_and_what_cannot_be_asked_is_passed_over() {
    let place = drawn(&[Task::Counting], [3, 0, 0]);
    let file = place.path().join("data/train.jsonl");
    let record = livr_explorer::data::dataset::read(&file).unwrap().remove(1);
    let livr_explorer::data::record::ImageSource::File(image) = &record.images[0] else { panic!("a file") };
    std::fs::write(image, "no picture").unwrap();
    let mut window = window();
    let before = state(&window).images.len();
    apply(&mut window, WindowAction::OpenPathDialog(PathKind::Images));
    apply(&mut window, WindowAction::EditPath(file.display().to_string()));
    apply(&mut window, JobAction::TakePath);
    settle(&mut window);
    assert_eq!(state(&window).images.len(), before, "no image was taken for it");
    assert_eq!(state(&window).data.set.records.len(), 3);
    apply(&mut window, DataAction::AskAll(true));
    settle(&mut window);
    let data = &state(&window).data;
    assert_eq!(data.answered(&columns(state(&window))[0]), 2);
    assert_eq!(data.problems.keys().copied().collect::<Vec<_>>(), [1]);
    assert!(data.problems[&1].contains("000001") && !data.asking, "{:?}", data.problems);
    // The built-in samples are such a table.
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num7);
    settle(&mut window);
    click(&mut window, "Built-in samples");
    assert_eq!(state(&window).data.set.records.len(), demo::gallery().len());
    let names: Vec<String> = window
        .get_all_by_role(egui::accesskit::Role::Button)
        .filter_map(|node| node.accesskit_node().label())
        .filter(|name| name.starts_with("Sample "))
        .collect();
    assert!((5..demo::gallery().len()).contains(&names.len()), "rows in sight alone: {}", names.len());
}

#[test]
fn the_result_of_a_study_is_a_column_beside_what_is_asked_here() {
    let place = drawn(&[Task::Counting], [3, 0, 0]);
    let file = place.path().join("data/train.jsonl");
    let result = place.path().join("without.json");
    let mut eval = std::process::Command::new(env!("CARGO_BIN_EXE_livr"));
    eval.arg("eval").arg("--data").arg(&file).arg("--out").arg(&result).args(["--adapter", "none"]);
    assert!(eval.output().unwrap().status.success());
    let study = place.path().join("study");
    let mut both = std::process::Command::new(env!("CARGO_BIN_EXE_livr"));
    both.arg("experiment")
        .arg("--data")
        .arg(&file)
        .arg("--out")
        .arg(&study)
        .args(["--adapters", "own=demo:livr"]);
    assert!(both.output().unwrap().status.success());

    let mut window = window();
    apply(&mut window, JobAction::TakePaths(vec![result]));
    settle(&mut window);
    // Alone it is a table of what its samples are called, and what was said.
    let data = &state(&window).data;
    assert_eq!((data.set.records.len(), data.read_columns().len()), (3, 1));
    let column = data.read_columns().remove(0);
    let said = data.answer(&column, 0).unwrap().prediction.pred.clone();
    assert!(data.set.records[0].prompt.is_empty());
    // With its data the samples are there too.
    apply(&mut window, JobAction::TakePaths(vec![file]));
    settle(&mut window);
    let data = &state(&window).data;
    assert!(!data.set.records[0].prompt.is_empty());
    assert_eq!(data.answer(&column, 0).unwrap().prediction.pred, said);
    // A folder has a column a cell: the battery's, each under its condition.
    apply(&mut window, JobAction::TakePaths(vec![study]));
    settle(&mut window);
    let names: Vec<String> =
        columns(state(&window)).iter().map(|own| column_name(state(&window), own)).collect();
    assert!(names.contains(&"without".to_owned()), "{names:?}");
    assert!(names.iter().filter(|name| name.starts_with("own, ")).count() >= 4, "{names:?}");
    // Behind the mask without latents nothing is seen: the window says so of what it asks itself.
    apply(&mut window, DataAction::AskAll(true));
    settle(&mut window);
    window.key_press(egui::Key::M);
    settle(&mut window);
    apply(&mut window, DataAction::AskAll(true));
    settle(&mut window);
    let own = columns(state(&window)).remove(0);
    assert_eq!(state(&window).data.other_conditions(&[own]).len(), 1, "asked with the mask and without");
}
