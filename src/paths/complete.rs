//! Paths as they may go on from what was typed of them.

use std::path::Path;

/// Most that are offered.
const MOST: usize = 200;

/// What a half-typed path may become, in the order of names; folders end in a slash. Hidden ones only where a dot is typed.
pub fn completions(text: &str) -> Vec<String> {
    let (folder, begun) = text.rfind('/').map_or(("", text), |cut| text.split_at(cut + 1));
    let place = super::home(if folder.is_empty() { "." } else { folder });
    let Ok(entries) = std::fs::read_dir(&place) else { return Vec::new() };
    let name_of = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_meant = name.starts_with(begun) && (begun.starts_with('.') || !name.starts_with('.'));
        let slash = if is_meant && entry.path().is_dir() { "/" } else { "" };
        is_meant.then(|| format!("{folder}{name}{slash}"))
    };
    let mut found: Vec<String> = entries.filter_map(Result::ok).filter_map(name_of).collect();
    found.sort();
    found.truncate(MOST);
    found
}

/// What all of them begin with.
pub fn in_common(completions: &[String]) -> &str {
    let Some((first, others)) = completions.split_first() else { return "" };
    let alike = |other: &String| first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let mut length = others.iter().map(alike).min().unwrap_or(first.len());
    while !first.is_char_boundary(length) {
        length -= 1;
    }
    &first[..length]
}

/// The folder that a path lies in, as text that a name can be added to; empty where it has none.
pub fn folder_text(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(String::new, |folder| format!("{}/", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_on_from_what_was_typed() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["run-1", "run-2", ".hidden"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder in it");
        }
        std::fs::write(dir.path().join("run.toml"), "").expect("a file in it");
        let typed = |text: &str| completions(&format!("{}/{text}", dir.path().display()));
        let full = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{}/{name}", dir.path().display())).collect()
        };
        assert_eq!(typed(""), full(&["run-1/", "run-2/", "run.toml"]));
        assert_eq!(typed("run-"), full(&["run-1/", "run-2/"]));
        assert_eq!(typed("."), full(&[".hidden/"]));
        assert_eq!(typed("nothing"), full(&[]));
        assert_eq!(typed("nowhere/x"), full(&[]));
        assert_eq!(in_common(&typed("r")), format!("{}/run", dir.path().display()));
        assert_eq!(in_common(&["añ".to_owned(), "aó".to_owned()]), "a");
        assert_eq!(in_common(&[]), "");
        assert_eq!(folder_text(Path::new("/a/b.png")), "/a/");
        assert_eq!(folder_text(Path::new("b.png")), "");
    }
}
