//! Maps of hidden states in the window: from one button to a map, looked at, chosen from, and opened.

use std::time::Duration;

use egui_kittest::kittest::Queryable;
use livr_explorer::analysis::query::Query;
use livr_explorer::app::hub::actions::{LayoutAction, WindowAction};
use livr_explorer::app::parts::states::{ColourBy, LayoutForm, LayoutSide, LayoutStatus, SidePoint, Tool};
use livr_explorer::app::rooms::states::scatter::fit;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::{Window, settle};
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use livr_explorer::data::tasks::Task;
use livr_explorer::engine::fake::scripted;
use livr_explorer::engine::protocol::{Command, News};
use livr_explorer::render::frames::Frames;
use livr_explorer::render::points::{Instance, PointSet, PointsPaint};
use livr_explorer::units::Role;

use tempfile::TempDir;

use crate::common::drawn;
use crate::window::{apply, first_actions, open, state, tolerant};

pub fn edit(window: &mut Window, change: impl FnOnce(&mut LayoutForm)) {
    let mut form = state(window).kept.map.clone();
    change(&mut form);
    apply(window, LayoutAction::Edit(Box::new(form)));
    window.run_steps(2);
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click();
    window.run_steps(3);
}

/// A window with a map of every layer.
pub fn mapped() -> (TempDir, Window) {
    let data = drawn(&[Task::Counting, Task::Jigsaw], [3, 0, 0]);
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, first_actions());
    let mut window = open([1300.0, 820.0], egui::Theme::Dark, startup);
    assert!(settle(&mut window, Duration::from_mins(1)));
    click(&mut window, "States");
    edit(&mut window, |form| {
        form.data = data.path().join("data/train.jsonl").display().to_string();
        form.all_layers = true;
        form.perplexity = 5.0;
        form.steps = 45;
    });
    click(&mut window, "Make layout");
    assert!(settle(&mut window, Duration::from_mins(2)));
    let projection = &state(&window).projection;
    assert_eq!((projection.problem.as_ref(), projection.under), (None, LayoutStatus::Nothing));
    (data, window)
}

/// The first of the layouts side by side.
pub fn first(window: &Window) -> &LayoutSide {
    state(window).projection.first().unwrap()
}

/// Points of the map that is shown.
pub fn count(window: &Window) -> usize {
    state(window).projection.scene().unwrap().points.len()
}

#[test]
fn from_samples_to_a_map_of_what_is_asked_for() {
    let (_data, mut window) = mapped();
    let projection = &state(&window).projection;
    let side = projection.first().unwrap();
    let collected = side.collected.clone();
    assert_eq!(collected.records.len(), 6);
    assert_eq!(side.layouts.len(), collected.states.layers().len());
    let scene = projection.scene().unwrap();
    assert_eq!(scene.points.len(), scene.places.len());
    assert_eq!(scene.set.instances.len(), scene.points.len());
    let count = |role: Role| scene.points.iter().filter(|point| point.kept.role == role).count();
    let (latents, visual) = (count(Role::Latent), count(Role::Image));
    assert!(latents == 6 * 16 && visual > 0);
    window.get_by_label(&format!("Layout of {} points, 0 chosen", scene.points.len()));

    // What is not shown is not drawn, and cannot be chosen.
    edit(&mut window, |form| form.shown = [true, false, false]);
    assert_eq!(state(&window).projection.scene().unwrap().set.instances.len(), latents);
    edit(&mut window, |form| {
        form.shown = [true; 3];
        form.task = "counting".to_owned();
        form.colour = ColourBy::Task;
    });
    let scene = state(&window).projection.scene().unwrap();
    assert!(scene.set.instances.len() < scene.points.len());
    edit(&mut window, |form| form.task.clear());

    // Another layer is the same points elsewhere.
    let last = state(&window).projection.scene().unwrap().places.clone();
    apply(&mut window, LayoutAction::ShowLayer(0));
    window.run_steps(2);
    let scene = state(&window).projection.scene().unwrap();
    assert!(scene.layer == 0 && *scene.places != *last && scene.places.len() == last.len());
}

