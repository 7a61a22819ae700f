//! Where a window keeps the session that nobody named: each window has a place of its own.

use std::path::{Path, PathBuf};

use super::SESSION;
use super::file::rename;
use crate::atomic::Hold;

/// So many windows at once have one.
const MAX_WINDOWS: usize = 16;

/// A place that no other window has, for as long as this is held.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    number: usize,
    /// Was the session of the window before put aside?
    rotated: bool,
    _hold: Hold,
}

impl Place {
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

    /// Where it lies beside the session of the window before.
    fn before(&self) -> PathBuf {
        self.dir.join(file_name("before", self.number))
    }

    /// Is a session one of those that windows keep by themselves?
    pub fn is_beside(&self, session: &Path) -> bool {
        session.parent() == Some(&self.dir)
    }

    /// Makes room for the session of this window: that of the one before is put aside, once. -> where it is then.
    pub fn make_room(&mut self) -> Option<PathBuf> {
        let (path, before) = (self.path(), self.before());
        if std::mem::replace(&mut self.rotated, true) || !path.is_file() {
            return None;
        }
        match rename(&path, &before) {
            Ok(()) => Some(before),
            Err(problem) => {
                log::warn!("the session before is not kept: {problem}");
                None
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
        let mut first = Place::take(dir.path()).unwrap();
        let second = Place::take(dir.path()).unwrap();
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
        first.make_room();
        assert_eq!(std::fs::read_to_string(first.last().unwrap()).unwrap(), "one");
        assert!(!first.path().is_file());
        write(&first.path(), "two");
        first.make_room();
        assert_eq!(std::fs::read_to_string(first.last().unwrap()).unwrap(), "one", "put aside only once");
        let path = first.path();
        drop(first);
        assert_eq!(Place::take(dir.path()).unwrap().path(), path, "free again");
    }

    #[test]
    fn without_a_folder_there_is_no_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Place::take(&file.path().join("sessions")).is_none());
    }
}
