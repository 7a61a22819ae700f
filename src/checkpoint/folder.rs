//! A checkpoint or adapter folder: on disk, or the demo built into the program.
//!
//! Both read through here, so that the demo takes exactly the path the user's own model takes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use super::json::Json;
use crate::error::{Error, Result};

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

/// Larger files are not read whole: only weights are, and those piece by piece.
const MAX_WHOLE: u64 = 512 << 20;

impl Folder {
    /// Opens a folder on disk; looks only whether it is one.
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

    /// Changes when a file of the folder does: by names, lengths and times, of which nothing is read, or by all that is
    /// compiled into the program.
    pub fn fingerprint(&self) -> u64 {
        if let Some(files) = self.embedded {
            return fingerprint_of(files);
        }
        let mut files: Vec<_> = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((entry.file_name(), about.len(), about.modified().ok()))
            })
            .collect();
        files.sort();
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        hasher.finish()
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
        Ok(FileAt::Disk { file, len, path })
    }

    /// A file's whole content.
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
    pub fn text(&self, name: &str) -> Result<String> {
        let bytes = self.bytes(name)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(problem) => Err(Error::format(self.path(name), format!("{name} is not UTF-8 text"), problem)),
        }
    }

    /// The file as JSON.
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

/// Of names and bytes, computed once for each: megabytes, whenever a model is asked.
fn fingerprint_of(files: EmbeddedFiles) -> u64 {
    static KNOWN: Mutex<BTreeMap<usize, u64>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *known.entry(files.as_ptr() as usize).or_insert_with(|| {
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_known_by_its_bytes() {
        const ONE: EmbeddedFiles = &[("config.json", b"{}"), ("model.safetensors", b"1")];
        const OTHER: EmbeddedFiles = &[("config.json", b"{}"), ("model.safetensors", b"2")];
        let [one, again, other] =
            [ONE, ONE, OTHER].map(|files| Folder::embedded("demo", files).fingerprint());
        assert_eq!(one, again);
        assert_ne!(one, other);
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
