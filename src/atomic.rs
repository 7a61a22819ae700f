//! Files appear whole or not at all, and what grows has one writer.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};

/// How the names of files begin that are not whole yet.
const PART: &str = ".livr-part-";

/// Removes what programs that were killed while they wrote left in a folder. What is being written stays.
///
/// # Errors
/// A folder that cannot be looked into, a file that cannot be removed.
pub fn clear_parts(folder: &Path) -> Result<()> {
    let failed = |e| Error::io("look into the folder", folder, e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_part = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART));
        // Whoever writes holds the lock.
        if is_part && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// A new file beside what it is to become, locked while it is written so that it is not taken for one that was left.
fn part_in(dir: &Path, builder: &tempfile::Builder<'_, '_>) -> std::io::Result<tempfile::NamedTempFile> {
    loop {
        let part = builder.tempfile_in(dir)?;
        // Without locks nothing is taken for one that was left, either.
        let is_locked = !matches!(part.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if is_locked && is_at(part.as_file(), part.path()) {
            return Ok(part);
        }
    }
}

/// Is an open file the one at a path? It may have been removed or replaced since it was opened.
#[cfg(unix)]
pub fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |about: std::fs::Metadata| (about.dev(), about.ino());
    file.metadata().map(identity).ok() == path.metadata().map(identity).ok()
}

/// Is an open file the one at a path? Where an open file cannot be removed it is still there.
#[cfg(not(unix))]
pub fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Will [`write`] be able to? For before the work whose result it is.
///
/// # Errors
/// A folder in its place, a file that is read-only, a link that leads nowhere, a folder that is not there or cannot
/// be written.
pub fn check(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::field(path, "the output", "a file", "a folder"));
    }
    if path.exists() && !path.is_file() {
        return Ok(());
    }
    let target = target_of(path)?;
    let dir = folder_of(&target);
    if !dir.is_dir() {
        return Err(Error::Missing { what: "the folder to write to".to_owned(), path: dir.to_owned() });
    }
    // A rename would replace it all the same: whoever took the right to write away meant it.
    if target.metadata().is_ok_and(|about| about.permissions().readonly()) {
        return Err(Error::field(path, "the output", "a file that may be written", "one that is read-only"));
    }
    // What the system allows is best found out by doing it.
    tempfile::tempfile_in(dir).map_err(|e| Error::io("write to the folder", dir, e))?;
    Ok(())
}

/// Refuses an output that is one of the files the work reads, or lies over one in the folders it reads from.
///
/// # Errors
/// An output that is one of these files, or lies over one in these folders.
pub fn check_apart(path: &Path, files: &[PathBuf], folders: &[PathBuf]) -> Result<()> {
    let Ok(target) = path.canonicalize() else { return Ok(()) };
    let is_read = |input: &PathBuf| input.canonicalize().is_ok_and(|input| input == target);
    let lies_in = |folder: &PathBuf| folder.canonicalize().is_ok_and(|dir| target.parent() == Some(&dir));
    if files.iter().any(is_read) || (target.is_file() && folders.iter().any(lies_in)) {
        return Err(Error::field(path, "the output", "a file of its own", "one that this run reads"));
    }
    Ok(())
}

/// What no other window or program has, for as long as this is held. The system lets go of it when the program ends, in
/// whatever way.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

impl Hold {
    /// Takes hold by a file that stands for the thing, and makes it; nothing where another has it.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn take(lock: &Path) -> Result<Option<Self>> {
        let opened = File::options().create(true).append(true).open(lock);
        let file = opened.map_err(|e| Error::io("make the file", lock, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // A file system without locks: as well as one can.
            Err(TryLockError::Error(problem)) => log::warn!("{} is not locked: {problem}", lock.display()),
        }
        Ok(Some(Self { _lock: file }))
    }

    /// Takes hold of a folder that is written to piece by piece.
    ///
    /// # Errors
    /// Another writes to it.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let held = Self::take(&folder.join(LOCK))?;
        let expected = "one that no other window or program is writing to";
        held.ok_or_else(|| Error::field(folder, "the folder", expected, "one that is being written to"))
    }
}

/// Stands for the folder it is in.
pub const LOCK: &str = ".lock";

/// The file itself, where the path is a link to one.
fn target_of(path: &Path) -> Result<PathBuf> {
    if path.is_symlink() {
        return path.canonicalize().map_err(|e| Error::io("follow the link", path, e));
    }
    Ok(path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes to a temporary file beside `path`, then renames it over. A link is followed; into a device or a pipe
/// it writes as it goes.
///
/// # Errors
/// A place that cannot be written as [`check`] says, content that fails, a disk that is full.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let failed = |e| Error::io("write the file", path, e);
    check(path)?;
    if path.exists() && !path.is_file() {
        let mut device = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        return content(&mut device).and_then(|()| device.flush()).map_err(failed);
    }
    let target = target_of(path)?;
    let dir = folder_of(&target);
    let before = target.metadata().ok();
    let mut builder = tempfile::Builder::new();
    builder.prefix(PART);
    // Not the private mode of temporary files: that of the file which is replaced, or what the user's umask leaves. A
    // private one is private from its first byte on.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = before.as_ref().map_or(0o666, |about| about.permissions().mode() & 0o777);
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    let file = part_in(dir, &builder).map_err(failed)?;
    if let Some(about) = &before {
        // What the umask took away, and where there are no modes.
        file.as_file().set_permissions(about.permissions()).map_err(failed)?;
    }
    {
        let mut buffered = std::io::BufWriter::new(file.as_file());
        content(&mut buffered).map_err(failed)?;
        buffered.flush().map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|e| failed(e.error))?;
    sync_folder(dir);
    Ok(())
}

/// Has the names in a folder reach the disk: a rename counts after a power cut only then. Best effort: some systems have
/// no handles of folders.
fn sync_folder(dir: &Path) {
    if cfg!(unix)
        && let Err(problem) = File::open(dir).and_then(|folder| folder.sync_all())
    {
        log::debug!("{} is not synced: {problem}", dir.display());
    }
}

/// A value as JSON on one line.
///
/// # Errors
/// A value that JSON cannot say, such as a map whose keys are no texts.
pub fn json_line(value: &impl Serialize, path: &Path) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::format(path, "what is to be written is no JSON", e))
}

/// Writes a value as JSON for people.
///
/// # Errors
/// A value that JSON cannot say, a place that cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::format(path, "what is to be written is no JSON", e))?;
    write(path, |out| out.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let held = Hold::of_folder(dir.path()).unwrap();
        let problem = Hold::of_folder(dir.path()).unwrap_err().to_string();
        assert!(problem.contains("no other window or program"), "{problem}");
        drop(held);
        assert!(Hold::take(&dir.path().join(LOCK)).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_keeps_its_mode_and_one_that_is_read_only_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.json");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let rewrite = |text: &str| write(&path, |out| out.write_all(text.as_bytes()));
        rewrite("1").unwrap();
        for wanted in [0o600, 0o640, 0o666, 0o755] {
            set(wanted);
            rewrite("2").unwrap();
            assert_eq!(mode(), wanted, "{wanted:o}");
        }
        set(0o444);
        let problem = rewrite("3").unwrap_err().to_string();
        assert!(problem.contains("read-only") && problem.contains("result.json"), "{problem}");
        assert_eq!((mode(), std::fs::read_to_string(&path).unwrap().as_str()), (0o444, "2"));
        assert!(check(&path).is_err(), "and says so before the work");
    }
}
