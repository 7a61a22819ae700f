//! Nothing that was asked is lost: by a name without its ending, by opening and closing, by a list that is full, by a name
//! that is no text.

use std::path::{Path, PathBuf};

use egui_kittest::kittest::Queryable;
use livr_explorer::app::hub::actions::{Action, FileAction, JobAction, RunAction, WindowAction};
use livr_explorer::app::hub::path_kind::PathKind;
use livr_explorer::app::parts::tiling::Pane;
use livr_explorer::app::session::{Session, folder_of};
use livr_explorer::app::window::Startup;
use livr_explorer::app::window::offscreen::Window;
use livr_explorer::ask::{DeviceChoice, DtypeChoice};
use serde_json::Value;

use crate::window::{apply, click, first_actions, open, settle, state};

fn window(actions: Vec<Action>, kept_in: Option<&Path>) -> Window {
    let startup = Startup::new(DeviceChoice::Cpu, DtypeChoice::F32, actions);
    let startup = Startup { kept_in: kept_in.map(Path::to_owned), ..startup };
    let mut window = open([1000.0, 700.0], egui::Theme::Dark, startup);
    settle(&mut window);
    window
}

fn ask(window: &mut Window, times: usize) {
    for _ in 0..times {
        click(window, "Ask");
        settle(window);
    }
}

fn give(window: &mut Window, kind: PathKind, path: &Path) {
    apply(window, WindowAction::OpenPathDialog(kind));
    apply(window, WindowAction::EditPath(path.display().to_string()));
    apply(window, JobAction::TakePath);
    settle(window);
}

fn close(mut window: Window) {
    eframe::App::on_exit(window.state_mut());
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn num_runs(path: &Path) -> usize {
    json(path)["runs"].as_array().unwrap().len()
}

#[test]
fn a_name_without_its_ending_replaces_nothing_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = window(first_actions(), None);
    ask(&mut first, 3);
    give(&mut first, PathKind::SaveSession, &dir.path().join("mine"));
    close(first);
    let path = dir.path().join("mine.livr");
    assert_eq!(num_runs(&path), 3);
    let mut second = window(first_actions(), None);
    ask(&mut second, 1);
    give(&mut second, PathKind::SaveSession, &dir.path().join("mine"));
    let dialog = state(&second).ui.path_dialog.clone().expect("it asks");
    assert!(dialog.problem.unwrap().contains("mine.livr is there already"));
    assert_eq!(num_runs(&path), 3);
    let files = std::fs::read_dir(folder_of(&path)).unwrap().count();
    // Asked for once more it is.
    apply(&mut second, JobAction::TakePath);
    settle(&mut second);
    assert_eq!(num_runs(&path), 1);
    assert!(std::fs::read_dir(folder_of(&path)).unwrap().count() < files);
    // The same for other files.
    for (kind, name) in [(PathKind::Figure, "f.png"), (PathKind::Trace, "t.safetensors")] {
        std::fs::write(dir.path().join(name), "mine").unwrap();
        give(&mut second, kind, &dir.path().join(name).with_extension(""));
        assert_eq!(std::fs::read_to_string(dir.path().join(name)).unwrap(), "mine");
        assert!(state(&second).ui.path_dialog.as_ref().unwrap().replace.is_some(), "{name}");
        apply(&mut second, WindowAction::ClosePathDialog);
    }
}

#[test]
fn opening_and_closing_without_doing_anything_leaves_what_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kept_in = dir.path().join("kept.json");
    let mut first = window(first_actions(), Some(&kept_in));
    ask(&mut first, 6);
    close(first);
    // As the program opens: with a built-in sample asked by itself.
    let opening = || [first_actions(), vec![JobAction::Ask.into()]].concat();
    for _ in 0..3 {
        let mut idle = window(opening(), Some(&kept_in));
        assert_eq!(state(&idle).runs.listed().len(), 1);
        idle.state_mut().controller.keep_session();
        settle(&mut idle);
        close(idle);
    }
    let mut last = window(Vec::new(), Some(&kept_in));
    apply(&mut last, FileAction::Reopen);
    settle(&mut last);
    assert_eq!(state(&last).runs.listed().len(), 6);
    close(last);
    // With work of its own it is kept beside the six, as often as that happens.
    for _ in 0..3 {
        let mut busy = window(opening(), Some(&kept_in));
        ask(&mut busy, 1);
        close(busy);
    }
    let sessions = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path());
    let mut runs: Vec<usize> = sessions
        .filter(|path| path.extension().is_some_and(|own| own == "livr"))
        .map(|path| num_runs(&path))
        .collect();
    runs.sort_unstable();
    assert_eq!(runs, [2, 2, 2, 6]);
}

#[test]
fn a_session_that_is_only_looked_at_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.livr");
    let mut first = window(first_actions(), None);
    ask(&mut first, 2);
    give(&mut first, PathKind::SaveSession, &path);
    close(first);
    let mut value = json(&path);
    value["columns"] = 3.into();
    value["runs"][1]["note"] = "again".into();
    std::fs::write(&path, value.to_string()).unwrap();
    std::fs::write(folder_of(&path).join("run-77-aaaaaaaaaaaaaaaa.safetensors"), "of a later version")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let stray = || folder_of(&path).join("run-77-aaaaaaaaaaaaaaaa.safetensors").is_file();
    let mut looking = window(vec![FileAction::OpenSession(path.clone()).into()], None);
    looking.state_mut().controller.keep_session();
    settle(&mut looking);
    close(looking);
    assert!(std::fs::read(&path).unwrap() == before && stray());
    // Written to, it keeps what this program does not know.
    let mut working = window(vec![FileAction::OpenSession(path.clone()).into()], None);
    ask(&mut working, 1);
    close(working);
    let after = json(&path);
    assert_eq!(
        (num_runs(&path), &after["columns"], &after["runs"][1]["note"]),
        (3, &3.into(), &"again".into())
    );
    assert!(stray());
}

