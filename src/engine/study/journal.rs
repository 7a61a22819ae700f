//! A journal: what a study has so far, a line a sample, so that one that is stopped at any moment goes on where it was.
//!
//! The first line says what all others hang on. Lines are added in one write each, and only whole lines count: what a kill
//! or a full disk has cut, in the middle of a character too, is written anew. One program writes to it at a time. A journal
//! of something else is put aside under a name of its own, never over: asked for again, it comes back.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{BufRead, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::atomic::{is_at, json_line};
use crate::digest;
use crate::error::{Error, Result};

/// What the first line of every journal holds.
#[derive(Serialize, Deserialize)]
struct Head<H> {
    /// The version of this layout.
    livr_journal: u32,
    heading: H,
}

const VERSION: u32 = 1;

/// A file that is added to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

/// A journal with the lines it had.
#[derive(Debug)]
pub struct OpenedJournal<L> {
    /// To add to.
    pub journal: Journal,
    /// Whole ones.
    pub lines: Vec<L>,
}

impl Journal {
    /// Goes on with the journal of this heading, or begins one; a journal of another heading is put aside.
    ///
    /// # Errors
    /// A file that is no journal, one that another program writes to, one of an earlier version, a line that is none, a
    /// place that cannot be written.
    pub fn open<H, L>(path: &Path, heading: &H) -> Result<OpenedJournal<L>>
    where
        H: Serialize + DeserializeOwned + PartialEq,
        L: DeserializeOwned,
    {
        let mut file = held(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io("read the journal", path, e))?;
        if is_begun_only(&bytes) {
            let head = json_line(&Head { livr_journal: VERSION, heading }, path)?;
            let own = aside(path, head.as_bytes());
            if own.is_file() {
                std::fs::rename(&own, path).map_err(|e| Error::io("take the journal up", &own, e))?;
                return Self::open(path, heading);
            }
            file.set_len(0)
                .and_then(|()| file.rewind())
                .map_err(|e| Error::io("begin the journal", path, e))?;
            let mut journal = Self { path: path.to_owned(), file };
            journal.write(&head)?;
            return Ok(OpenedJournal { journal, lines: Vec::new() });
        }
        if !is_of(&bytes, heading, path)? {
            if !has_lines(&bytes) {
                std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e))?;
                return Self::open(path, heading);
            }
            let aside = aside(path, first_line(&bytes));
            std::fs::rename(path, &aside).map_err(|e| Error::io("put the journal aside", path, e))?;
            log::info!("the journal of something else is in {}", aside.display());
            return Self::open(path, heading);
        }
        let whole = whole_lines(&bytes);
        let lines = parsed(&bytes[..whole], path)?;
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(|e| Error::io("cut the journal", path, e))?;
        }
        file.seek(SeekFrom::End(0)).map_err(|e| Error::io("read the journal", path, e))?;
        Ok(OpenedJournal { journal: Self { path: path.to_owned(), file }, lines })
    }

    /// The heading of a journal, where there is one of this kind.
    pub fn heading_of<H: DeserializeOwned>(path: &Path) -> Option<H> {
        let mut first = Vec::new();
        let mut file = std::io::BufReader::new(File::open(path).ok()?);
        file.read_until(b'\n', &mut first).ok()?;
        serde_json::from_slice::<Head<H>>(&first).ok().map(|head| head.heading)
    }

    /// The whole lines of a journal, for reading alone; none where there is no journal.
    ///
    /// # Errors
    /// A file that cannot be read, a line that is none.
    pub fn lines_of<L: DeserializeOwned>(path: &Path) -> Result<Vec<L>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read the journal", path, e)),
        };
        parsed(&bytes[..whole_lines(&bytes)], path)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn add(&mut self, line: &impl Serialize) -> Result<()> {
        self.write(&json_line(line, &self.path)?)
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes()).map_err(|e| Error::io("keep the results", &self.path, e))
    }

    /// Removes it: what it was for is whole elsewhere.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io("remove", &self.path, e))
    }
}

/// The file, for this program alone; where there is none, an empty one.
fn held(path: &Path) -> Result<File> {
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = open().map_err(|e| Error::io("open the journal", path, e))?;
    match file.try_lock() {
        // Its last writer may have ended, and removed it, since it was opened.
        Ok(()) if is_at(&file, path) => Ok(file),
        Ok(()) => held(path),
        Err(TryLockError::WouldBlock) => Err(Error::field(
            path,
            "the journal",
            "one that no other program is writing to",
            "one that is being written to: name another output",
        )),
        Err(TryLockError::Error(problem)) => {
            // A file system without locks: as well as one can.
            log::warn!("{} is not locked: {problem}", path.display());
            Ok(file)
        }
    }
}

