//! What leaves the window and comes back: sessions, figures, traces, commands.

use std::path::Path;
use std::process::Command;

use clap::Parser;
use livr_explorer::app::hub::actions::{EditAction, FileAction, JobAction, RunAction, WindowAction};
use livr_explorer::app::hub::command_line::command_of;
use livr_explorer::app::hub::path_kind::PathKind;
use livr_explorer::app::parts::runs::Runs;
use livr_explorer::app::parts::tiling::Preset;
use livr_explorer::app::parts::view::FigureForm;
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice, MaskKind};
use livr_explorer::cli::Cli;
use livr_explorer::data::picture::Picture;
use livr_explorer::export::trace_file;

use crate::window::{apply, click, first_actions, open, settle, state};

const SIZE: [f32; 2] = [1200.0, 800.0];

fn startup(actions: Vec<livr_explorer::app::hub::actions::Action>, kept_in: Option<&Path>) -> Startup {
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions);
    Startup { kept_in: kept_in.map(Path::to_owned), ..startup }
}

fn window(actions: Vec<livr_explorer::app::hub::actions::Action>) -> Window {
    let mut window = open(SIZE, egui::Theme::Dark, startup(actions, None));
    settle(&mut window);
    window
}

/// Types a path into the dialog for a kind, and takes it.
fn give(window: &mut Window, kind: PathKind, path: &Path) {
    apply(window, WindowAction::OpenPathDialog(kind));
    apply(window, WindowAction::EditPath(path.display().to_string()));
    apply(window, JobAction::TakePath);
    settle(window);
}

/// A window with three runs, of which the second is named, kept and the base, and the last is in sight.
fn worked_in() -> Window {
    let mut window = window(first_actions());
    click(&mut window, "Ask");
    apply(&mut window, EditAction::SetMask(MaskKind::Bottleneck));
    settle(&mut window);
    let second = state(&window).panes.map.run.unwrap();
    apply(&mut window, RunAction::Name(second, "bottleneck".to_owned()));
    apply(&mut window, RunAction::Pin(second, true));
    apply(&mut window, RunAction::SetBase(Some(second)));
    apply(&mut window, EditAction::SetMask(MaskKind::Standard));
    apply(&mut window, WindowAction::UsePreset(Preset::Inspect));
    settle(&mut window);
    assert_eq!(state(&window).runs.listed().len(), 3);
    window
}

/// What of two windows has to be alike.
fn facts(window: &Window) -> String {
    let state = state(window);
    let runs: Vec<_> = state
        .runs
        .listed()
        .iter()
        .map(|own| {
            let run = state.runs.get(own.id).unwrap();
            let images: Vec<_> = run.request.sample.images.iter().map(|image| &image.name).collect();
            let shown = Some(own.id) == state.panes.map.run;
            let base = state.runs.base().is_some_and(|base| base.id == own.id);
            let request = (&run.request.model, &run.request.sample.prompt, &run.request.condition);
            format!(
                "{} {} {} {shown} {base} {images:?} {request:?} {:?}",
                own.number, own.name, own.pinned, run.trace
            )
        })
        .collect();
    let kept = &state.kept;
    format!("{runs:#?} {} {:?} {:?} {:?}", kept.question, kept.condition, kept.view, kept.layout)
}

