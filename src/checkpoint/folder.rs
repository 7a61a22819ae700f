//! A checkpoint or adapter folder: on disk, or the demo built into the program.
//!
//! Both read through here, so that the demo takes exactly the path the user's own model takes.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

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

/// Larger files are not read whole: only weights are, and those piece by piece.
const MAX_WHOLE: u64 = 512 << 20;

impl Folder {
    /// Opens a folder on disk; looks only whether it is one.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref().to_owned();
        if root.is_dir() {
            return Ok(Self { root, embedded: None });
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

    /// Last part of the folder's name.
    pub fn name(&self) -> String {
        self.root
            .file_name()
            .map_or_else(|| self.root.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// Changes when a file of the folder does: by names, lengths and times. Nothing is read.
    pub fn fingerprint(&self) -> u64 {
        let mut files: Vec<_> = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok().filter(|_| self.embedded.is_none())?;
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