/// Where the last whole line ends.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// Is there a whole line behind the first?
fn has_lines(bytes: &[u8]) -> bool {
    whole_lines(bytes) > first_line(bytes).len() + 1
}

/// Is there nothing in it yet? Its first line may have been cut off.
fn is_begun_only(bytes: &[u8]) -> bool {
    const START: &[u8] = br#"{"livr_journal":"#;
    let shared = bytes.len().min(START.len());
    bytes[..shared] == START[..shared] && !bytes.contains(&b'\n')
}

/// Is it a journal of this heading?
fn is_of<H: DeserializeOwned + PartialEq>(bytes: &[u8], heading: &H, path: &Path) -> Result<bool> {
    #[derive(Deserialize)]
    struct AnyHead {
        livr_journal: u32,
    }
    let first = first_line(bytes);
    if let Ok(AnyHead { livr_journal: version }) = serde_json::from_slice(first) {
        if version > VERSION {
            let found = format!("{version}, of a later version of this program");
            return Err(Error::field(path, "livr_journal", format!("at most {VERSION}"), found));
        }
        // What a heading of another kind says is not this one's.
        return Ok(serde_json::from_slice::<Head<H>>(first).is_ok_and(|head| head.heading == *heading));
    }
    let is_earlier = serde_json::from_slice::<serde_json::Value>(first)
        .is_ok_and(|head| head.get("fingerprints").is_some());
    let found = if is_earlier {
        "one of an earlier version of this program, which cannot be gone on with: remove it, or name another output"
    } else {
        "a file of somebody else: move it, or name another output"
    };
    Err(Error::field(path, "the journal", "one of this program", found))
}

/// The lines after the first.
fn parsed<L: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<Vec<L>> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().skip(1).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|e| {
                Error::format(
                    path,
                    format!("line {} of the journal is none; without it, it is made anew", number + 1),
                    e,
                )
            })
        })
        .collect()
}

/// Where the journal with this first line waits while another has its place.
fn aside(path: &Path, first: &[u8]) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!("-{}", &digest::of_bytes(first)[..12]));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, heading: &str) -> Result<OpenedJournal<String>> {
        Journal::open(path, &heading.to_owned())
    }

    #[test]
    fn only_whole_lines_count_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json.partial");
        let mut journal = open(&path, "a").unwrap().journal;
        for line in ["one", "样本-2", "three"] {
            journal.add(&line).unwrap();
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut opened = open(&path, "a").unwrap();
            let expected = whole[..cut].split(|byte| *byte == b'\n').count().saturating_sub(2);
            assert_eq!(opened.lines, ["one", "样本-2", "three"][..expected], "cut at {cut}");
            opened.journal.add(&"next").unwrap();
            drop(opened);
            let lines = open(&path, "a").unwrap().lines;
            assert_eq!((lines.len(), lines.last().map(String::as_str)), (expected + 1, Some("next")));
        }
    }

    #[test]
    fn a_journal_of_something_else_is_put_aside_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json.partial");
        for (heading, line) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")] {
            open(&path, heading).unwrap().journal.add(&line).unwrap();
        }
        assert_eq!(open(&path, "a").unwrap().lines, ["1", "3"]);
        let opened = open(&path, "b").unwrap();
        assert_eq!(opened.lines, ["2", "4"]);
        opened.journal.remove().unwrap();
        assert!(!path.exists());
        assert_eq!(open(&path, "a").unwrap().lines, ["1", "3"]);
    }

    #[test]
    fn what_is_no_journal_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n.json.partial");
        for (text, expected) in [
            ("my notes\n", "a file of somebody else"),
            ("{\"model\": 1, \"fingerprints\": [1, null]}\n{}", "an earlier version"),
            ("{\"livr_journal\": 9, \"heading\": \"a\"}\n", "a later version"),
            ("{\"livr_journal\": 1, \"heading\": \"a\"}\nnonsense\n\"x\"\n", "line 2 of the journal"),
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = open(&path, "a").unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::remove_file(&path).unwrap();
        let held = open(&path, "a").unwrap();
        let problem = open(&path, "a").unwrap_err().to_string();
        assert!(problem.contains("no other program"), "{problem}");
        drop(held);
        assert!(open(&path, "a").is_ok());
    }
}