#[test]
fn a_session_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work");
    let mut first = worked_in();
    first.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::S);
    first.run_steps(2);
    assert!(state(&first).ui.path_dialog.as_ref().is_some_and(|dialog| dialog.kind == PathKind::SaveSession));
    give(&mut first, PathKind::SaveSession, &path);
    let path = path.with_extension("livr");
    assert_eq!(state(&first).ui.session.as_deref(), Some(path.as_path()));
    let mut second = window(vec![FileAction::OpenSession(path.clone()).into()]);
    assert_eq!(facts(&second), facts(&first));
    let own = state(&second);
    assert!(own.panes.map.in_sight().is_some(), "maps are there without asking again");
    assert_eq!(own.models.in_use.as_ref().map(|info| &info.id), state(&first).models.chosen());
    assert!(own.is_current(own.shown_run().unwrap()), "its picture is the one of the canvas");
    // Opened where runs are already, it joins them.
    click(&mut second, "Ask");
    apply(&mut second, FileAction::OpenSession(path));
    settle(&mut second);
    let numbers: Vec<usize> = state(&second).runs.listed().iter().map(|own| own.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_session_is_kept_by_one_window() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work.livr");
    let mut first = worked_in();
    give(&mut first, PathKind::SaveSession, &path);
    let mut second = window(vec![FileAction::OpenSession(path.clone()).into()]);
    assert_eq!(facts(&second), facts(&first));
    assert_eq!(state(&second).ui.session, None);
    assert!(state(&second).ui.notices.iter().any(|note| note.contains("open in another window")));
    give(&mut second, PathKind::SaveSession, &path);
    let replaced = state(&second).ui.path_dialog.as_ref().is_some_and(|dialog| dialog.replace.is_some());
    if replaced {
        apply(&mut second, JobAction::TakePath);
        settle(&mut second);
    }
    let dialog = state(&second).ui.path_dialog.clone().expect("what was typed stays");
    assert!(dialog.problem.unwrap().contains("no other window has open"));
    eframe::App::on_exit(first.state_mut());
    let third = window(vec![FileAction::OpenSession(path.clone()).into()]);
    assert_eq!(state(&third).ui.session.as_deref(), Some(path.as_path()));
    drop(third);
    // What is left out for now is not taken from the file.
    let arrays = dir.path().join("work.livr.arrays");
    let run = std::fs::read_dir(&arrays).unwrap().flatten().map(|entry| entry.path());
    let run = run.filter(|path| path.extension().is_some_and(|own| own == "safetensors")).min().unwrap();
    std::fs::rename(&run, dir.path().join("away")).unwrap();
    let fourth = window(vec![FileAction::OpenSession(path.clone()).into()]);
    assert!(state(&fourth).ui.notices.iter().any(|note| note.contains("is left out")));
    assert_eq!(state(&fourth).ui.session, None);
}

#[test]
fn a_session_that_is_none_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.livr");
    std::fs::write(&path, "{\"format\": \"livr-session\", \"version\": 99}").unwrap();
    let mut window = worked_in();
    let before = facts(&window);
    give(&mut window, PathKind::OpenSession, &path);
    assert_eq!(facts(&window), before);
    let dialog = state(&window).ui.path_dialog.as_ref().expect("what was typed stays");
    assert!(dialog.problem.as_ref().unwrap().contains("expected at most 2, found 99"));
    assert_eq!(dialog.text, path.display().to_string());
}

#[test]
fn what_the_window_held_comes_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kept_in = dir.path().join("kept.json");
    let reopened = |actions| {
        let mut window = open(SIZE, egui::Theme::Dark, startup(actions, Some(&kept_in)));
        settle(&mut window);
        window
    };
    let mut first = reopened(first_actions());
    click(&mut first, "Ask");
    // As a window closes: what is being saved is not waited for by the frame, and yet is there in the end.
    first.state_mut().controller.keep_session();
    eframe::App::on_exit(first.state_mut());
    let before = facts(&first);
    let mut second = reopened(Vec::new());
    assert!(state(&second).runs.listed().is_empty(), "nothing comes back that nobody asked for");
    apply(&mut second, FileAction::Reopen);
    settle(&mut second);
    assert_eq!(facts(&second), before);
    eframe::App::on_exit(second.state_mut());
    // A window with runs of its own keeps them apart from those before.
    let mut third = reopened(first_actions());
    click(&mut third, "Ask");
    click(&mut third, "Ask");
    third.state_mut().controller.keep_session();
    settle(&mut third);
    apply(&mut third, FileAction::Reopen);
    settle(&mut third);
    assert_eq!(state(&third).runs.listed().len(), 3, "two of its own, one of the window before");
    // Another beside it, still open, takes nothing away from it.
    let mut fourth = reopened(first_actions());
    click(&mut fourth, "Ask");
    fourth.state_mut().controller.keep_session();
    settle(&mut fourth);
    let mut fifth = reopened(Vec::new());
    apply(&mut fifth, FileAction::OpenSession(dir.path().join("session.livr")));
    settle(&mut fifth);
    assert_eq!(state(&fifth).runs.listed().len(), 3, "as the third kept it, with what joined it");
}

