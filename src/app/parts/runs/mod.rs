//! The runs there are: those of the list, looks at a training run's sample, and the one on its way.

mod listed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::listed::{Asked, Evicted, Listed};
use crate::engine::ids::{Request, Run, RunId};
use crate::trace::Trace;

/// The runs of the window.
#[derive(Debug)]
pub struct Runs {
    held: BTreeMap<RunId, Arc<Run>>,
    listed: Vec<Listed>,
    count: usize,
    base: Option<RunId>,
    deleted: Vec<(usize, Listed, Arc<Run>)>,
    /// Files of runs whose deletion cannot be taken back any more.
    forgotten: Vec<PathBuf>,
    /// The folder of the session that is kept up to date: the list may be shortened to what is not there yet.
    kept_in: Option<PathBuf>,
    /// Ascending by number.
    evicted: Vec<Evicted>,
    /// Runs that were let go where no session is kept.
    dropped: usize,
    /// Runs the list holds.
    most: usize,
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
    static NEXT: AtomicU64 = AtomicU64::new(0);
    RunId::Loaded(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs the list holds at first; older ones stay in the session's file.
pub const MOST: usize = 200;
/// Bytes of what all of them captured: older ones keep their answers, and their maps only where a session does.
pub const MOST_BYTES: usize = 1 << 30;
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
            forgotten: Vec::new(),
            kept_in: None,
            evicted: Vec::new(),
            dropped: 0,
            most: MOST,
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

    /// Puts a run at the end of the list; where that is full, the oldest that is not pinned leaves it.
    pub fn list(&mut self, id: RunId) {
        self.count += 1;
        self.listed.push(Listed::new(id, self.count));
        self.shorten(Some(id));
        self.lighten(&[Some(id), self.base]);
    }

    /// Where the session is kept up to date from now on, if anywhere.
    pub fn set_kept_in(&mut self, folder: Option<PathBuf>) {
        self.kept_in = folder;
    }

    /// Takes the oldest runs off a list that is full. Where a session is kept these are runs whose traces its folder has:
    /// they stay in its file.
    fn shorten(&mut self, spared: Option<RunId>) {
        while self.listed.len() > self.most {
            let file_of = |id: RunId| {
                let file = self.files.get(&id)?;
                (file.parent() == self.kept_in.as_deref()).then_some(file)
            };
            let spare = |own: &Listed| {
                let is_free = !own.pinned && Some(own.id) != spared && Some(own.id) != self.base;
                is_free && (self.kept_in.is_none() || file_of(own.id).is_some())
            };
            let Some(place) = self.listed.iter().position(spare) else { break };
            let gone = self.listed.remove(place);
            match file_of(gone.id).cloned() {
                Some(file) => self.evict(vec![Evicted { number: gone.number, file }]),
                None => self.dropped += 1,
            }
            self.held.remove(&gone.id);
            self.files.remove(&gone.id);
            self.let_go.remove(&gone.id);
        }
    }

    /// Runs that only a session's file holds join those there are.
    fn evict(&mut self, runs: Vec<Evicted>) {
        self.evicted.extend(runs);
        self.evicted.sort_by_key(|run| run.number);
    }

    /// The runs that only the session's file holds, by number.
    pub fn evicted(&self) -> &[Evicted] {
        &self.evicted
    }

    /// How many runs were let go because no session is kept.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Puts runs that only the session's file held back at the head of the list, which holds as many more from now on.
    pub fn bring_back(&mut self, runs: Vec<(Listed, Arc<Run>)>, files: BTreeMap<RunId, PathBuf>) {
        self.files.extend(files);
        for (listed, run) in runs {
            // Asked for twice, they come twice.
            let Some(place) = self.evicted.iter().position(|other| other.number == listed.number) else {
                self.files.remove(&run.id);
                continue;
            };
            self.evicted.remove(place);
            self.most += 1;
            if run.trace.captured_bytes() == 0 {
                self.let_go.insert(run.id, false);
            }
            self.held.insert(run.id, run);
            let place = self.listed.partition_point(|own| own.number < listed.number);
            self.listed.insert(place, listed);
        }
    }

    /// Puts runs of a session behind those there are, by their numbers where these are free. What only its file holds
    /// counts where the session is this window's from now on.
    pub fn restore(&mut self, runs: Vec<(Listed, Arc<Run>)>, evicted: Vec<Evicted>) {
        let shift = self.count;
        self.evict(evicted);
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

    /// Takes maps until what is left fits: first those of runs that were deleted, then of looks at a training sample, the
    /// oldest first, then of the oldest of the list that can be read back, and of others only where twice as much is held.
    fn lighten(&mut self, spared: &[Option<RunId>]) {
        let size = |run: &Run| run.trace.captured_bytes();
        let lightened = |run: &Run| {
            let trace = Arc::new(run.trace.without_captures());
            Arc::new(Run { id: run.id, request: run.request.clone(), trace })
        };
        let held: usize = self.held.values().map(|run| size(run)).sum();
        let mut total = held + self.deleted.iter().map(|(_, _, run)| size(run)).sum::<usize>();
        let listed: BTreeSet<RunId> = self.listed.iter().map(|own| own.id).collect();
        let is_look = |id: &RunId| !spared.contains(&Some(*id)) && !listed.contains(id);
        let looks = self.held.iter_mut().filter(|(id, _)| is_look(id)).map(|(_, run)| run);
        let unlisted = self.deleted.iter_mut().map(|(_, _, run)| run).chain(looks);
        for run in unlisted {
            if total <= self.most_bytes {
                return;
            }
            total -= size(run);
            *run = lightened(run);
        }
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
                *run = lightened(run);
                self.let_go.insert(own.id, false);
            }
        }
    }