#[test]
fn points_are_chosen_by_a_box_and_opened_by_a_click() {
    let (_data, mut window) = mapped();
    let collected = first(&window).collected.clone();
    // A box around everything, drawn with the pointer.
    apply(&mut window, LayoutAction::SetTool(Tool::Box));
    window.run_steps(2);
    let total = count(&window);
    let rect = window.get_by_label(&format!("Layout of {total} points, 0 chosen")).rect();
    window.drag_at(rect.left_top() + egui::vec2(3.0, 3.0));
    window.run_steps(2);
    window.hover_at(rect.center());
    window.run_steps(2);
    window.hover_at(rect.right_bottom() - egui::vec2(3.0, 3.0));
    window.run_steps(2);
    window.drop_at(rect.right_bottom() - egui::vec2(3.0, 3.0));
    window.run_steps(3);
    assert_eq!(first(&window).chosen.len(), total);
    window.get_by_label(&format!("{total} points chosen"));
    // What they say at each layer, and whom they are near.
    assert!(settle(&mut window, Duration::from_mins(1)));
    let reading = state(&window).projection.reading.clone().unwrap().unwrap();
    let layers: Vec<usize> = reading.words.iter().map(|at| at.layer).collect();
    assert_eq!(layers, collected.states.layers());
    assert!(reading.words.iter().all(|at| at.words.len() == 5));
    assert!((reading.near.iter().map(|near| near.share).sum::<f64>() - 1.0).abs() < 1e-9);
    window.run_steps(2);
    window.get_by_label("Would say");
    click(&mut window, "Clear");
    assert!(first(&window).chosen.is_empty());

    // A click on a latent asks its sample, with that latent's attention shown.
    let is_latent = |point: &u32| {
        let kept = state(&window).projection.scene().unwrap().points[*point as usize].kept;
        kept.role == Role::Latent && kept.index == 2
    };
    let latent = (0..total as u32).rfind(is_latent).unwrap();
    let at = {
        let places = &state(&window).projection.scene().unwrap().places;
        let (view, [x, y]) = (fit(places, rect.size()), places[latent as usize]);
        rect.center() + egui::vec2(x - view.centre[0], view.centre[1] - y) * view.scale
    };
    window.hover_at(at);
    window.run_steps(3);
    // Another may lie on it.
    assert!(state(&window).projection.hovered.is_some());
    window.get_by_label("Click to ask it");
    apply(&mut window, LayoutAction::Open(SidePoint { side: 0, point: latent }));
    assert!(settle(&mut window, Duration::from_mins(1)));
    assert_eq!(state(&window).kept.question, collected.records[5].prompt);
    assert_eq!(state(&window).panes.map.query, Query::Latent(2));
    assert_eq!(state(&window).shown_run().unwrap().request.sample.prompt, collected.records[5].prompt);
}

#[test]
fn states_are_kept_once_and_only_those_that_are_asked_for() {
    let (data, mut window) = mapped();
    let (collected, total) = (first(&window).collected.clone(), count(&window));
    // Another seed is another map of the same.
    let states = std::fs::metadata(collected.folder.join("states.f16")).unwrap();
    edit(&mut window, |form| form.seed = 7);
    apply(&mut window, LayoutAction::Start);
    assert!(settle(&mut window, Duration::from_mins(1)));
    let now = std::fs::metadata(collected.folder.join("states.f16")).unwrap();
    assert_eq!((now.len(), now.modified().unwrap()), (states.len(), states.modified().unwrap()));
    assert_eq!(count(&window), total);
    // Only what is asked for is kept: a large model's states of all layers are gigabytes.
    edit(&mut window, |form| (form.all_layers, form.tokens) = (false, [true, true, false]));
    apply(&mut window, LayoutAction::Start);
    assert!(settle(&mut window, Duration::from_mins(1)));
    let last = first(&window).collected.clone();
    assert_eq!(last.states.layers(), [*collected.states.layers().last().unwrap()]);
    let kept = last.states.samples().iter().flat_map(|sample| &sample.tokens);
    assert!(kept.clone().count() > 0 && kept.into_iter().all(|kept| kept.role != Role::Prompt));
    // Other data of the same name is other data.
    let path = data.path().join("data/train.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let four: Vec<&str> = text.lines().take(4).collect();
    std::fs::write(&path, four.join("\n")).unwrap();
    apply(&mut window, LayoutAction::Start);
    assert!(settle(&mut window, Duration::from_mins(1)));
    assert_eq!(first(&window).collected.records.len(), 4);
}

#[test]
fn a_layout_is_narrowed_down_saved_and_drawn() {
    let (data, mut window) = mapped();
    edit(&mut window, |form| {
        form.shown = [true, false, false];
        form.latent = Some(3);
        form.sample = "counting-train".to_owned();
    });
    let scene = state(&window).projection.scene().unwrap();
    assert_eq!((scene.num_latents, scene.set.instances.len()), (16, 3));
    let save = |window: &mut Window, button: &str, name: &str| {
        let path = data.path().join(name);
        click(window, button);
        apply(window, WindowAction::EditPath(path.display().to_string()));
        window.run_steps(2);
        click(window, "Save");
        assert!(settle(window, Duration::from_mins(1)));
        path
    };
    let table = save(&mut window, "Save table…", "map.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[1..].iter().all(|line| line.contains(",latent,3,\"counting-train")), "{text}");
    window.get_by_label(&format!("Saved in {}", table.display()));
    let picture = save(&mut window, "Save picture…", "map.svg");
    assert!(std::fs::read_to_string(picture).unwrap().contains("3 points"));
    save(&mut window, "Save picture…", "map.gif");
    window.get_by_label_contains("expected an ending of .svg, .pdf or .png");
    assert!(state(&window).ui.path_dialog.is_some(), "what was typed stays to be mended");
    apply(&mut window, WindowAction::ClosePathDialog);

    while !state(&window).ui.notices.is_empty() {
        apply(&mut window, WindowAction::DismissNotice(0));
        window.run_steps(1);
    }
    edit(&mut window, |form| {
        (form.shown, form.latent) = ([true; 3], None);
        form.sample.clear();
        // A path that differs from run to run.
        form.data.clear();
    });
    window.state_mut().controller.state.ui.used_bytes = 0;
    window.state_mut().controller.state.ui.said = None;
    window.run_steps(2);
    window.snapshot_options("layout_of_states", &tolerant());

    // By numbers: between ends that are said, in colours that differ.
    for colour in [ColourBy::Length, ColourBy::Attended, ColourBy::Certainty] {
        edit(&mut window, |form| form.colour = colour);
        let legend = &state(&window).projection.scene().unwrap().legend;
        let ends: Vec<f32> =
            legend[..2].iter().map(|(name, _)| name.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(ends[0] < ends[1], "{colour:?}: {ends:?}");
        let instances = &state(&window).projection.scene().unwrap().set.instances;
        assert!(instances.iter().any(|own| own.colour != instances[0].colour), "{colour:?}");
    }
}

