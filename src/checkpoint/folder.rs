//! A checkpoint or adapter folder: on disk, or the demo built into the program.
//!
//! Both read through here, so that the demo takes exactly the path the user's own model takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::json::Json;
use crate::digest;
use crate::error::{Error, Result};
use crate::paths::{LFS_POINTER, is_lfs_pointer};
use crate::progress::Observer;

/// Files compiled into the program: name, content.
pub type EmbeddedFiles = &'static [(&'static str, &'static [u8])];

/// Where the files of a checkpoint are.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    embedded: Option<EmbeddedFiles>,
}

/// One file of a folder, read piece by piece: a file cut off meanwhile is an error, where a memory map would
/// end the program.
pub enum FileAt {
    /// On disk.
    Disk {
        /// Open for reading.
        file: std::fs::File,
        /// Its length when it was opened.
        len: u64,
        /// For messages.
        path: PathBuf,
    },
    /// Part of the program.
    Static(&'static [u8]),
}

impl FileAt {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        match self {
            Self::Disk { len, .. } => *len,
            Self::Static(bytes) => bytes.len() as u64,
        }
    }

    /// True where there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// A file that cannot be read, or ends before.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Disk { file, path, .. } => {
                read_exact_at(file, offset, out).map_err(|e| Error::io("read the file", path, e))
            }
            Self::Static(bytes) => {
                out.copy_from_slice(&bytes[offset as usize..][..out.len()]);
                Ok(())
            }
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &std::fs::File, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &std::fs::File, mut offset: u64, mut out: &mut [u8]) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (out, offset) = (&mut out[n..], offset + n as u64),
        }
    }
    Ok(())
}

/// A name to know a folder by: the repository's for a snapshot in the Hugging Face cache, else the last part of the path,
/// with the part before it where that alone says nothing (`model`, `checkpoint-500`).
pub fn name_of(folder: &Path) -> String {
    let part = |path: Option<&Path>| Some(path?.file_name()?.to_string_lossy().into_owned());
    let Some(own) = part(Some(folder)) else { return folder.display().to_string() };
    let above = folder.parent();
    if let Some(repository) = part(above.and_then(Path::parent)).as_deref().and_then(repository_of)
        && part(above).as_deref() == Some("snapshots")
    {
        return repository;
    }
    match part(above) {
        Some(above) if says_nothing(&own) => format!("{above}/{own}"),
        _ => own,
    }
}

/// `owner/name` of a folder of the Hugging Face cache, `models--owner--name`.
pub fn repository_of(folder: &str) -> Option<String> {
    folder.strip_prefix("models--").map(|name| name.replace("--", "/"))
}

/// Names that many folders have.
fn says_nothing(name: &str) -> bool {
    const COMMON: [&str; 9] =
        ["model", "base", "adapter", "checkpoint", "final", "best", "latest", "output", "weights"];
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['-', '_']);
    COMMON.contains(&stem) || matches!(stem, "stage" | "step" | "epoch" | "")
}

/// What the files of a folder were like at a moment of this process: name, length and last change of each. What is kept
/// longer goes by [`Folder::digest`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp(Vec<(OsString, u64, Option<SystemTime>)>);

/// Endings of what a checkpoint or an adapter is read from.
const READ: [&str; 7] = ["json", "jinja", "safetensors", "txt", "pt", "bin", "model"];

/// Larger files are not read whole: only weights are, and those piece by piece.
const MAX_WHOLE: u64 = 512 << 20;