    /// Says where sessions keep whole traces of runs; others than the run in sight may leave a list that is full.
    pub fn set_files(&mut self, files: BTreeMap<RunId, PathBuf>, in_sight: Option<RunId>) {
        self.files.extend(files);
        self.shorten(in_sight);
    }

    /// Runs that only a file holds are in another session's folder too, and are read from there from now on.
    pub fn evicted_written(&mut self, written: &[Evicted], folder: &Path) {
        for own in self.evicted.iter_mut().filter(|own| written.contains(own)) {
            if let Some(name) = own.file.file_name() {
                own.file = folder.join(name);
            }
        }
    }

    /// Where sessions keep whole traces of runs.
    pub fn files(&self) -> &BTreeMap<RunId, PathBuf> {
        &self.files
    }

    /// A session's folder was moved.
    pub fn files_moved(&mut self, from: &Path, to: &Path) {
        for file in self.files.values_mut().chain(self.evicted.iter_mut().map(|run| &mut run.file)) {
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

    /// Says that the window asked a run by itself.
    pub fn set_automatic(&mut self, id: RunId) {
        self.change(id, |own| own.automatic = true);
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
            self.forget_deleted(DELETIONS);
            self.lighten(&[self.base]);
        }
    }

    /// Takes a run off the list for good, which nobody asked for.
    pub fn forget(&mut self, id: RunId) {
        self.listed.retain(|own| own.id != id);
        self.held.remove(&id);
        self.forgotten.extend(self.files.remove(&id));
        if self.listed.is_empty() {
            self.count = 0;
        }
    }

    /// Forgets every run where none of them is work; says if so.
    pub fn forget_if_no_work(&mut self) -> bool {
        let is_work = self.listed.iter().any(Listed::is_work);
        if !is_work {
            let own: Vec<RunId> = self.listed.iter().map(|own| own.id).collect();
            for id in own {
                self.forget(id);
            }
        }
        !is_work
    }

    /// Forgets deletions, the oldest first, until so many are left that can be taken back.
    pub fn forget_deleted(&mut self, left: usize) {
        let excess = self.deleted.len().saturating_sub(left);
        for (_, _, run) in self.deleted.drain(..excess) {
            self.forgotten.extend(self.files.remove(&run.id));
        }
    }

    /// Files of runs whose deletion can be taken back: nobody else has their maps.
    pub fn deleted_files(&self) -> Vec<PathBuf> {
        self.deleted.iter().filter_map(|(_, _, run)| self.files.get(&run.id).cloned()).collect()
    }

    /// Files of runs that were deleted for good.
    pub fn forgotten_files(&self) -> &[PathBuf] {
        &self.forgotten
    }

    /// Can a deletion be taken back?
    pub fn can_undo_delete(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Brings the run back that was deleted last.
    pub fn undo_delete(&mut self) {
        if let Some((place, listed, run)) = self.deleted.pop() {
            if run.trace.captured_bytes() == 0 {
                self.let_go.insert(run.id, false);
            }
            self.held.insert(run.id, run);
            self.listed.insert(place.min(self.listed.len()), listed);
        }
    }

    /// How the probability of each choice of a run differs from that of the same choice in the base run, -1 to 1; nothing
    /// where there is no base, or it was asked something else or not offered that choice.
    pub fn differences(&self, run: &Run) -> Vec<Option<f32>> {
        let is_alike = |base: &&Arc<Run>| {
            let (own, other) = (&run.request.sample, &base.request.sample);
            base.id != run.id && own.prompt == other.prompt && own.images == other.images
        };
        let base = self.base().filter(is_alike);
        let of = |choice: &str| {
            let own = base?.trace.choices.iter().find(|own| own.choice == choice)?;
            Some(own.probability)
        };
        run.trace.choices.iter().map(|own| Some(own.probability - of(&own.choice)?)).collect()
    }
}
