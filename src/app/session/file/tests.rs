use std::sync::Arc;

use super::*;
use crate::app::hub::preferences::Preferences;
use crate::app::parts::runs::{MOST, MOST_BYTES, next_loaded_id};
use crate::array::Array;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::data::picture::Picture;
use crate::data::sample::Sample;
use crate::engine::ids::ModelId;
use crate::trace::Trace;
use crate::units::{GridThw, Role, Span};

fn session() -> Session {
    let pixels = image::RgbImage::from_fn(28, 14, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let picture = Arc::new(Picture::new("cat.png", pixels));
    let model = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32);
    let kept = Preferences::default();
    let trace = Trace {
        input_ids: vec![1, 2, 9],
        roles: vec![Role::Prompt, Role::Image, Role::Latent],
        positions: vec![[0; 3]; 3],
        grids: vec![GridThw { t: 1, h: 2, w: 2 }],
        patch_size: 14,
        merge_size: 2,
        image_spans: vec![Span { start: 1, end: 2 }],
        latent_attentions: Some(Array::new([1, 1, 1, 3], vec![0.25, 0.5, 0.25])),
        answer: "B".to_owned(),
        condition: kept.condition.clone(),
        ..Trace::default()
    };
    let sample = Sample { images: vec![picture.clone()], prompt: "What?".to_owned(), choices: vec![] };
    let request = Request { model: model.clone(), sample, condition: kept.condition.clone() };
    let id = next_loaded_id();
    let (name, rest) = ("mine".to_owned(), Map::new());
    let listed = Listed { id, number: 3, name, pinned: true, sample: None, automatic: false, rest };
    Session {
        model: Some(model),
        images: vec![picture],
        question: "And now?".to_owned(),
        choices: "yes, no".to_owned(),
        condition: kept.condition,
        keep: kept.keep,
        view: kept.view,
        layout: kept.layout,
        query: Query::Latent(0),
        runs: vec![(listed, Arc::new(Run { id, request, trace: Arc::new(trace) }))],
        shown: Some(3),
        base: None,
        files: BTreeMap::new(),
        problems: Vec::new(),
        evicted: Vec::new(),
        deleted: Vec::new(),
        forgotten: Vec::new(),
        rest: Map::new(),
    }
}

#[test]
fn what_is_written_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.livr");
    let written = session();
    written.write(&path).unwrap();
    let found = Session::read(&path).unwrap();
    assert_eq!((&found.question, found.shown, found.base), (&written.question, Some(3), None));
    assert_eq!(
        (&found.condition, &found.layout, &found.model),
        (&written.condition, &written.layout, &written.model)
    );
    assert_eq!(found.images[0].pixels, written.images[0].pixels);
    let ((listed, run), (before, first)) = (&found.runs[0], &written.runs[0]);
    assert_eq!((listed.number, &listed.name, listed.pinned), (3, &before.name, true));
    assert_eq!(format!("{:?}", run.trace), format!("{:?}", first.trace));
    assert_eq!(run.request.sample.images[0], found.images[0], "one picture is one still");
    // Moved, it is whole; saved without its run, the run's file goes.
    let moved = dir.path().join("b.livr");
    rename(&path, &moved).unwrap();
    let mut rest = Session::read(&moved).unwrap();
    rest.runs.clear();
    rest.write(&moved).unwrap();
    let files = std::fs::read_dir(folder_of(&moved)).unwrap().count();
    assert_eq!((files, path.exists()), (1, false), "the picture is still named");
}

#[test]
fn a_deleted_run_keeps_its_file_until_it_cannot_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.livr");
    let mut written = session();
    written.write(&path).unwrap();
    let file = written.files_in(&path).into_values().next().unwrap();
    written.runs.clear();
    written.deleted = vec![file.clone()];
    written.write(&path).unwrap();
    assert!(file.is_file(), "undo brings it back");
    (written.deleted, written.forgotten) = (Vec::new(), vec![file.clone()]);
    written.write(&path).unwrap();
    assert!(!file.exists());
}

#[test]
fn maps_that_memory_has_no_room_for_stay_in_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let [path, other] = ["a.livr", "b.livr"].map(|name| dir.path().join(name));
    let mut first = session();
    let (listed, run) = first.runs[0].clone();
    first.runs.push((Listed { number: 4, pinned: false, ..listed.clone() }, run.clone()));
    first.runs[0].0.pinned = false;
    first.write(&path).unwrap();
    let has_maps = |session: &Session| {
        let runs = session.runs.iter();
        runs.map(|(_, run)| run.trace.latent_attentions.is_some()).collect::<Vec<_>>()
    };
    let each = run.trace.captured_bytes();
    let found = Session::read_holding(&path, each, MOST).unwrap();
    assert_eq!((found.runs[0].0.number, has_maps(&found)), (3, vec![false, true]), "the newest has its maps");
    // Saved elsewhere, and there without what it came from, it is whole.
    found.write(&other).unwrap();
    remove(&path).unwrap();
    assert_eq!(has_maps(&Session::read_holding(&other, 2 * each, MOST).unwrap()), [true, true]);
    assert!(found.files_in(&other).values().all(|file| file.is_file()));
}