#[test]
fn maps_let_go_to_save_memory_come_back_when_they_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let [path, other] = ["work.livr", "other.livr"].map(|name| dir.path().join(name));
    let mut first = window(first_actions());
    // One run has room at a time.
    first.state_mut().controller.state.runs = Runs::holding(1);
    click(&mut first, "Ask");
    give(&mut first, PathKind::SaveSession, &path);
    let maps = |window: &Window| {
        let shown = state(window).panes.map.in_sight().expect("maps are there");
        format!("{:?}", shown.maps.maps)
    };
    let (run, own) = (state(&first).panes.map.run.unwrap(), maps(&first));
    // It is asked again at once.
    apply(&mut first, EditAction::SetMask(MaskKind::Bottleneck));
    settle(&mut first);
    first.state_mut().controller.keep_session();
    settle(&mut first);
    let is_whole =
        |window: &Window, id| state(window).runs.get(id).unwrap().trace.latent_attentions.is_some();
    assert!(!is_whole(&first, run) && maps(&first) != own);
    apply(&mut first, RunAction::Show(run));
    settle(&mut first);
    assert!(is_whole(&first, run));
    assert_eq!(maps(&first), own);
    // Saved elsewhere, a session has them all; in another window as well.
    let masked = state(&first).runs.listed()[1].id;
    apply(&mut first, RunAction::Show(masked));
    settle(&mut first);
    assert!(!is_whole(&first, run));
    give(&mut first, PathKind::SaveSession, &other);
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_dir_all(dir.path().join("work.livr.arrays")).unwrap();
    let mut second = window(vec![FileAction::OpenSession(other).into()]);
    let run = state(&second).runs.listed()[0].id;
    apply(&mut second, RunAction::Show(run));
    settle(&mut second);
    assert_eq!(maps(&second), own);
}

#[test]
fn figures_and_traces_are_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut window = worked_in();
    let form = FigureForm {
        queries: "0-1, answer".to_owned(),
        columns: 2,
        width: 120,
        plain: true,
        also: [false, true, true],
    };
    apply(&mut window, FileAction::SetFigure(form));
    give(&mut window, PathKind::Figure, &dir.path().join("f.png"));
    assert!(state(&window).ui.said.as_ref().unwrap().contains("f.png"), "{:?}", state(&window).ui.notices);
    for name in ["f.png", "f.svg", "f.pdf"] {
        assert!(dir.path().join(name).metadata().unwrap().len() > 1000, "one dialog writes all three");
    }
    // The name of a sibling is not taken unasked.
    std::fs::write(dir.path().join("mine.svg"), "mine").unwrap();
    give(&mut window, PathKind::Figure, &dir.path().join("mine.png"));
    let refused = state(&window).ui.path_dialog.clone().unwrap().problem.unwrap();
    assert!(refused.contains("mine.svg") && refused.contains("sibling"), "{refused}");
    assert!(!dir.path().join("mine.png").exists());
    assert_eq!(std::fs::read_to_string(dir.path().join("mine.svg")).unwrap(), "mine");
    apply(&mut window, WindowAction::ClosePathDialog);
    let svg = std::fs::read_to_string(dir.path().join("f.svg")).unwrap();
    assert_eq!(svg.matches("<image ").count(), 6, "the image alone, two latents, three tokens");
    assert!(svg.contains("latent 1") && svg.contains("x uniform"));
    let form = FigureForm { queries: "0-99".to_owned(), also: [false; 3], ..FigureForm::default() };
    apply(&mut window, FileAction::SetFigure(form));
    give(&mut window, PathKind::Figure, &dir.path().join("g.png"));
    let dialog = state(&window).ui.path_dialog.clone().expect("what was typed stays");
    let problem = dialog.problem.unwrap();
    assert!(problem.contains("latents below 16, found 0-99"), "{problem}");
    apply(&mut window, WindowAction::ClosePathDialog);
    give(&mut window, PathKind::SaveSession, Path::new("/nowhere/at/all/s.livr"));
    assert!(state(&window).ui.path_dialog.as_ref().unwrap().problem.is_some());
    assert_eq!(state(&window).ui.session, None, "what is not saved is not kept");
    apply(&mut window, WindowAction::ClosePathDialog);
    let trace = dir.path().join("t [1].safetensors");
    give(&mut window, PathKind::Trace, &trace);
    // What is there is replaced only when that is asked for twice.
    std::fs::write(&trace, "mine").unwrap();
    give(&mut window, PathKind::Trace, &trace);
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "mine");
    let dialog = state(&window).ui.path_dialog.clone().unwrap();
    assert!(dialog.problem.unwrap().contains("is there already"));
    apply(&mut window, JobAction::TakePath);
    settle(&mut window);
    assert!(state(&window).ui.path_dialog.is_none());
    let read = trace_file::read(&trace).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", state(&window).shown_run().unwrap().trace));
}

