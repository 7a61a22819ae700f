//! Files of the Hub, by its protocol: listed, fetched on from where they were stopped, verified.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use super::failed;
use crate::atomic::{self, Hold};
use crate::checkpoint::hub_cache::HubCache;
use crate::digest;
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase, Progress};

/// Endings of what a checkpoint or an adapter is made of, and one name.
const ENDINGS: [&str; 4] = [".json", ".jinja", ".safetensors", ".txt"];
const ROWS: &str = "latent_rows.pt";
/// Between two looks at whether to go on.
const STEP: Duration = Duration::from_millis(100);
/// Answers that are not files are shorter.
const MOST_JSON: u64 = 64 << 20;

/// Does the work on a thread of its own, since the network may be silent while somebody wants it stopped.
///
/// # Errors
/// A hub that cannot be reached or does not have it, a file that came otherwise than listed or that another program
/// fetches, a disk that is full, a stop.
pub fn fetch(repository: &str, cache: &HubCache, observer: &dyn Observer) -> Result<PathBuf> {
    let shared = Arc::new(Shared::default());
    let (outbox, inbox) = crossbeam_channel::bounded(1);
    let hub = Hub { repository: repository.to_owned(), cache: cache.clone(), shared: shared.clone() };
    std::thread::spawn(move || {
        if outbox.send(hub.snapshot()).is_err() {
            log::debug!("nobody waits for a download any more");
        }
    });
    loop {
        match inbox.recv_timeout(STEP) {
            Ok(Ok(path)) => return Ok(path),
            Ok(Err(problem)) => return Err(failed(repository, problem)),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                return Err(failed(repository, "the program has a fault"));
            }
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
        }
        if let Err(stopped) = observer.progress(shared.progress()) {
            shared.stop.store(true, Ordering::Relaxed);
            return Err(stopped);
        }
    }
}

/// Bytes so far, and whether to stop.
#[derive(Default)]
struct Shared {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl Observer for Shared {
    fn progress(&self, _progress: Progress) -> Result<()> {
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl Shared {
    fn progress(&self) -> Progress {
        let [done, total] = [&self.done, &self.total].map(|count| count.load(Ordering::Relaxed) as usize);
        Progress { phase: Phase::Download, done, total: total.max(1) }
    }
}

/// What went wrong, in half a sentence.
type Fetched<T> = std::result::Result<T, String>;

struct Hub {
    repository: String,
    cache: HubCache,
    shared: Arc<Shared>,
}

/// What the Hub says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
}

/// An entry of its tree.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

/// A file that is kept apart: by its SHA-256.
#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// A file to be there.
struct Wanted {
    name: String,
    /// The name of its blob.
    blob: String,
    size: u64,
    sha256: Option<String>,
}

impl Wanted {
    fn of(entry: Entry) -> Fetched<Self> {
        let Entry { path: name, oid, size, lfs, .. } = entry;
        let (blob, size, sha256) = match lfs {
            Some(lfs) => (lfs.oid.clone(), lfs.size, Some(lfs.oid)),
            None => (oid, size, None),
        };
        if !is_plain(&blob) {
            return Err(format!("the Hub lists {name} under the digest {blob:?}, which is none"));
        }
        Ok(Self { name, blob, size, sha256 })
    }
}

/// Can it be a file's name, and no way to another place?
fn is_plain(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(is_fine)
}

impl Hub {
    fn snapshot(&self) -> Fetched<PathBuf> {
        let agent = agent();
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|text| !text.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/');
        let info: Info = json(&agent, &format!("{endpoint}/api/models/{}/revision/main", self.repository))?.0;
        if !is_plain(&info.sha) {
            return Err(format!("the Hub names the commit {:?}, which is none", info.sha));
        }
        let wanted = self.wanted(&agent, endpoint, &info.sha)?;
        let total: u64 = wanted.iter().map(|file| file.size).sum();
        self.shared.total.store(total, Ordering::Relaxed);

        let folder = self.cache.folder_of(&self.repository);
        let (blobs, snapshot) = (folder.join("blobs"), folder.join("snapshots").join(&info.sha));
        for dir in [&blobs, &snapshot, &folder.join("refs")] {
            std::fs::create_dir_all(dir).map_err(|e| format!("{e} ({})", dir.display()))?;
        }
        for file in &wanted {
            let blob = blobs.join(&file.blob);
            if blob.metadata().is_ok_and(|about| about.len() == file.size) {
                self.shared.done.fetch_add(file.size, Ordering::Relaxed);
            } else {
                let url = format!("{endpoint}/{}/resolve/{}/{}", self.repository, info.sha, file.name);
                self.file(&agent, &url, file, &blob)?;
            }
            link(&file.blob, &snapshot.join(&file.name))?;
        }
        let main = folder.join("refs").join("main");
        atomic::write(&main, |out| out.write_all(info.sha.as_bytes())).map_err(|e| e.to_string())?;
        Ok(snapshot)
    }

