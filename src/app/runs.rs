//! The runs there are: those of the list, looks at a training run's sample, and the one on its way.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::engine::protocol::{Request, Run, RunId};
use crate::trace::Trace;

/// What was asked and has no answer yet.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub request: Request,
    /// The answer so far.
    pub partial_answer: String,
    /// It goes into the list only: what is in sight stays.
    pub aside: bool,
    /// What was in sight before its own maps.
    pub before: Option<RunId>,
    /// When it was asked.
    pub since: Instant,
    /// When its first token was there, and how many there are.
    pub tokens: Option<(Instant, usize)>,
}

impl Asked {
    /// Asked now.
    pub fn new(request: Request, aside: bool) -> Self {
        Self {
            request,
            partial_answer: String::new(),
            aside,
            before: None,
            since: Instant::now(),
            tokens: None,
        }
    }

    /// Another token is there.
    pub fn grew(&mut self, answer: String) {
        self.partial_answer = answer;
        let (first, count) = self.tokens.unwrap_or_else(|| (Instant::now(), 0));
        self.tokens = Some((first, count + 1));
    }

    /// Seconds so far, and tokens a second where there are enough to say.
    pub fn pace(&self) -> (f32, Option<f32>) {
        let a_second = self
            .tokens
            .filter(|(_, count)| *count > 1)
            .map(|(first, count)| (count - 1) as f32 / first.elapsed().as_secs_f32().max(1e-3));
        (self.since.elapsed().as_secs_f32(), a_second)
    }
}

/// A run of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: RunId,
    /// As the list counts, from 1; never given twice.
    pub number: usize,
    /// As the user calls it; empty where it has no name.
    pub name: String,
    /// Stays when the list is full, maps and all.
    pub pinned: bool,
    /// The id of the built-in sample that was asked.
    pub sample: Option<String>,
}

/// All of them.
#[derive(Debug)]
pub struct Runs {
    held: BTreeMap<RunId, Arc<Run>>,
    listed: Vec<Listed>,
    count: usize,
    base: Option<RunId>,
    deleted: Vec<(usize, Listed, Arc<Run>)>,
    /// Where sessions keep whole traces.
    files: BTreeMap<RunId, PathBuf>,
    /// Runs that lost their maps: are these being read from there?
    let_go: BTreeMap<RunId, bool>,
    most_bytes: usize,
    /// On its way.
    pub asked: Option<Asked>,
    /// To be asked after that, in order.
    pub waiting: VecDeque<Request>,
    /// Why the last came to nothing.
    pub problem: Option<String>,
}

/// The id of a run that a file brings: of no job of this process.
pub fn next_loaded_id() -> RunId {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 62);
    RunId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs of the list.
const MOST: usize = 200;
/// Bytes of what all of them captured: older ones keep their answers, and their maps only where a session does.
pub(super) const MOST_BYTES: usize = 1 << 30;
/// Deletions that can be taken back.
const DELETIONS: usize = 20;

impl Default for Runs {
    fn default() -> Self {
        Self::holding(MOST_BYTES)
    }
}