impl Folder {
    /// Opens a folder on disk; looks only whether it is one.
    ///
    /// # Errors
    /// A path where nothing is or a file, a folder that may not be looked into.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref().to_owned();
        if root.is_dir() {
            // Where it may not be looked into every file of it would seem to be missing.
            let failed = |e| Error::io("look into the folder", &root, e);
            std::fs::read_dir(&root).map_err(failed)?;
            std::fs::symlink_metadata(root.join(".")).map_err(failed)?;
            return Ok(Self { root, embedded: None });
        }
        match std::fs::metadata(&root) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("look into the folder", &root, e));
            }
            _ => {}
        }
        if root.exists() {
            return Err(Error::Format {
                what: "not a folder".to_owned(),
                problem: "expected a folder, found a file".to_owned(),
                path: root,
            });
        }
        Err(Error::Missing { what: "the folder".to_owned(), path: root })
    }

    /// Files compiled into the program, shown under `name`.
    pub fn embedded(name: &str, files: EmbeddedFiles) -> Self {
        Self { root: PathBuf::from(name), embedded: Some(files) }
    }

    /// The folder itself, for messages and for the list of recent models.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A name to know it by, see [`name_of`].
    pub fn name(&self) -> String {
        name_of(&self.root)
    }

    /// What the folder is like now: another where a file of it is another, as far as names, lengths and times say, of which
    /// nothing is read. Links count as what they lead to.
    pub fn stamp(&self) -> Stamp {
        if let Some(files) = self.embedded {
            return Stamp(vec![(OsString::from(embedded_digest(files)), 0, None)]);
        }
        let mut files: Vec<_> = self
            .files()
            .into_iter()
            .filter_map(|name| {
                let about = std::fs::metadata(self.root.join(&name)).ok()?;
                Some((name, about.len(), about.modified().ok()))
            })
            .collect();
        files.sort();
        Stamp(files)
    }

    /// The SHA-256 of all that a model is read from: a copy elsewhere, or a folder of links, has the same.
    ///
    /// # Errors
    /// A file that cannot be read, a stop.
    pub fn digest(&self, observer: &dyn Observer) -> Result<String> {
        if let Some(files) = self.embedded {
            return Ok(embedded_digest(files));
        }
        let read = |name: &OsString| {
            let ending = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
            !name.as_encoded_bytes().starts_with(b".") && READ.contains(&ending)
        };
        let mut names: Vec<OsString> = self.files().into_iter().filter(read).collect();
        names.sort();
        let mut hasher = Sha256::new();
        for name in names {
            let digest = digest::of_file(&self.root.join(&name), observer)?;
            hasher.update(name.as_encoded_bytes());
            hasher.update([0]);
            hasher.update(digest);
        }
        Ok(digest::finished(hasher))
    }

    /// Names of its files, links to files among them.
    fn files(&self) -> Vec<OsString> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().filter_map(std::result::Result::ok);
        entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name()).collect()
    }

    /// Where a file of this folder is, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Is there such a file?
    pub fn has(&self, name: &str) -> bool {
        match self.embedded {
            Some(files) => files.iter().any(|(file, _)| *file == name),
            None => self.path(name).is_file(),
        }
    }

    /// Opens a file, to be read piece by piece.
    ///
    /// # Errors
    /// A file that is not there or cannot be read, a Git LFS pointer in its place.
    pub fn open_file(&self, name: &str) -> Result<FileAt> {
        let path = self.path(name);
        if let Some(files) = self.embedded {
            let found = files.iter().find(|(file, _)| *file == name);
            return found
                .map(|(_, bytes)| FileAt::Static(bytes))
                .ok_or_else(|| Error::Missing { what: name.to_owned(), path });
        }
        if !self.has(name) {
            return Err(Error::Missing { what: name.to_owned(), path });
        }
        let opened = std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = opened.map_err(|e| Error::io("open the file", &path, e))?;
        let content = FileAt::Disk { file, len, path: path.clone() };
        let mut start = [0; 64];
        let start = &mut start[..len.min(64) as usize];
        content.read_at(0, start)?;
        if is_lfs_pointer(start) {
            return Err(Error::format(path, format!("{name} cannot be read"), LFS_POINTER));
        }
        Ok(content)
    }

    /// A file's whole content.
    ///
    /// # Errors
    /// A file that is not there, cannot be read or is too large, a Git LFS pointer in its place.
    pub fn bytes(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        let file = self.open_file(name)?;
        if let FileAt::Static(bytes) = file {
            return Ok(Cow::Borrowed(bytes));
        }
        if file.len() > MAX_WHOLE {
            let (expected, found) = (format!("at most {MAX_WHOLE} bytes"), file.len().to_string());
            return Err(Error::field(self.path(name), "size", expected, found));
        }
        let mut bytes = vec![0; file.len() as usize];
        file.read_at(0, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// The file as text.
    ///
    /// # Errors
    /// A file that is not there or cannot be read, bytes that are no UTF-8.
    pub fn text(&self, name: &str) -> Result<String> {
        let bytes = self.bytes(name)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(problem) => Err(Error::format(self.path(name), format!("{name} is not UTF-8 text"), problem)),
        }
    }

    /// The file as JSON.
    ///
    /// # Errors
    /// A file that is not there or cannot be read, text that is no JSON object.
    pub fn json(&self, name: &str) -> Result<Json> {
        let text = self.text(name)?;
        match serde_json::from_str(&text) {
            Ok(value @ Value::Object(_)) => Ok(Json::new(value, self.path(name))),
            Ok(_) => {
                let problem = "expected an object, found something else";
                Err(Error::format(self.path(name), format!("{name} is not of its format"), problem))
            }
            Err(problem) => Err(Error::format(self.path(name), format!("{name} is not valid JSON"), problem)),
        }
    }
}

