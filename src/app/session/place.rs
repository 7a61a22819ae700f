//! Where a window keeps the session that nobody named: each window has a place of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::SESSION;
use super::file::rename;

/// So many windows at once have one.
const MAX_WINDOWS: usize = 16;

/// A place that no other window has, for as long as this is held.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    number: usize,
    /// Was the session of the window before put aside?
    rotated: bool,
    /// Locked by the system, which lets go of it when the program ends in whatever way.
    _lock: File,
}

impl Place {
    /// The first that is free in a folder; nothing where none is, or the folder cannot be written.
    pub fn take(dir: &Path) -> Option<Self> {
        if let Err(problem) = std::fs::create_dir_all(dir) {
            log::warn!("no session is kept: {}: {problem}", dir.display());
            return None;
        }
        (1..=MAX_WINDOWS).find_map(|number| {
            let lock = dir.join(file_name("session", number)).with_extension("lock");
            let lock = File::options().create(true).append(true).open(lock).ok()?;
            lock.try_lock().ok()?;
            Some(Self { dir: dir.to_owned(), number, rotated: false, _lock: lock })
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

    /// Makes room for the session of this window: that of the one before is put aside, once.
    pub fn make_room(&mut self) {
        let path = self.path();
        if std::mem::replace(&mut self.rotated, true) || !path.is_file() {
            return;
        }
        if let Err(problem) = rename(&path, &self.before()) {
            log::warn!("the session before is not kept: {problem}");
        }
    }

    /// What a window here held when it was last closed; else the newest that any other holds or held.
    pub fn last(&self) -> Option<PathBuf> {
        let own = (!self.rotated).then(|| self.path());
        let own = own.into_iter().chain([self.before()]).find(|path| path.is_file());
        own.or_else(|| newest(&self.dir, &self.path()))
    }
}

fn file_name(name: &str, number: usize) -> String {
    if number == 1 { format!("{name}.{SESSION}") } else { format!("{name}-{number}.{SESSION}") }
}

/// The session of a folder, but for one, that was written last.
fn newest(dir: &Path, except: &Path) -> Option<PathBuf> {
    let written =
        |path: &PathBuf| path.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let paths = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.extension().is_some_and(|own| own == SESSION) && path != except)
        .max_by_key(written)
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
        assert_eq!(second.last(), Some(first.path()), "with none of its own, that of another");
        assert_eq!(first.last(), Some(first.path()));
        first.make_room();
        assert_eq!(std::fs::read_to_string(first.last().unwrap()).unwrap(), "one");
        assert!(!first.path().is_file() && first.is_beside(&second.path()));
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
