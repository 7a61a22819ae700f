//! Where a window keeps the session that nobody named: each window has a place of its own.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::SESSION;
use super::file::{folder_of, remove, rename};
use crate::atomic::Hold;
use crate::error::{Error, Result};

/// So many windows at once have one.
const MAX_WINDOWS: usize = 16;
/// So many sessions of windows before are kept.
const MAX_BEFORE: usize = 8;
/// How the names of these begin; then comes the second they were put aside in.
const BEFORE: &str = "before-";

/// A place that no other window has, for as long as this is held.
#[derive(Debug)]
pub struct SessionPlace {
    dir: PathBuf,
    number: usize,
    /// Was the session of the window before put aside?
    rotated: bool,
    _hold: Hold,
}

impl SessionPlace {
    /// The first that is free in a folder; nothing where none is, or the folder cannot be written.
    pub fn take(dir: &Path) -> Option<Self> {
        if let Err(problem) = std::fs::create_dir_all(dir) {
            log::warn!("no session is kept: {}: {problem}", dir.display());
            return None;
        }
        (1..=MAX_WINDOWS).find_map(|number| {
            let lock = lock_of(&dir.join(file_name("session", number)));
            Some(Self { dir: dir.to_owned(), number, rotated: false, _hold: Hold::take(&lock).ok()?? })
        })
    }

    /// The session's file.
    pub fn path(&self) -> PathBuf {
        self.dir.join(file_name("session", self.number))
    }

    /// Is a session one of those that windows keep by themselves?
    pub fn is_beside(&self, session: &Path) -> bool {
        session.parent() == Some(&self.dir)
    }

    /// Makes room for the session of this window: that of the one before is put aside, once. -> where it is then. Of those
    /// put aside the latest are kept.
    ///
    /// # Errors
    /// One that cannot be moved: this window's would take its place.
    pub fn make_room(&mut self) -> Result<Option<PathBuf>> {
        let path = self.path();
        if self.rotated {
            return Ok(None);
        }
        if !path.is_file() {
            // What stands there from now on is this window's.
            self.rotated = true;
            return Ok(None);
        }
        let before = self.free_name();
        rename(&path, &before).map_err(|e| Error::io("put the session before aside", &path, e))?;
        self.rotated = true;
        self.forget_oldest();
        Ok(Some(before))
    }

    /// A name for a session that is put aside: the second it is, or the one after the latest's. One whose move was cut short
    /// has its name already.
    fn free_name(&self) -> PathBuf {
        let before = self.before();
        let is_cut_short = !folder_of(&self.path()).is_dir();
        if let Some((_, begun)) = before.iter().find(|(_, path)| is_cut_short && !path.is_file()) {
            return begun.clone();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let second = before.last().map_or(now, |(last, _)| now.max(last + 1));
        self.put_aside(second)
    }

    fn put_aside(&self, second: u64) -> PathBuf {
        self.dir.join(format!("{BEFORE}{second}.{SESSION}"))
    }

    /// Those that were put aside, the oldest first, also where only the folder is there yet.
    fn before(&self) -> Vec<(u64, PathBuf)> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().filter_map(Result::ok);
        let mut found: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let second = name.strip_prefix(BEFORE)?.split('.').next()?.parse().ok()?;
                Some((second, self.put_aside(second)))
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    fn forget_oldest(&self) {
        let before = self.before();
        for (_, path) in &before[..before.len().saturating_sub(MAX_BEFORE)] {
            let lock = lock_of(path);
            let gone =
                remove(path).and_then(|()| if lock.is_file() { std::fs::remove_file(&lock) } else { Ok(()) });
            if let Err(problem) = gone {
                log::warn!("an old session is still there: {}: {problem}", path.display());
            }
        }
    }

    /// What was kept last by a window that is no more.
    pub fn last(&self) -> Option<PathBuf> {
        let paths = std::fs::read_dir(&self.dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let is_left = |path: &PathBuf| {
            let is_own = *path == self.path();
            if is_own { !self.rotated } else { Hold::take(&lock_of(path)).is_ok_and(|free| free.is_some()) }
        };
        let written = |path: &PathBuf| path.metadata().and_then(|facts| facts.modified()).ok();
        let sessions = paths.filter(|path| path.extension().is_some_and(|own| own == SESSION));
        sessions.filter(is_left).max_by_key(written)
    }
}

fn file_name(name: &str, number: usize) -> String {
    if number == 1 { format!("{name}.{SESSION}") } else { format!("{name}-{number}.{SESSION}") }
}

fn lock_of(session: &Path) -> PathBuf {
    session.with_extension("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.with_added_extension("arrays")).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn two_windows_have_two_places_and_find_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = SessionPlace::take(dir.path()).unwrap();
        let second = SessionPlace::take(dir.path()).unwrap();
        assert_ne!(first.path(), second.path());
        assert_eq!(first.last(), None);
        write(&first.path(), "one");
        assert_eq!(first.last(), Some(first.path()));
        assert_eq!(second.last(), None, "what another window holds is its own");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let later = second.path();
        write(&later, "later");
        drop(second);
        assert_eq!(first.last(), Some(later.clone()), "the newest of all");
        std::fs::remove_file(later).unwrap();
        first.make_room().unwrap();
        assert_eq!(std::fs::read_to_string(first.last().unwrap()).unwrap(), "one");
        assert!(!first.path().is_file());
        write(&first.path(), "two");
        first.make_room().unwrap();
        assert_eq!(std::fs::read_to_string(first.last().unwrap()).unwrap(), "one", "put aside only once");
        let path = first.path();
        drop(first);
        assert_eq!(SessionPlace::take(dir.path()).unwrap().path(), path, "free again");
    }

    #[test]
    fn of_the_sessions_put_aside_the_latest_are_kept_and_none_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..12 {
            let mut place = SessionPlace::take(dir.path()).unwrap();
            write(&place.path(), &number.to_string());
            place.make_room().unwrap();
        }
        let place = SessionPlace::take(dir.path()).unwrap();
        let texts = |place: &SessionPlace| -> Vec<String> {
            place.before().iter().map(|(_, path)| std::fs::read_to_string(path).unwrap()).collect()
        };
        assert_eq!(texts(&place), ["4", "5", "6", "7", "8", "9", "10", "11"]);
        // Without its folder, which somebody tidied away, it is put aside like any other.
        write(&place.path(), "12");
        std::fs::remove_dir_all(folder_of(&place.path())).unwrap();
        let mut place = place;
        let before = place.make_room().unwrap().unwrap();
        assert_eq!((std::fs::read_to_string(before).unwrap().as_str(), texts(&place).len()), ("12", 8));
        // A move that was cut short between folder and file goes on to the same name.
        let mut place = SessionPlace { rotated: false, ..place };
        write(&place.path(), "13");
        let begun = dir.path().join("before-99999999999.livr");
        std::fs::rename(folder_of(&place.path()), folder_of(&begun)).unwrap();
        assert_eq!(place.make_room().unwrap(), Some(begun));
    }

    #[test]
    fn without_a_folder_there_is_no_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(SessionPlace::take(&file.path().join("sessions")).is_none());
    }
}
