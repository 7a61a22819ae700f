//! The folder in which Hugging Face's programs keep what they downloaded: `models--owner--name/snapshots/<commit>`.

use std::path::PathBuf;

use super::folder::repository_of;

/// One such folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    root: PathBuf,
}

impl HubCache {
    /// The one that Python's `huggingface_hub` would use: `HF_HUB_CACHE`, `HF_HOME/hub`, or in the user's cache.
    pub fn of_user() -> Option<Self> {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || named("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")));
        let home = || named("HF_HOME").or_else(|| Some(cache()?.join("huggingface")));
        let root = named("HF_HUB_CACHE").or_else(|| Some(home()?.join("hub")))?;
        Some(Self { root })
    }

    /// The one in this folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its folder.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// The snapshot of a repository that its `main` names, or the newest; nothing where there is none.
    pub fn snapshot(&self, repository: &str) -> Option<PathBuf> {
        if !is_repository(repository) {
            return None;
        }
        let folder = self.root.join(format!("models--{}", repository.replace('/', "--")));
        let snapshots = folder.join("snapshots");
        let main = std::fs::read_to_string(folder.join("refs").join("main")).ok();
        let named = main.map(|commit| snapshots.join(commit.trim())).filter(|dir| dir.is_dir());
        named.or_else(|| {
            let all = std::fs::read_dir(&snapshots).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
            let age = |dir: &PathBuf| dir.metadata().and_then(|about| about.modified()).ok();
            all.filter(|dir| dir.is_dir()).max_by_key(age)
        })
    }

    /// All repositories that have a snapshot, by name.
    pub fn repositories(&self) -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| repository_of(&entry.file_name().to_string_lossy()));
        let mut found: Vec<_> =
            names.filter_map(|name| self.snapshot(&name).map(|snapshot| (name, snapshot))).collect();
        found.sort();
        found
    }
}

/// Could a text be a repository's name, `owner/name`?
pub fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_that_main_names_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("models--Qwen--Qwen2.5-VL-3B-Instruct");
        for commit in ["aaa", "bbb"] {
            std::fs::create_dir_all(folder.join("snapshots").join(commit)).unwrap();
        }
        let cache = HubCache::at(dir.path());
        assert!(cache.snapshot("Qwen/Qwen2.5-VL-3B-Instruct").is_some(), "without refs it is the newest");
        std::fs::create_dir_all(folder.join("refs")).unwrap();
        std::fs::write(folder.join("refs/main"), "aaa\n").unwrap();
        let found = cache.snapshot("Qwen/Qwen2.5-VL-3B-Instruct").unwrap();
        assert!(found.ends_with("snapshots/aaa"));
        assert_eq!(cache.repositories(), [("Qwen/Qwen2.5-VL-3B-Instruct".to_owned(), found)]);
        for none in ["Qwen/other", "Qwen", "../x", "a/../b", "/tmp"] {
            assert_eq!(cache.snapshot(none), None, "{none}");
        }
    }
}
