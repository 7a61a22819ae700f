use super::*;
use crate::array::Array;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::engine::ids::{BaseId, JobId, ModelId, Source};
use crate::trace::{ChoiceScore, Trace};

fn run_id(number: u64) -> RunId {
    RunId::Answer(JobId(number))
}

fn run(id: u64, probability: f32) -> Arc<Run> {
    let base = BaseId { source: Source::Demo, device: DeviceChoice::Cpu, dtype: DtypeChoice::F32 };
    let request = Request {
        model: ModelId { base, adapter: None },
        sample: crate::data::sample::Sample::default(),
        condition: crate::ask::Condition::default(),
    };
    let choice = ChoiceScore { choice: "A".to_owned(), logprob: probability.ln(), probability };
    let trace = Trace {
        choices: vec![choice],
        latent_attentions: Some(Array::zeros(&[1, 1, 1, 256])),
        answer: "A".to_owned(),
        ..Trace::default()
    };
    Arc::new(Run { id: run_id(id), request, trace: Arc::new(trace) })
}

fn has_maps(runs: &Runs, id: u64) -> bool {
    runs.get(run_id(id)).is_some_and(|run| run.trace.latent_attentions.is_some())
}

fn filled(count: u64) -> Runs {
    let mut runs = Runs::default();
    for id in 0..count {
        runs.insert(run(id, 0.75 - 0.25 * id as f32), |_| false);
        runs.list(run_id(id));
    }
    runs
}

#[test]
fn the_oldest_goes_where_it_is_neither_pinned_nor_the_base() {
    let mut runs = filled(2);
    runs.pin(run_id(0), true);
    runs.set_base(Some(run_id(1)));
    for id in 2..MOST as u64 + 2 {
        runs.insert(run(id, 0.5), |_| false);
        runs.list(run_id(id));
    }
    let ids: Vec<RunId> = runs.listed().iter().take(3).map(|own| own.id).collect();
    assert_eq!((runs.listed().len(), ids), (MOST, [0, 1, 4].map(run_id).to_vec()));
    assert!(runs.get(run_id(2)).is_none() && runs.get(run_id(4)).is_some());
    assert_eq!(runs.listed().last().unwrap().number, MOST + 2);
}

#[test]
fn where_a_session_is_kept_the_list_is_shortened_to_what_its_file_has() {
    let mut runs = filled(MOST as u64);
    let folder = PathBuf::from("/s.livr.arrays");
    runs.set_kept_in(Some(folder.clone()));
    for id in [MOST as u64, MOST as u64 + 1] {
        runs.insert(run(id, 0.5), |_| false);
        runs.list(run_id(id));
    }
    assert_eq!((runs.listed().len(), runs.dropped()), (MOST + 2, 0), "the file has none yet");
    let files = (0..MOST as u64 + 2).map(|id| (run_id(id), folder.join(format!("run-{}", id + 1))));
    runs.set_files(files.collect(), None);
    let gone = [1, 2].map(|number| Evicted { number, file: folder.join(format!("run-{number}")) });
    assert_eq!((runs.listed().len(), runs.evicted()), (MOST, &gone[..]));
    assert!(runs.get(run_id(0)).is_none());
    runs.files_moved(&folder, Path::new("/before"));
    assert_eq!(runs.evicted()[1].file, Path::new("/before/run-2"));
    let listed = Listed::new(run_id(1000), 2);
    runs.bring_back(vec![(listed, run(1000, 0.5))], BTreeMap::new());
    assert_eq!((runs.listed()[0].number, runs.evicted().len()), (2, 1), "at the head of the list");
    runs.bring_back(vec![(Listed::new(run_id(1001), 2), run(1001, 0.5))], BTreeMap::new());
    assert_eq!((runs.listed().len(), runs.get(run_id(1001)).is_none()), (MOST + 1, true), "once");
    let written = runs.evicted().to_vec();
    runs.evicted_written(&written, Path::new("/copy"));
    assert_eq!(runs.evicted()[0].file, Path::new("/copy/run-1"), "where it was written last");
}

