//! The folder in which Hugging Face's programs keep what they downloaded: `models--owner--name/snapshots/<commit>`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::folder::repository_of;

/// One such folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    root: PathBuf,
}

impl HubCache {
    /// The one that Python's `huggingface_hub` would use: `HF_HUB_CACHE`, by its old name `HUGGINGFACE_HUB_CACHE`,
    /// `HF_HOME/hub`, or in the user's cache; `~` and `$NAME` stand for what they mean, since environment files and
    /// services hand them over as they are written.
    pub fn of_user() -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = std::env::home_dir();
        Self::named_by(&variable, home.as_deref())
    }

    fn named_by(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Option<Self> {
        let named = |name: &str| variable(name).map(|value| expanded(&value, variable, home));
        let cache = || named("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")));
        let of_programs = || named("HF_HOME").or_else(|| Some(cache()?.join("huggingface")));
        let root = named("HF_HUB_CACHE").or_else(|| named("HUGGINGFACE_HUB_CACHE"));
        Some(Self { root: root.or_else(|| Some(of_programs()?.join("hub")))? })
    }

    /// The one in this folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its folder.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// Where it keeps a repository.
    pub fn folder_of(&self, repository: &str) -> PathBuf {
        self.root.join(format!("models--{}", repository.replace('/', "--")))
    }

    /// The snapshot of a repository that its `main` names, or the newest; nothing where there is none.
    pub fn snapshot(&self, repository: &str) -> Option<PathBuf> {
        if !is_repository(repository) {
            return None;
        }
        let folder = self.folder_of(repository);
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

/// A path of a variable with `~` at its start, `$NAME` and `${NAME}` put in, as Python's `expanduser` and `expandvars` do:
/// what names nothing stays as it is.
fn expanded(value: &OsStr, variable: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> PathBuf {
    let Some(text) = value.to_str() else { return PathBuf::from(value) };
    let rest = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let text = match (rest, home) {
        (Some(rest), Some(home)) => format!("{}{rest}", home.display()),
        _ => text.to_owned(),
    };
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        let plain = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, len) = braced.map_or((&after[..plain], plain), |name| (name, name.len() + 2));
        match variable(name).and_then(|value| value.into_string().ok()) {
            Some(value) if !name.is_empty() => out.push_str(&value),
            _ => out.push_str(&rest[at..=at + len]),
        }
        rest = &after[len..];
    }
    PathBuf::from(out + rest)
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
    fn the_cache_is_where_pythons_programs_have_it() {
        let root = |variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                variables.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
            };
            HubCache::named_by(&variable, Some(Path::new("/home/u"))).unwrap().root.display().to_string()
        };
        for (variables, expected) in [
            (&[][..], "/home/u/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HF_HOME", "~/hf home")], "/home/u/hf home/hub"),
            (&[("HF_HOME", "$DATA/hf"), ("DATA", "/d")], "/d/hf/hub"),
            (&[("HF_HOME", "/a/${DATA}x"), ("DATA", "d")], "/a/dx/hub"),
            (&[("HF_HOME", "/a/$NONE/b$")], "/a/$NONE/b$/hub"),
            (&[("HF_HOME", "~other/x")], "~other/x/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "~/old")], "/home/u/old"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "~")], "/home/u"),
        ] {
            assert_eq!(root(variables), expected);
        }
    }

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