impl Runs {
    /// None yet, of which so many bytes of captures are held.
    pub fn holding(most_bytes: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            listed: Vec::new(),
            count: 0,
            base: None,
            deleted: Vec::new(),
            files: BTreeMap::new(),
            let_go: BTreeMap::new(),
            most_bytes,
            asked: None,
            waiting: VecDeque::new(),
            problem: None,
        }
    }

    /// Holds a run, and lets go of those that neither the list nor `needed` names.
    pub fn insert(&mut self, run: Arc<Run>, needed: impl Fn(RunId) -> bool) {
        let newest = run.id;
        self.held.insert(newest, run);
        let listed = &self.listed;
        self.held.retain(|id, _| *id == newest || needed(*id) || listed.iter().any(|own| own.id == *id));
    }

    /// Puts a run at the end of the list; where that is full, the oldest that is not pinned goes.
    pub fn list(&mut self, id: RunId) {
        self.count += 1;
        self.listed.push(Listed { id, number: self.count, name: String::new(), pinned: false, sample: None });
        while self.listed.len() > MOST {
            let spare = |own: &Listed| !own.pinned && own.id != id && Some(own.id) != self.base;
            let Some(place) = self.listed.iter().position(spare) else { break };
            let gone = self.listed.remove(place);
            self.held.remove(&gone.id);
        }
        self.lighten(&[Some(id), self.base]);
    }

    /// Puts runs of a session behind those there are, by their numbers where these are free.
    pub fn restore(&mut self, runs: Vec<(Listed, Arc<Run>)>) {
        let shift = self.count;
        for (listed, run) in runs {
            let id = run.id;
            if run.trace.captured_bytes() == 0 {
                self.let_go.insert(id, false);
            }
            self.held.insert(id, run);
            self.list(id);
            self.count = listed.number + shift;
            let number = self.count;
            self.change(id, |own| *own = Listed { number, ..listed });
        }
    }

    /// Takes the maps of the oldest until what is left fits: of those that can be read back, and of others only where
    /// twice as much is held.
    fn lighten(&mut self, spared: &[Option<RunId>]) {
        let size = |run: &Run| run.trace.captured_bytes();
        let mut total: usize = self.held.values().map(|run| size(run)).sum();
        for (kept, most) in [(true, self.most_bytes), (false, self.most_bytes.saturating_mul(2))] {
            for own in self.listed.iter().filter(|own| !own.pinned && !spared.contains(&Some(own.id))) {
                if total <= most {
                    break;
                }
                let has_maps = |run: &&mut Arc<Run>| size(run) > 0;
                let Some(run) = self.held.get_mut(&own.id).filter(has_maps) else { continue };
                if self.files.contains_key(&own.id) != kept {
                    continue;
                }
                total -= size(run);
                let trace = Arc::new(run.trace.without_captures());
                *run = Arc::new(Run { id: run.id, request: run.request.clone(), trace });
                self.let_go.insert(own.id, false);
            }
        }
    }

    /// Says where sessions keep whole traces of runs.
    pub fn set_files(&mut self, files: BTreeMap<RunId, PathBuf>) {
        self.files.extend(files);
    }

    /// The same.
    pub fn files(&self) -> &BTreeMap<RunId, PathBuf> {
        &self.files
    }

    /// A session's folder was moved.
    pub fn files_moved(&mut self, from: &Path, to: &Path) {
        for file in self.files.values_mut() {
            if let Ok(name) = file.strip_prefix(from) {
                *file = to.join(name);
            }
        }
    }

    /// The file to read the maps of a run from that lost them; from now on they are being read.
    pub fn begin_reading(&mut self, id: RunId) -> Option<PathBuf> {
        let is_read = self.let_go.get_mut(&id).filter(|is_read| !**is_read)?;
        let file = self.files.get(&id)?;
        *is_read = true;
        Some(file.clone())
    }

    /// Are the maps of a run being read?
    pub fn is_reading(&self, id: RunId) -> bool {
        self.let_go.get(&id) == Some(&true)
    }

    /// What was read of a run, or nothing where it could not be; others may lose theirs, but for the run in sight.
    pub fn end_reading(&mut self, id: RunId, trace: Option<Trace>, in_sight: Option<RunId>) {
        self.let_go.remove(&id);
        let Some((trace, run)) = trace.zip(self.held.get_mut(&id)) else { return };
        let trace = Arc::new(trace);
        *run = Arc::new(Run { id, request: run.request.clone(), trace });
        self.lighten(&[Some(id), self.base, in_sight]);
    }

    /// A run by its id.
    pub fn get(&self, id: RunId) -> Option<&Arc<Run>> {
        self.held.get(&id)
    }

    /// The list, the oldest first.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The run that others are compared with.
    pub fn base(&self) -> Option<&Arc<Run>> {
        self.get(self.base?)
    }

    /// Compares with another run, or with none.
    pub fn set_base(&mut self, base: Option<RunId>) {
        self.base = base;
    }

    /// Pins a run of the list, or lets it go when its time comes.
    pub fn pin(&mut self, id: RunId, pinned: bool) {
        self.change(id, |own| own.pinned = pinned);
    }

    /// Names a run of the list.
    pub fn name(&mut self, id: RunId, name: String) {
        self.change(id, |own| own.name = name);
    }

    /// Says which built-in sample a run was asked.
    pub fn set_sample(&mut self, id: RunId, sample: Option<String>) {
        self.change(id, |own| own.sample = sample);
    }

    fn change(&mut self, id: RunId, change: impl FnOnce(&mut Listed)) {
        if let Some(own) = self.listed.iter_mut().find(|own| own.id == id) {
            change(own);
        }
    }

    /// Takes a run off the list; [`Self::undo_delete`] brings it back.
    pub fn delete(&mut self, id: RunId) {
        let Some(place) = self.listed.iter().position(|own| own.id == id) else { return };
        let listed = self.listed.remove(place);
        if let Some(run) = self.held.remove(&id) {
            self.deleted.push((place, listed, run));
            let excess = self.deleted.len().saturating_sub(DELETIONS);
            self.deleted.drain(..excess);
        }
    }

    /// Can a deletion be taken back?
    pub fn can_undo_delete(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Brings the run back that was deleted last.
    pub fn undo_delete(&mut self) {
        if let Some((place, listed, run)) = self.deleted.pop() {
            self.held.insert(run.id, run);
            self.listed.insert(place.min(self.listed.len()), listed);
        }
    }

    /// How the log-probability of each choice of a run differs from that of the same choice in the base run; nothing
    /// where there is no base, or it was asked something else or not offered that choice.
    pub fn differences(&self, run: &Run) -> Vec<Option<f32>> {
        let is_alike = |base: &&Arc<Run>| {
            let (own, other) = (&run.request.sample, &base.request.sample);
            base.id != run.id && own.prompt == other.prompt && own.images == other.images
        };
        let base = self.base().filter(is_alike);
        let of = |choice: &str| {
            let own = base?.trace.choices.iter().find(|own| own.choice == choice)?;
            Some(own.logprob)
        };
        run.trace.choices.iter().map(|own| Some(own.logprob - of(&own.choice)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;
    use crate::engine::protocol::{BaseId, ModelId, Source};
    use crate::settings::{DeviceChoice, DtypeChoice};
    use crate::trace::{ChoiceScore, Trace};

    fn run(id: u64, logprob: f32) -> Arc<Run> {
        let base = BaseId { source: Source::Demo, device: DeviceChoice::Cpu, dtype: DtypeChoice::F32 };
        let request = Request {
            model: ModelId { base, adapter: None },
            sample: crate::data::sample::Sample::default(),
            settings: crate::settings::Settings::default(),
        };
        let choice = ChoiceScore { choice: "A".to_owned(), logprob, probability: 1.0 };
        let trace = Trace {
            choices: vec![choice],
            latent_attentions: Some(Array::zeros(&[1, 1, 1, 256])),
            answer: "A".to_owned(),
            ..Trace::default()
        };
        Arc::new(Run { id: RunId(id), request, trace: Arc::new(trace) })
    }

    fn has_maps(runs: &Runs, id: u64) -> bool {
        runs.get(RunId(id)).is_some_and(|run| run.trace.latent_attentions.is_some())
    }

    fn filled(count: u64) -> Runs {
        let mut runs = Runs::default();
        for id in 0..count {
            runs.insert(run(id, -1.0 - id as f32), |_| false);
            runs.list(RunId(id));
        }
        runs
    }

    #[test]
    fn the_oldest_goes_where_it_is_neither_pinned_nor_the_base() {
        let mut runs = filled(2);
        runs.pin(RunId(0), true);
        runs.set_base(Some(RunId(1)));
        for id in 2..MOST as u64 + 2 {
            runs.insert(run(id, 0.0), |_| false);
            runs.list(RunId(id));
        }
        let ids: Vec<u64> = runs.listed().iter().take(3).map(|own| own.id.0).collect();
        assert_eq!((runs.listed().len(), ids), (MOST, vec![0, 1, 4]));
        assert!(runs.get(RunId(2)).is_none() && runs.get(RunId(4)).is_some());
        assert_eq!(runs.listed().last().unwrap().number, MOST + 2);
    }

    #[test]
    fn older_runs_lose_their_maps_and_keep_their_answers() {
        let mut runs = filled(4);
        runs.pin(RunId(0), true);
        let each = run(0, 0.0).trace.captured_bytes();
        assert_eq!(each, 1024);
        let mut left = |most_bytes: usize| {
            runs.most_bytes = most_bytes;
            runs.lighten(&[Some(RunId(3))]);
            [0, 1, 2, 3].map(|id| has_maps(&runs, id))
        };
        assert_eq!(left(2 * each), [true; 4], "no session keeps them yet");
        assert_eq!(left(3 * each / 2), [true, false, true, true]);
        assert_eq!(runs.get(RunId(1)).unwrap().trace.answer, "A");
    }

    #[test]
    fn lost_maps_are_read_back_where_a_session_keeps_them() {
        let mut runs = filled(3);
        runs.most_bytes = 1024;
        runs.lighten(&[Some(RunId(2))]);
        runs.most_bytes = 2 * 1024;
        assert_eq!(runs.begin_reading(RunId(0)), None, "nobody keeps them");
        runs.set_files([0, 1].map(|id| (RunId(id), PathBuf::from(format!("/old/{id}")))).into());
        runs.files_moved(Path::new("/old"), Path::new("/new"));
        assert_eq!(runs.begin_reading(RunId(1)), None, "its maps are there");
        assert_eq!(runs.begin_reading(RunId(0)), Some(PathBuf::from("/new/0")));
        assert!(runs.begin_reading(RunId(0)).is_none() && runs.is_reading(RunId(0)), "once");
        let trace = run(0, -1.0).trace.clone();
        runs.end_reading(RunId(0), Some(Trace::clone(&trace)), Some(RunId(2)));
        assert_eq!([0, 1, 2].map(|id| has_maps(&runs, id)), [true, false, true]);
        assert!(!runs.is_reading(RunId(0)));
        // A file that is gone is not asked for again.
        assert!(runs.begin_reading(RunId(1)).is_some());
        runs.end_reading(RunId(1), None, None);
        assert!(!runs.is_reading(RunId(1)) && runs.begin_reading(RunId(1)).is_none());
    }

    #[test]
    fn what_is_deleted_comes_back_to_its_place() {
        let mut runs = filled(3);
        runs.name(RunId(1), "the one".to_owned());
        runs.delete(RunId(1));
        runs.delete(RunId(0));
        assert_eq!(runs.listed().len(), 1);
        runs.undo_delete();
        runs.undo_delete();
        let ids: Vec<u64> = runs.listed().iter().map(|own| own.id.0).collect();
        assert_eq!((ids, runs.listed()[1].name.as_str()), (vec![0, 1, 2], "the one"));
        assert!(!runs.can_undo_delete() && runs.get(RunId(1)).is_some());
    }

    #[test]
    fn choices_are_compared_with_the_same_of_the_base() {
        let mut runs = filled(2);
        let second = runs.get(RunId(1)).unwrap().clone();
        assert_eq!(runs.differences(&second), [None]);
        runs.set_base(Some(RunId(0)));
        assert_eq!(runs.differences(&second), [Some(-1.0)]);
        let first = runs.get(RunId(0)).unwrap();
        assert_eq!(runs.differences(first), [None], "nothing differs from itself");
    }
}