    /// The files of the commit that a checkpoint or an adapter is read from. What lies in folders is none of these.
    fn wanted(&self, agent: &Agent, endpoint: &str, commit: &str) -> Fetched<Vec<Wanted>> {
        let mut next = Some(format!(
            "{endpoint}/api/models/{}/tree/{commit}?recursive=true&expand=false",
            self.repository
        ));
        let mut wanted = Vec::new();
        while let Some(url) = next {
            let (entries, more): (Vec<Entry>, _) = json(agent, &url)?;
            for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
                let leads_away = entry.path.split('/').any(|part| matches!(part, ".." | "." | ""))
                    || entry.path.contains('\\')
                    || entry.path.contains(':');
                if leads_away {
                    return Err(format!("the Hub lists a file as {:?}, which leads elsewhere", entry.path));
                }
                let is_read = ENDINGS.iter().any(|ending| entry.path.ends_with(ending)) || entry.path == ROWS;
                if is_read && !entry.path.contains('/') && !entry.path.starts_with('.') {
                    wanted.push(Wanted::of(entry)?);
                }
            }
            next = more.filter(|url| url.starts_with(endpoint));
        }
        Ok(wanted)
    }

    /// Fetches a file into its blob, on from where it was stopped.
    fn file(&self, agent: &Agent, url: &str, wanted: &Wanted, blob: &Path) -> Fetched<()> {
        let part = blob.with_added_extension("incomplete");
        let said = |e: std::io::Error| format!("{e} ({})", part.display());
        let hold = Hold::take(&blob.with_added_extension("lock")).map_err(|e| e.to_string())?;
        let Some(_hold) = hold else { return Err(format!("another program fetches {}", wanted.name)) };
        let held = part.metadata().map_or(0, |about| about.len());
        if held == wanted.size && held > 0 {
            self.shared.done.fetch_add(held, Ordering::Relaxed);
            return self.settle(wanted, &part, held, blob);
        }
        // More than is listed is of another file.
        let held = if held > wanted.size { 0 } else { held };
        let mut request = authorised(agent.get(url));
        if held > 0 {
            request = request.header("Range", format!("bytes={held}-"));
        }
        let response = request.call().map_err(|e| format!("{}: {e}", wanted.name))?;
        let goes_on = held > 0 && response.status() == StatusCode::PARTIAL_CONTENT;
        if !response.status().is_success() {
            return Err(refusal(&wanted.name, &response));
        }
        let start = if goes_on { held } else { 0 };
        let mut file = File::options().create(true).append(true).open(&part).map_err(said)?;
        file.set_len(start).map_err(said)?;
        self.shared.done.fetch_add(start, Ordering::Relaxed);
        // One byte more than is listed is enough to know that it is another file.
        let mut body = response.into_body().into_reader().take(wanted.size - start + 1);
        let mut piece = vec![0; 1 << 16];
        let mut length = start;
        loop {
            if self.shared.stop.load(Ordering::Relaxed) {
                return Err("it was stopped".to_owned());
            }
            let count = body.read(&mut piece).map_err(|e| format!("{}: {e}", wanted.name))?;
            if count == 0 {
                break;
            }
            file.write_all(&piece[..count]).map_err(said)?;
            length += count as u64;
            self.shared.done.fetch_add(count as u64, Ordering::Relaxed);
        }
        file.sync_all().map_err(said)?;
        drop(file);
        if length < wanted.size {
            return Err(format!(
                "{}: the connection ended after {length} of {} bytes",
                wanted.name, wanted.size
            ));
        }
        self.settle(wanted, &part, length, blob)
    }

