//! Checkpoints and adapters from the Hugging Face Hub, into the cache that Hugging Face's own programs use.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hf_hub::HFClientBuilder;
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};

use crate::checkpoint::hub_cache::{HubCache, is_repository};
use crate::error::{Error, Result};
use crate::progress::{Observer, Phase, Progress};

/// What of a repository a checkpoint or an adapter is made of.
const FILES: [&str; 5] = ["*.json", "*.jinja", "*.safetensors", "*.txt", "latent_rows.pt"];

/// Between two looks at whether to go on.
const STEP: Duration = Duration::from_millis(100);

/// Brings a repository into the cache and says where it is; files that are there already are not fetched again, so that a
/// download that was stopped goes on at the file it had reached. With `HF_HUB_OFFLINE` set nothing is fetched.
///
/// # Errors
/// A name that can be no repository's, a hub that cannot be reached or does not have it, a download that was stopped.
pub fn download(repository: &str, cache: &HubCache, observer: &dyn Observer) -> Result<PathBuf> {
    let Some((owner, name)) = repository.split_once('/').filter(|_| is_repository(repository)) else {
        return Err(Error::Request(format!(
            "expected the name of a repository as Qwen/Qwen2.5-VL-3B-Instruct, found {repository}"
        )));
    };
    let failed =
        |e: &dyn std::fmt::Display| Error::Request(format!("{repository} cannot be downloaded: {e}"));
    if is_offline() {
        return cache
            .snapshot(repository)
            .ok_or_else(|| failed(&"HF_HUB_OFFLINE is set and it is not in the cache"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| failed(&e))?;
    let fetched = Arc::new(Fetched::default());
    let client = HFClientBuilder::new().cache_dir(cache.root()).build().map_err(|e| failed(&e))?;
    let (model, watch) = (client.model(owner, name), fetched.clone());
    let patterns = FILES.map(str::to_owned).to_vec();
    let mut task = runtime.spawn(async move {
        model.snapshot_download().allow_patterns(patterns).progress(watch).send().await
    });
    let outcome = loop {
        let waited = runtime.block_on(async { tokio::time::timeout(STEP, &mut task).await });
        if let Ok(joined) = waited {
            break joined.map_err(|e| failed(&e))?;
        }
        if let Err(stopped) = observer.progress(fetched.progress()) {
            task.abort();
            runtime.shutdown_background();
            return Err(stopped);
        }
    };
    runtime.shutdown_background();
    outcome.map_err(|e| failed(&whole(&e)))
}

/// May nothing be fetched? As `huggingface_hub` reads its variable.
fn is_offline() -> bool {
    std::env::var("HF_HUB_OFFLINE")
        .is_ok_and(|value| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

/// An error with those that caused it, which is where the reason is.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let own = inner.to_string();
        if !text.contains(&own) {
            text = format!("{text}: {own}");
        }
        cause = inner.source();
    }
    text
}

/// Bytes so far.
#[derive(Default)]
struct Fetched {
    total: AtomicU64,
    files: std::sync::Mutex<std::collections::BTreeMap<String, u64>>,
    together: AtomicU64,
}

impl Fetched {
    fn progress(&self) -> Progress {
        let alone: u64 = self.files.lock().map_or(0, |files| files.values().sum());
        let done = alone + self.together.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        Progress { phase: Phase::Download, done: done as usize, total: (total as usize).max(1) }
    }
}

impl ProgressHandler for Fetched {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Start { total_bytes, .. }) => {
                self.total.store(*total_bytes, Ordering::Relaxed);
            }
            ProgressEvent::Download(DownloadEvent::Progress { files: news }) => {
                if let Ok(mut files) = self.files.lock() {
                    files.extend(news.iter().map(|file| (file.filename.clone(), file.bytes_completed)));
                }
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, .. }) => {
                self.together.store(*bytes_completed, Ordering::Relaxed);
            }
            _ => {}
        }
    }
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