#[test]
fn what_a_later_version_wrote_stays_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.livr");
    session().write(&path).unwrap();
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    value["columns"] = serde_json::json!([{"model": 1}]);
    value["runs"][0]["note"] = "look again".into();
    std::fs::write(&path, value.to_string()).unwrap();
    let stray = folder_of(&path).join("run-9-0000000000000000.safetensors");
    std::fs::write(&stray, "not named by the JSON").unwrap();
    Session::read(&path).unwrap().write(&path).unwrap();
    let found: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(
        (&found["columns"], &found["runs"][0]["note"]),
        (&value["columns"], &value["runs"][0]["note"])
    );
    assert!(stray.is_file(), "what no session named is not this one's to remove");
}

#[test]
fn runs_that_the_list_has_no_room_for_stay_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let [path, other] = ["a.livr", "b.livr"].map(|name| dir.path().join(name));
    let mut first = session();
    let (listed, run) = first.runs[0].clone();
    first.runs = (1..=5)
        .map(|number| (Listed { number, pinned: number == 1, ..listed.clone() }, run.clone()))
        .collect();
    first.write(&path).unwrap();
    let numbers = |session: &Session| session.runs.iter().map(|(own, _)| own.number).collect::<Vec<_>>();
    let mut found = Session::read_holding(&path, MOST_BYTES, 2).unwrap();
    let evicted: Vec<usize> = found.evicted.iter().map(|run| run.number).collect();
    assert_eq!((numbers(&found), evicted), (vec![1, 3, 4, 5], vec![2]), "kept and shown ones are read");
    found.runs.retain(|(own, _)| own.number == 5);
    // Over itself and elsewhere: what is only in the file stays, and what was taken off goes.
    for place in [&path, &other] {
        found.write(place).unwrap();
        assert_eq!(numbers(&Session::read(place).unwrap()), [2, 5]);
    }
    let back = Session::read_runs(&found.evicted).unwrap();
    assert_eq!((back.runs[0].0.number, back.problems.len()), (2, 0));
    assert_eq!(format!("{:?}", back.runs[0].1.trace), format!("{:?}", run.trace));
}

#[test]
fn a_session_without_its_folder_is_moved_and_nothing_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let [path, other, third] = ["a.livr", "b.livr", "c.livr"].map(|name| dir.path().join(name));
    session().write(&path).unwrap();
    session().write(&other).unwrap();
    assert!(rename(&path, &other).is_err() && path.is_file() && folder_of(&path).is_dir());
    std::fs::remove_dir_all(folder_of(&path)).unwrap();
    rename(&path, &third).unwrap();
    assert!(third.is_file() && !path.exists());
}

#[cfg(unix)]
#[test]
fn a_picture_whose_name_is_no_text_is_kept_with_the_rest() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.livr");
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/photos/im\xe9.png"));
    let mut written = session();
    let mut picture = Picture::new("im.png", image::RgbImage::new(8, 8));
    picture.path = Some(odd.clone());
    written.images = vec![Arc::new(picture)];
    let base = written.model.as_ref().unwrap().base.clone();
    let source = crate::engine::ids::Source::Folder(odd.clone());
    let base = crate::engine::ids::BaseId { source, ..base };
    written.model = Some(ModelId { base, adapter: None });
    written.write(&path).unwrap();
    let found = Session::read(&path).unwrap();
    assert_eq!((found.images[0].path.as_ref(), &found.model), (Some(&odd), &written.model));
}

#[test]
fn what_is_no_session_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.livr");
    session().write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let problem = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Session::read(&path).unwrap_err().to_string()
    };
    for (text, expected) in [
        ("{", "the file is no session"),
        ("{\"format\": \"other\", \"version\": 1}", "format: expected livr-session, found other"),
        (&text.replace("\"version\": 2", "\"version\": 9"), "version: expected at most 2, found 9"),
    ] {
        let found = problem(text);
        assert!(found.contains(expected), "{found}");
    }
    assert!(Session::read(&dir.path().join("none.livr")).unwrap_err().to_string().contains("the session"));
}

#[test]
fn what_version_1_kept_among_the_settings_is_kept_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.livr");
    session().write(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["version"] = 1.into();
    file.as_object_mut().unwrap().remove("keep");
    file["settings"]["capture"] =
        serde_json::json!({"attention": "full", "hidden": null, "logits": "nothing", "pixels": false});
    std::fs::write(&path, file.to_string()).unwrap();
    assert_eq!(Session::read(&path).unwrap().keep.attention, crate::ask::AttentionRows::Full);
    let mut edited = session();
    edited.condition.edits = vec!["block latents->image @1-".parse().unwrap()];
    edited.write(&path).unwrap();
    assert_eq!(Session::read(&path).unwrap().condition, edited.condition);
}