    /// Makes a part of all bytes the blob, where it is what the Hub lists.
    fn settle(&self, wanted: &Wanted, part: &Path, length: u64, blob: &Path) -> Fetched<()> {
        let said = |e: std::io::Error| format!("{e} ({})", part.display());
        let found = if length > wanted.size {
            Some("more bytes".to_owned())
        } else if wanted.sha256.is_some() {
            let found = digest::of_file(part, &*self.shared).map_err(|e| e.to_string())?;
            Some(found).filter(|found| Some(found) != wanted.sha256.as_ref())
        } else {
            None
        };
        if let Some(found) = found {
            // What is kept would be gone on with.
            std::fs::remove_file(part).map_err(said)?;
            let expected = wanted.sha256.clone().unwrap_or_else(|| format!("{} bytes", wanted.size));
            return Err(format!("{}: expected {expected} as the Hub lists it, found {found}", wanted.name));
        }
        std::fs::rename(part, blob).map_err(said)
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_mins(1)))
        .timeout_per_read(Some(Duration::from_mins(1)))
        .http_status_as_error(false)
        .user_agent(concat!("livr-explorer/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
}

/// With the user's token, where there is one: as `huggingface_hub` looks for it. Redirects to other hosts go without.
fn authorised<B>(request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let file = || {
        let path = variable("HF_TOKEN_PATH")
            .map(PathBuf::from)
            .or_else(|| Some(HubCache::of_user()?.root().parent()?.join("token")))?;
        std::fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty())
    };
    let token = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN")).or_else(file);
    match token {
        Some(token) => request.header("Authorization", format!("Bearer {}", token.trim())),
        None => request,
    }
}

/// What an address answers, and where it goes on.
fn json<T: serde::de::DeserializeOwned>(agent: &Agent, url: &str) -> Fetched<(T, Option<String>)> {
    let mut response = authorised(agent.get(url)).call().map_err(|e| e.to_string())?;
    if !response.status().is_success() {
        return Err(refusal("the Hub", &response));
    }
    let next = response.headers().get("link").and_then(|link| link.to_str().ok()).and_then(next_of);
    let mut bytes = Vec::new();
    let body = response.body_mut().as_reader();
    body.take(MOST_JSON).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let read = serde_json::from_slice(&bytes).map_err(|e| format!("the Hub's answer cannot be read: {e}"))?;
    Ok((read, next))
}

/// `<https://...>; rel="next"`.
fn next_of(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    Some(next.split_once('<')?.1.split_once('>')?.0.to_owned())
}

fn refusal<B>(what: &str, response: &Response<B>) -> String {
    let status = response.status();
    let advice = match status.as_u16() {
        401 | 403 => ": it may be gated or private, and want a token (HF_TOKEN)",
        404 => ": there is no such thing, or it is private",
        429 => ": too many requests, try again later",
        _ => "",
    };
    format!("{what} answers {status}{advice}")
}

/// Puts a snapshot's file beside the others: a link to its blob, or where there can be none a copy.
fn link(blob: &str, place: &Path) -> Fetched<()> {
    let target = Path::new("..").join("..").join("blobs").join(blob);
    if std::fs::read_link(place).is_ok_and(|held| held == target) {
        return Ok(());
    }
    let said = |e: std::io::Error| format!("{e} ({})", place.display());
    if place.symlink_metadata().is_ok() {
        std::fs::remove_file(place).map_err(said)?;
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&target, place).map_err(said)
    }
    #[cfg(not(unix))]
    {
        let blob = place.parent().unwrap_or(Path::new("")).join(target);
        std::fs::hard_link(&blob, place).or_else(|_| std::fs::copy(&blob, place).map(drop)).map_err(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_no_names() {
        for name in ["model.safetensors", "0123abcd", "a-b_c.json"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "..", "../x", "/x", "a/b", "a\\b", ".hidden", "C:x", "a b"] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn the_next_page_is_found() {
        let link = "<https://hub/api/tree?cursor=a>; rel=\"next\"";
        assert_eq!(next_of(link).as_deref(), Some("https://hub/api/tree?cursor=a"));
        assert_eq!(next_of("<https://hub>; rel=\"prev\""), None);
    }
}