/// A session of so many runs, made of one that was saved.
fn of_many(path: &Path, count: usize) {
    let mut value = json(path);
    let folder = folder_of(path);
    let run = value["runs"][0].clone();
    let runs = (1..=count).map(|number| {
        let mut own = run.clone();
        own["number"] = number.into();
        own["file"] = format!("run-{number}-0123456789abcdef.safetensors").into();
        std::fs::copy(folder.join(run["file"].as_str().unwrap()), folder.join(own["file"].as_str().unwrap()))
            .unwrap();
        own
    });
    value["runs"] = runs.collect();
    value["shown"] = count.into();
    std::fs::write(path, value.to_string()).unwrap();
}

#[test]
fn what_the_list_has_no_room_for_stays_in_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a.livr", "b.livr"].map(|name| dir.path().join(name));
    for path in [&a, &b] {
        let mut first = window(first_actions(), None);
        ask(&mut first, 1);
        give(&mut first, PathKind::SaveSession, path);
        close(first);
        of_many(path, 150);
    }
    let mut joined = window(vec![FileAction::OpenSession(a.clone()).into()], None);
    apply(&mut joined, FileAction::OpenSession(b.clone()));
    settle(&mut joined);
    joined.state_mut().controller.keep_session();
    settle(&mut joined);
    assert_eq!((num_runs(&a), num_runs(&b)), (300, 150));
    assert_eq!((state(&joined).runs.listed().len(), state(&joined).runs.evicted().len()), (200, 100));
    ask(&mut joined, 1);
    close(joined);
    let read = Session::read(&a).unwrap();
    assert_eq!((num_runs(&a), read.runs.len(), read.evicted.len()), (301, 200, 101));
    // They can be had back.
    let mut again = window(vec![FileAction::OpenSession(a.clone()).into()], None);
    apply(&mut again, WindowAction::ShowPane(Pane::Runs, true));
    settle(&mut again);
    click(&mut again, "Show older runs (101)");
    settle(&mut again);
    let numbers: Vec<usize> = state(&again).runs.listed().iter().map(|own| own.number).collect();
    assert_eq!(numbers, (2..=301).collect::<Vec<_>>());
    let oldest = state(&again).runs.listed()[0].id;
    apply(&mut again, RunAction::Show(oldest));
    settle(&mut again);
    assert!(state(&again).panes.map.in_sight().is_some(), "with its maps");
    ask(&mut again, 1);
    close(again);
    assert_eq!(num_runs(&a), 302);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_kept_like_others() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let kept_in = dir.path().join("kept.json");
    let odd: PathBuf = dir.path().join(std::ffi::OsStr::from_bytes(b"im\xe9.png"));
    let mut first = window(first_actions(), Some(&kept_in));
    state(&first).images[0].pixels.save(dir.path().join("plain.png")).unwrap();
    std::fs::rename(dir.path().join("plain.png"), &odd).unwrap();
    apply(&mut first, JobAction::TakePaths(vec![odd.clone()]));
    settle(&mut first);
    assert_eq!(state(&first).images.last().unwrap().path.as_ref(), Some(&odd));
    ask(&mut first, 1);
    let mut kept = state(&first).kept.clone();
    kept.recent_models.push(odd.clone());
    kept.write(&kept_in).unwrap();
    assert_eq!(
        livr_explorer::app::hub::preferences::Preferences::read(&kept_in).recent_models.last(),
        Some(&odd)
    );
    close(first);
    let mut second = window(Vec::new(), Some(&kept_in));
    apply(&mut second, FileAction::Reopen);
    settle(&mut second);
    assert_eq!(state(&second).runs.listed().len(), 1);
    assert_eq!(state(&second).images.last().unwrap().path.as_ref(), Some(&odd));
}

#[test]
fn a_window_that_is_killed_loses_no_answer_and_the_next_start_offers_them() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept.json");
    let mut first = window(first_actions(), Some(&kept));
    ask(&mut first, 2);
    for _ in 0..20 {
        first.step();
        settle(&mut first);
    }
    // It says nothing any more, as a process that is gone does.
    std::mem::forget(first);
    let session = dir.path().join("session.livr");
    assert_eq!(num_runs(&session), 2, "in its file though nobody closed the window");
    let after = tempfile::tempdir().unwrap();
    std::fs::copy(&session, after.path().join("session.livr")).unwrap();
    crate::study::copy(&folder_of(&session), &folder_of(&after.path().join("session.livr")));
    let mut second = window(Vec::new(), Some(&after.path().join("kept.json")));
    apply(&mut second, WindowAction::WordsRead);
    second.run_steps(3);
    second.get_by_label_contains("Reopen the runs from before").click();
    settle(&mut second);
    assert_eq!(state(&second).runs.listed().len(), 2);
    assert!(second.query_by_label_contains("Reopen the runs from before").is_none());
}
