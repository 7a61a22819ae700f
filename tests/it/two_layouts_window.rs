//! Two models' layouts side by side, pieces of images at close zoom, layouts that the command line made.

use std::time::Duration;

use egui_kittest::kittest::Queryable;
use livr_explorer::app::hub::actions::{JobAction, LayoutAction};
use livr_explorer::app::parts::states::{LayoutSide, LayoutView, SidePoint};
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::settle;
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::data::tasks::Task;
use livr_explorer::engine::ids::{ModelId, Source};
use livr_explorer::export::layout_file;
use livr_explorer::units::Role;

use crate::cli::livr;
use crate::common::{drawn, fixture};
use crate::layout_window::{count, edit, first, mapped};
use crate::window::{apply, open, state, tolerant};

/// The id of a side's point.
fn token(side: &LayoutSide, point: u32) -> (String, Role, u32) {
    let (number, point) = side.sample_of(point).unwrap();
    (side.collected.records[number].id.clone(), point.kept.role, point.kept.index)
}

#[test]
fn two_models_layouts_share_zoom_and_lasso() {
    let (_data, mut window) = mapped();
    let alone = first(&window).layouts.clone();
    let base = first(&window).collected.model.clone().unwrap();
    apply(&mut window, LayoutAction::SetBeside(Some(ModelId { adapter: None, ..base })));
    assert!(settle(&mut window, Duration::from_mins(2)));
    window.run_steps(2);
    let projection = &state(&window).projection;
    assert_eq!((projection.problem.as_ref(), projection.sides.len()), (None, 2));
    let [one, two] = &projection.sides[..] else { unreachable!() };
    assert!(one.layouts.iter().zip(&alone).all(|(a, b)| a.places == b.places), "the first stays");
    assert_eq!(one.collected.states.layers(), two.collected.states.layers());
    // The base has no latents of its own: what both have is matched, the rest is not.
    let (many, few) = (one.scene().unwrap().points.len(), two.scene().unwrap().points.len());
    let latents = |own: &LayoutSide| {
        own.scene().unwrap().points.iter().filter(|point| point.kept.role == Role::Latent).count()
    };
    assert_eq!((latents(one), latents(two)), (6 * 16, 0));
    assert!(many - few >= 6 * 16);
    assert!(!projection.is_aligned());
    let point = one.points_of(&one.collected.records[3].id, Role::Image, 5)[0];
    let same = projection.same(SidePoint { side: 0, point }, 1).unwrap();
    assert_eq!(token(two, same), token(one, point));
    let latent = one.points_of(&one.collected.records[3].id, Role::Latent, 5)[0];
    assert_eq!(projection.same(SidePoint { side: 0, point: latent }, 1), None);

    // Chosen on one, chosen on both.
    apply(&mut window, LayoutAction::Select(1, vec![same]));
    window.run_steps(2);
    assert_eq!(first(&window).chosen, [point]);
    apply(&mut window, LayoutAction::Select(0, vec![point, latent]));
    window.run_steps(2);
    assert_eq!(
        (first(&window).chosen.len(), &state(&window).projection.sides[1].chosen[..]),
        (2, &[same][..])
    );
    window.get_by_label_contains(&format!("Layout of {few} points, 1 chosen of "));
    assert!(settle(&mut window, Duration::from_mins(1)));
    assert!(state(&window).projection.reading.as_ref().unwrap().is_ok());

    // The layer is both's; nothing beside leaves the first as it was.
    apply(&mut window, LayoutAction::ShowLayer(1));
    window.run_steps(2);
    let layers: Vec<usize> =
        state(&window).projection.sides.iter().map(|own| own.scene().unwrap().layer).collect();
    assert_eq!(layers, [1, 1]);
    apply(&mut window, LayoutAction::SetBeside(None));
    window.run_steps(2);
    assert_eq!((state(&window).projection.sides.len(), first(&window).chosen.len()), (1, 2));
}