#[test]
fn files_of_deleted_runs_are_wanted_until_they_cannot_come_back() {
    let mut runs = filled(3);
    runs.set_files([0, 1].map(|id| (run_id(id), PathBuf::from(format!("/s/{id}")))).into(), None);
    runs.delete(run_id(0));
    assert_eq!((runs.deleted_files(), runs.forgotten_files().len()), (vec![PathBuf::from("/s/0")], 0));
    runs.undo_delete();
    runs.delete(run_id(1));
    runs.forget_deleted(0);
    assert_eq!((runs.deleted_files().len(), runs.forgotten_files()), (0, &[PathBuf::from("/s/1")][..]));
}

#[test]
fn deleted_runs_and_looks_at_training_count_as_memory() {
    let mut runs = filled(3);
    let each = run(0, 0.5).trace.captured_bytes();
    runs.insert(run(7, 0.5), |_| true);
    runs.most_bytes = 2 * each;
    runs.delete(run_id(1));
    assert_eq!([0, 2, 7].map(|id| has_maps(&runs, id)), [true, true, false], "looks go before runs");
    runs.undo_delete();
    assert!(!has_maps(&runs, 1), "what was deleted lost its maps first");
}

#[test]
fn older_runs_lose_their_maps_and_keep_their_answers() {
    let mut runs = filled(4);
    runs.pin(run_id(0), true);
    let each = run(0, 0.5).trace.captured_bytes();
    assert_eq!(each, 1024);
    let mut left = |most_bytes: usize| {
        runs.most_bytes = most_bytes;
        runs.lighten(&[Some(run_id(3))]);
        [0, 1, 2, 3].map(|id| has_maps(&runs, id))
    };
    assert_eq!(left(2 * each), [true; 4], "no session keeps them yet");
    assert_eq!(left(3 * each / 2), [true, false, true, true]);
    assert_eq!(runs.get(run_id(1)).unwrap().trace.answer, "A");
}

#[test]
fn lost_maps_are_read_back_where_a_session_keeps_them() {
    let mut runs = filled(3);
    runs.most_bytes = 1024;
    runs.lighten(&[Some(run_id(2))]);
    runs.most_bytes = 2 * 1024;
    assert_eq!(runs.begin_reading(run_id(0)), None, "nobody keeps them");
    runs.set_files([0, 1].map(|id| (run_id(id), PathBuf::from(format!("/old/{id}")))).into(), None);
    runs.files_moved(Path::new("/old"), Path::new("/new"));
    assert_eq!(runs.begin_reading(run_id(1)), None, "its maps are there");
    assert_eq!(runs.begin_reading(run_id(0)), Some(PathBuf::from("/new/0")));
    assert!(runs.begin_reading(run_id(0)).is_none() && runs.is_reading(run_id(0)), "once");
    let trace = run(0, 0.25).trace.clone();
    runs.end_reading(run_id(0), Some(Trace::clone(&trace)), Some(run_id(2)));
    assert_eq!([0, 1, 2].map(|id| has_maps(&runs, id)), [true, false, true]);
    assert!(!runs.is_reading(run_id(0)));
    // A file that is gone is not asked for again.
    assert!(runs.begin_reading(run_id(1)).is_some());
    runs.end_reading(run_id(1), None, None);
    assert!(!runs.is_reading(run_id(1)) && runs.begin_reading(run_id(1)).is_none());
}

#[test]
fn what_is_deleted_comes_back_to_its_place() {
    let mut runs = filled(3);
    runs.name(run_id(1), "the one".to_owned());
    runs.delete(run_id(1));
    runs.delete(run_id(0));
    assert_eq!(runs.listed().len(), 1);
    runs.undo_delete();
    runs.undo_delete();
    let ids: Vec<RunId> = runs.listed().iter().map(|own| own.id).collect();
    assert_eq!((ids, runs.listed()[1].name.as_str()), ([0, 1, 2].map(run_id).to_vec(), "the one"));
    assert!(!runs.can_undo_delete() && runs.get(run_id(1)).is_some());
}

#[test]
fn choices_are_compared_with_the_same_of_the_base() {
    let mut runs = filled(2);
    let second = runs.get(run_id(1)).unwrap().clone();
    assert_eq!(runs.differences(&second), [None]);
    runs.set_base(Some(run_id(0)));
    assert_eq!(runs.differences(&second), [Some(-0.25)]);
    let first = runs.get(run_id(0)).unwrap();
    assert_eq!(runs.differences(first), [None], "nothing differs from itself");
}