/// The SHA-256 of names and bytes, computed once for each: megabytes, whenever a model is asked.
fn embedded_digest(files: EmbeddedFiles) -> String {
    static KNOWN: Mutex<BTreeMap<usize, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let digest = known.entry(files.as_ptr() as usize).or_insert_with(|| {
        let mut hasher = Sha256::new();
        for (name, bytes) in files {
            hasher.update(name);
            hasher.update([0]);
            hasher.update(digest::of_bytes(bytes));
        }
        digest::finished(hasher)
    });
    digest.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unobserved;

    #[test]
    fn what_is_built_in_is_known_by_its_bytes() {
        const ONE: EmbeddedFiles = &[("config.json", b"{}"), ("model.safetensors", b"1")];
        const OTHER: EmbeddedFiles = &[("config.json", b"{}"), ("model.safetensors", b"2")];
        let [one, again, other] =
            [ONE, ONE, OTHER].map(|files| Folder::embedded("demo", files).digest(&Unobserved).unwrap());
        assert_eq!(one, again);
        assert_ne!(one, other);
        let [one, other] = [ONE, OTHER].map(|files| Folder::embedded("demo", files).stamp());
        assert_ne!(one, other);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_of_links_is_what_they_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second, links] = ["first", "second", "links"].map(|name| dir.path().join(name));
        for (folder, weights) in [(&first, "one"), (&second, "other")] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("config.json"), "{}").unwrap();
            std::fs::write(folder.join("model.safetensors"), weights).unwrap();
        }
        std::fs::create_dir(&links).unwrap();
        let link = |to: &Path| {
            for name in ["config.json", "model.safetensors"] {
                let place = links.join(name);
                if place.is_symlink() {
                    std::fs::remove_file(&place).unwrap();
                }
                std::os::unix::fs::symlink(to.join(name), place).unwrap();
            }
        };
        let open = |path: &Path| Folder::open(path).unwrap();
        let digest = |path: &Path| open(path).digest(&Unobserved).unwrap();
        link(&first);
        let stamp = open(&links).stamp();
        assert_eq!(digest(&links), digest(&first), "a copy is the same");
        // What is no part of a model says nothing of it.
        std::fs::write(links.join("README.md"), "mine").unwrap();
        assert_eq!(digest(&links), digest(&first));
        std::fs::remove_file(links.join("README.md")).unwrap();
        link(&second);
        assert_ne!(open(&links).stamp(), stamp);
        assert_eq!(digest(&links), digest(&second));
        assert_ne!(digest(&first), digest(&second));
    }

    #[test]
    fn a_name_says_which_folder_it_is() {
        let name = |path: &str| Folder { root: PathBuf::from(path), embedded: None }.name();
        let cached =
            "/c/hub/models--Qwen--Qwen2.5-VL-3B-Instruct/snapshots/66285546d2b821cf421d4f5eb2576359d3770cd3";
        assert_eq!(name(cached), "Qwen/Qwen2.5-VL-3B-Instruct");
        assert_eq!(name("/runs/counting/checkpoint-500"), "counting/checkpoint-500");
        assert_eq!(name("/runs/counting/stage-1"), "counting/stage-1");
        assert_eq!(name("/m/tiny/model"), "tiny/model");
        assert_eq!(name("/m/Qwen3-VL-4B"), "Qwen3-VL-4B");
    }
}