#[test]
fn the_same_tokens_of_another_adapter_begin_where_the_first_s_are() {
    let (_data, mut window) = mapped();
    let base = first(&window).collected.model.clone().unwrap();
    // Another, whose files happen to say the same.
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("another");
    std::fs::create_dir(&folder).unwrap();
    for file in std::fs::read_dir(fixture("tiny/adapter")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let other = base.with_adapter(Some(Source::folder(folder)));
    apply(&mut window, LayoutAction::SetBeside(Some(other)));
    assert!(settle(&mut window, Duration::from_mins(2)));
    window.run_steps(2);
    assert!(state(&window).projection.is_aligned());
    // A zoom of one is the zoom of both.
    let view = LayoutView { centre: [1.0, 2.0], scale: 9.0 };
    apply(&mut window, LayoutAction::SetView(1, Some(view)));
    window.run_steps(2);
    assert!(state(&window).projection.sides.iter().all(|own| own.view == Some(view)));
    apply(&mut window, LayoutAction::SetView(0, None));
    edit(&mut window, |form| form.data.clear());
    window.state_mut().controller.state.ui.used_bytes = 0;
    window.run_steps(2);
    window.snapshot_options("layouts_of_two_adapters", &tolerant());

    // Where few points are in view, pieces of their images stand beside them.
    let places = first(&window).scene().unwrap().places.clone();
    let image = first(&window).points_of(&first(&window).collected.records[0].id, Role::Image, 0)[0];
    let view = LayoutView { centre: places[image as usize], scale: 2000.0 };
    apply(&mut window, LayoutAction::SetView(0, Some(view)));
    window.run_steps(2);
    assert!(settle(&mut window, Duration::from_mins(1)));
    window.run_steps(2);
    let (projection, side) = (&state(&window).projection, first(&window));
    let of = side.picture_of(image).unwrap();
    assert!(projection.crops.texture(&window.ctx, of).is_some());
    assert!(projection.crops.wanted.is_empty());
}

#[test]
fn a_layout_of_the_command_line_opens_with_its_states() {
    let place = tempfile::tempdir().unwrap();
    let data = drawn(&[Task::Counting], [3, 0, 0]);
    let data = data.path().join("data/train.jsonl");
    let out = place.path().join("map.safetensors");
    let text = |path: &std::path::Path| path.display().to_string();
    let (model, adapter) = (text(&fixture("tiny/model")), text(&fixture("tiny/adapter")));
    let made = livr(&[
        "project",
        "--model",
        &model,
        "--adapter",
        &adapter,
        "--data",
        &text(&data),
        "--out",
        &text(&out),
        "--layer",
        "all",
        "--perplexity",
        "5",
        "--iterations",
        "30",
    ]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, Vec::new());
    let mut window = open([1300.0, 820.0], egui::Theme::Dark, startup);
    apply(&mut window, JobAction::TakePaths(vec![out.clone()]));
    assert!(settle(&mut window, Duration::from_mins(1)));
    window.run_steps(2);
    let file = layout_file::read(&out).unwrap();
    let side = first(&window);
    assert_eq!(side.layouts.iter().map(|own| own.places.len()).sum::<usize>(), file.places.len());
    let last = side.layouts.last().unwrap();
    assert_eq!(last.places[..], file.places[file.places.len() - last.places.len()..]);
    assert_eq!(
        last.divergence,
        serde_json::from_str::<Vec<f64>>(&file.metadata["kl"]).unwrap()[side.layouts.len() - 1]
    );
    assert!(last.measures.collapse.is_some());
    window.get_by_label_contains("neighbours kept");
    // It says whose it is: what is chosen is read, what is clicked is asked.
    apply(&mut window, LayoutAction::Select(0, vec![0, 1, 2]));
    assert!(settle(&mut window, Duration::from_mins(1)));
    assert!(state(&window).projection.reading.as_ref().unwrap().is_ok());
    apply(&mut window, LayoutAction::Open(SidePoint { side: 0, point: 0 }));
    window.run_steps(2);
    assert_eq!(state(&window).kept.question, first(&window).collected.records[0].prompt);

    // What is not whole leaves what is there.
    let points = count(&window);
    std::fs::rename(place.path().join("map.states"), place.path().join("other.states")).unwrap();
    apply(&mut window, JobAction::TakePaths(vec![out.clone()]));
    assert!(settle(&mut window, Duration::from_mins(1)));
    window.run_steps(2);
    window.get_by_label_contains("folder of the layout's states is missing");
    assert_eq!(count(&window), points);
    let alone = place.path().join("alone.safetensors");
    layout_file::write(&alone, &[[0.0, 1.0]], &[], &[]).unwrap();
    apply(&mut window, JobAction::TakePaths(vec![alone]));
    assert!(settle(&mut window, Duration::from_mins(1)));
    window.run_steps(2);
    window.get_by_label_contains("of a layout of a data set's states, found places only");
}
