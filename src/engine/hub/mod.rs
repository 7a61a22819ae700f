//! Checkpoints and adapters from the Hugging Face Hub, into the cache that Hugging Face's own programs use: blobs by what
//! they hold, and snapshots of links to them.
//!
//! A file is there once it is whole: its length, and where the Hub says it its SHA-256, are those it lists; before that it
//! is `*.incomplete`, and is gone on with. Names and digests come from the network and become paths only where they are
//! plain.

#[cfg(feature = "hub")]
mod web;

use std::path::PathBuf;

#[cfg(feature = "hub")]
use self::web::fetch;
use crate::checkpoint::hub_cache::{HubCache, is_repository};
use crate::error::{Error, Result};
use crate::progress::Observer;

/// Brings a repository into the cache and says where it is; what is there already is not fetched again, so that a download
/// that was stopped goes on where it was. With `HF_HUB_OFFLINE` set nothing is fetched.
///
/// # Errors
/// A name that can be no repository's, a hub that cannot be reached or does not have it, a file that came otherwise than
/// it is listed, a download that was stopped.
pub fn download(repository: &str, cache: &HubCache, observer: &dyn Observer) -> Result<PathBuf> {
    if !is_repository(repository) {
        return Err(Error::Request(format!(
            "expected the name of a repository as Qwen/Qwen2.5-VL-3B-Instruct, found {repository}"
        )));
    }
    if is_offline() {
        let problem = "HF_HUB_OFFLINE is set and it is not in the cache";
        return cache.snapshot(repository).ok_or_else(|| failed(repository, problem));
    }
    fetch(repository, cache, observer)
}

fn failed(repository: &str, problem: impl std::fmt::Display) -> Error {
    Error::Request(format!("{repository} cannot be downloaded: {problem}"))
}

/// May nothing be fetched? As `huggingface_hub` reads its variable.
fn is_offline() -> bool {
    std::env::var("HF_HUB_OFFLINE")
        .is_ok_and(|value| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

#[cfg(not(feature = "hub"))]
fn fetch(repository: &str, _cache: &HubCache, _observer: &dyn Observer) -> Result<PathBuf> {
    Err(failed(repository, "this program was built without the feature hub"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unobserved;

    #[test]
    fn a_name_that_is_none_is_refused() {
        let cache = HubCache::at("/nowhere");
        for name in ["model", "a/b/c", "../x"] {
            let problem = download(name, &cache, &Unobserved).unwrap_err().to_string();
            assert!(problem.contains("expected the name of a repository"), "{problem}");
        }
    }
}
