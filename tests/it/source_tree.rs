//! The project's own source, as far as `layering.rs` looks at it: files, the modules they are, what they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module's path from the root of the crate on: `["ops", "attention"]`.
pub type Module = Vec<String>;

/// A file of `src`.
pub struct SourceFile {
    /// From `src` on.
    pub path: PathBuf,
    /// Without comments, texts and unit tests.
    pub code: String,
    /// Paths it names, from the root of the crate on; and is each given on by `pub use`?
    pub names: Vec<(Module, bool)>,
}

/// All files by the modules that they are, but for the root and the program.
pub struct SourceTree(pub BTreeMap<Module, SourceFile>);

/// The Rust files in a folder.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all.push(path);
        }
    }
    all.sort();
    all
}

impl SourceTree {
    /// Reads `src`.
    pub fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        for file in rust_files(&src) {
            let path = file.strip_prefix(&src).unwrap().to_owned();
            let mut module: Module =
                path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            if matches!(module.last().unwrap().as_str(), "lib" | "main" | "tests") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let code = code_of(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            files.insert(module, SourceFile { path, code, names: Vec::new() });
        }
        let modules: Vec<Module> = files.keys().cloned().collect();
        for (module, file) in &mut files {
            let absolute =
                |(path, public): (String, bool)| Some((absolute(module, &path, &modules)?, public));
            file.names = named(&file.code).into_iter().filter_map(absolute).collect();
        }
        Self(files)
    }

    /// The file that has what a path names: where a module gives on what another has, that one.
    pub fn home(&self, path: &[String]) -> Option<&Module> {
        let length = (1..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (module, file) = self.0.get_key_value(&path[..length])?;
        let given_on = path.get(length).and_then(|name| {
            let is_it = |(other, public): &&(Module, bool)| {
                *public && other.last() == Some(name) && other.as_slice() != path
            };
            file.names.iter().find(is_it)
        });
        given_on.map_or(Some(module), |(other, _)| self.home(other))
    }

    /// Which files each needs. A module is made of those below it: that it names them counts for nothing.
    pub fn needs(&self) -> BTreeMap<&Module, Vec<&Module>> {
        let of = |(module, file): (_, &SourceFile)| {
            let mut needed: Vec<&Module> =
                file.names.iter().filter_map(|(path, _)| self.home(path)).collect();
            let is_other = |other: &&Module| !other.starts_with(module as &Module);
            needed.retain(is_other);
            needed.sort();
            needed.dedup();
            (module, needed)
        };
        self.0.iter().map(of).collect()
    }
}

/// Source without comments and without what stands in quotes.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// Paths in code: those of `use`, and others that begin at a known place.
fn named(code: &str) -> Vec<(String, bool)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut all = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        rest = &rest[at..];
        let path = &rest[..rest.find(|c| !is_word(c) && c != ':').unwrap_or(rest.len())];
        let before = code[..code.len() - rest.len()].trim_end();
        if path == "use" {
            let end = rest.find(';').unwrap_or(rest.len());
            let mut paths = Vec::new();
            leaves("", &rest[path.len()..end], &mut paths);
            let public = before.ends_with("pub") || before.ends_with(')');
            all.extend(paths.into_iter().map(|path| (path, public)));
            rest = &rest[end..];
            continue;
        }
        if ["crate::", "super::", "self::"].iter().any(|root| path.starts_with(root)) {
            all.push((path.trim_end_matches(':').to_owned(), false));
        }
        rest = &rest[path.len()..];
    }
    all
}

/// The paths of a tree of `use`: `a::{b, c::d}` are `a::b` and `a::c::d`.
fn leaves(stem: &str, tree: &str, paths: &mut Vec<String>) {
    let (mut depth, mut start) = (0, 0);
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = tree[start..at].trim();
                start = at + c.len_utf8().min(tree.len() - at);
                match branch.split_once('{') {
                    Some((more, inner)) => {
                        let inner = inner.strip_suffix('}').unwrap_or(inner);
                        leaves(&format!("{stem}{more}"), inner, paths);
                    }
                    None if branch.is_empty() => {}
                    None => paths.push(format!("{stem}{}", branch.split(" as ").next().unwrap())),
                }
            }
            _ => {}
        }
    }
}

/// A path from the root of the crate on; none for those of other crates.
fn absolute(module: &[String], path: &str, modules: &[Module]) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut base = module.to_vec();
    match parts[0] {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
            parts.insert(0, "super");
        }
        first => {
            // A module of its own.
            let own: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            return modules
                .contains(&own)
                .then(|| module.iter().cloned().chain(parts.iter().map(|p| (*p).to_owned())).collect());
        }
    }
    base.extend(parts[1..].iter().map(|part| (*part).to_owned()));
    Some(base)
}
