//! Contents by SHA-256: what a result hangs on is known by what it is, so that a copy on another machine is the same.
//!
//! Large files are hashed once: their digests are remembered in the user's cache, by path, length and time.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::{Error, Result};
use crate::progress::Observer;

/// Smaller files are read anew: that takes no longer than looking them up.
const LARGE: u64 = 1 << 20;

/// A digest as text, of the bytes that were hashed.
pub fn finished(hasher: Sha256) -> String {
    format!("{:x}", hasher.finalize())
}

/// The digest of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    finished(Sha256::new_with_prefix(bytes))
}

/// The digest of a file's content.
///
/// # Errors
/// A file that cannot be read, a stop.
pub fn of_file(path: &Path, observer: &dyn Observer) -> Result<String> {
    let failed = |e| Error::io("read the file", path, e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let key = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
    let facts = Facts::of(&about);
    if let (Some(key), Some(facts), true) = (&key, facts, about.len() >= LARGE)
        && let Some(known) = remembered(key, facts)
    {
        return Ok(known);
    }
    let mut hasher = Sha256::new();
    let mut piece = vec![0; LARGE as usize];
    loop {
        observer.check()?;
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            count => hasher.update(&piece[..count]),
        }
    }
    let digest = finished(hasher);
    if let (Some(key), Some(facts), true) = (key, facts, about.len() >= LARGE) {
        remember(key, facts, &digest);
    }
    Ok(digest)
}

/// What a file is known by as long as it is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    len: u64,
    /// Nanoseconds since 1970.
    modified: i64,
}

impl Facts {
    /// `None` where the time says nothing: none is known, or so late that the file may change within it.
    fn of(about: &Metadata) -> Option<Self> {
        const GRAIN: Duration = Duration::from_secs(3);
        let modified = about.modified().ok()?;
        if SystemTime::now().duration_since(modified).is_ok_and(|age| age < GRAIN) {
            return None;
        }
        Some(Self { len: about.len(), modified: nanoseconds(modified)? })
    }
}

/// Since 1970; below zero before.
pub fn nanoseconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).ok(),
        Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|nanoseconds| -nanoseconds),
    }
}

/// A file of the cache: what it was like, and its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    facts: Facts,
    sha256: String,
}

type Table = BTreeMap<String, Known>;

static TABLE: Mutex<Option<Table>> = Mutex::new(None);

/// Files remembered.
const MOST: usize = 5_000;

/// In the user's cache, where there is one.
fn cache_file() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    Some(cache.join("livr-explorer").join("digests.json"))
}

fn with_table<T>(work: impl FnOnce(&mut Table) -> T) -> T {
    let mut table = TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let read = || {
        let bytes = std::fs::read(cache_file()?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    work(table.get_or_insert_with(|| read().unwrap_or_default()))
}

fn remembered(path: &str, facts: Facts) -> Option<String> {
    with_table(|table| table.get(path).filter(|known| known.facts == facts).map(|known| known.sha256.clone()))
}

fn remember(path: String, facts: Facts, digest: &str) {
    let written = with_table(|table| {
        if table.len() >= MOST {
            table.clear();
        }
        table.insert(path, Known { facts, sha256: digest.to_owned() });
        table.clone()
    });
    let Some(file) = cache_file() else { return };
    let kept = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    if let Err(problem) = kept
        .map_err(|e| e.to_string())
        .and_then(|()| atomic::write_json(&file, &written).map_err(|e| e.to_string()))
    {
        log::debug!("digests are not remembered: {problem}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unobserved;

    #[test]
    fn a_file_is_known_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_file(&path, &Unobserved).unwrap(), known);
        assert_eq!(of_bytes(b"abc"), known);
        let large = vec![7; 3 * LARGE as usize + 5];
        for changed in [0, 1] {
            let mut bytes = large.clone();
            bytes[LARGE as usize] += changed;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(of_file(&path, &Unobserved).unwrap(), of_bytes(&bytes), "written within a moment");
        }
    }
}