#[test]
fn what_fails_is_said_and_what_was_there_stays() {
    let (engine, script) = scripted();
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, Vec::new());
    let startup = Startup { engine: Box::new(move |_wake| Box::new(engine)), ..startup };
    let mut window = open([900.0, 600.0], egui::Theme::Light, startup);
    window.run_steps(2);
    click(&mut window, "States");
    apply(&mut window, LayoutAction::Start);
    window.run_steps(2);
    window.get_by_label("Open a model first");
    apply(&mut window, first_actions().remove(0));
    edit(&mut window, |form| form.data = "nowhere.jsonl".to_owned());
    apply(&mut window, LayoutAction::Start);
    window.run_steps(2);
    let order = script.orders().last().unwrap().clone();
    assert!(matches!(order.command, Command::KeepStates(_)));
    assert_eq!(state(&window).projection.under, LayoutStatus::States);
    script.say(order.job, News::Failed("nowhere.jsonl is missing".to_owned()));
    window.run_steps(3);
    window.get_by_label("nowhere.jsonl is missing");
    // Its own window says so, and no notice does.
    assert!(state(&window).ui.notices.is_empty());
    assert!(!state(&window).projection.is_running());
    apply(&mut window, LayoutAction::Start);
    window.run_steps(2);
    click(&mut window, "Stop");
    assert!(script.orders().last().unwrap().is_cancelled());
}

#[test]
fn points_are_discs_of_their_colour_in_their_place() {
    let red = Instance { place: [1.0, 2.0], colour: [255, 0, 0, 255] };
    let faint = Instance { place: [-1.0, 2.0], colour: [0, 255, 0, 128] };
    let paint = PointsPaint {
        points: PointSet::new(vec![red, faint]),
        centre: [0.0, 1.0],
        scale: 10.0,
        radius: 4.0,
        opacity: 1.0,
        size: [64.0, 64.0],
    };
    let mut frames = Frames::open([64, 64]).unwrap();
    let found = frames.pixels(&paint).unwrap();
    // Up on the map is up on the screen: ten pixels above the middle, ten to either side.
    let at = |x: i32, y: i32| found[((32 + y) * 64 + 32 + x) as usize];
    assert_eq!(at(10, -10), [255, 0, 0, 255]);
    let green = at(-10, -10);
    assert!(green[0] == 0 && (126..=130).contains(&green[1]), "{green:?}");
    assert_eq!((at(10, 10), at(16, -10), at(10, -17)), ([0, 0, 0, 255], [0, 0, 0, 255], [0, 0, 0, 255]));
    // As many pixels as a disc of that radius has, edges in part.
    let area: f32 = found.iter().map(|pixel| f32::from(pixel[0]) / 255.0).sum();
    assert!((area - std::f32::consts::PI * 16.0).abs() < 2.0, "{area}");
    let nothing = PointsPaint { points: PointSet::new(Vec::new()), ..paint };
    assert!(frames.pixels(&nothing).unwrap().iter().all(|p| p[0] == 0));
}