#[test]
fn the_command_of_a_run_makes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut window = worked_in();
    let image = dir.path().join("a picture's.png");
    state(&window).images[0].pixels.save(&image).unwrap();
    apply(&mut window, livr_explorer::app::hub::actions::ImagesAction::Clear);
    give(&mut window, PathKind::Images, &image);
    apply(&mut window, EditAction::SetChoices("yes, \"no, it is not\"".to_owned()));
    apply(&mut window, EditAction::SetMask(MaskKind::AnswerOnly));
    settle(&mut window);
    let run = state(&window).shown_run().unwrap().clone();
    let (command, unnamed) = command_of(&run.request);
    assert!(unnamed.is_empty(), "{unnamed:?}");
    assert_eq!(run.request.sample.choices, ["yes", "no, it is not"]);
    let words = shlex::split(&command).unwrap();
    assert!(Cli::try_parse_from(&words).is_ok(), "{command}");
    let output = Command::new(env!("CARGO_BIN_EXE_livr")).args(&words[1..]).arg("--json").output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["answer"], run.trace.answer.as_str(), "{command}");
    let choices: Vec<_> =
        found["choices"].as_array().unwrap().iter().map(|own| own["choice"].as_str()).collect();
    assert_eq!(choices, [Some("yes"), Some("no, it is not")]);
    // A picture that lies in no file is named as such.
    let mut request = run.request.clone();
    request.sample.images = vec![Picture::new("pasted", run.request.sample.images[0].pixels.clone()).into()];
    assert_eq!(command_of(&request).1, ["pasted"]);
}

#[test]
fn the_map_goes_to_the_clipboard() {
    let mut window = worked_in();
    // Not into the question, where the cursor is at first.
    window.ctx.memory_mut(|memory| memory.focused().map(|id| memory.surrender_focus(id)));
    // The key going down alone: what is copied is in the output of that frame.
    let (key, modifiers) = (egui::Key::C, egui::Modifiers::NONE);
    window.event(egui::Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers });
    window.step();
    let commands = &window.output().platform_output.commands;
    let image = commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyImage(image) => Some(image.clone()),
        _ => None,
    });
    let (width, height) = state(&window).images[0].size();
    assert_eq!(image.unwrap().size, [width as usize, height as usize]);
}

#[test]
fn without_a_display_a_session_is_opened_as_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.livr");
    let mut window = worked_in();
    give(&mut window, PathKind::SaveSession, &path);
    let output = Command::new(env!("CARGO_BIN_EXE_livr"))
        .args(["open".as_ref(), path.as_os_str()])
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let picture = said.trim().strip_prefix("a picture of the window is in ").expect("where it is");
    assert!(image::open(picture).unwrap().width() == 1360, "{said}");
}

#[test]
fn livr_open_says_what_is_wrong_before_there_is_a_window() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no.livr");
    for (content, expected) in [(None, "the session"), (Some("[]"), "the file is no session")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let output = Command::new(env!("CARGO_BIN_EXE_livr")).arg("open").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected) && said.lines().count() == 1, "{said}");
    }
}
