//! Paths as people give them: typed, pasted, dropped, quoted, with a tilde, as a URL, as a pattern, several at once.

pub mod complete;
pub mod text;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Endings of what is taken for an image in a folder.
pub const IMAGE_EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// The paths a text names, in its order: each line is one, or several with quotes or spaces between them; `file://`,
/// `~` and patterns with `*`, `?` and `[` stand for what they mean. What is there under the very name is that.
///
/// # Errors
/// A pattern that nothing fits, a quote that does not end, and a text without a path.
pub fn named(text: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    // Lists of files begin with a line that says whether they were copied or cut.
    let lines = text.lines().map(str::trim).filter(|line| !matches!(*line, "" | "copy" | "cut"));
    for line in lines {
        for item in items(line)? {
            expand(&item, &mut paths)?;
        }
    }
    if paths.is_empty() {
        return Err(Error::Request("there is no path in the text".to_owned()));
    }
    Ok(paths)
}

/// The one path a text names.
///
/// # Errors
/// As [`named`], and where there are several.
pub fn one(text: &str) -> Result<PathBuf> {
    let mut paths = named(text)?;
    match paths.len() {
        1 => Ok(paths.remove(0)),
        count => Err(Error::Request(format!("expected one path, found {count} in {}", text.trim()))),
    }
}

/// The one path a text names letter by letter, but for `~`, quotes and `file://`: for what is to be written.
///
/// # Errors
/// A text without a path.
pub fn literal(text: &str) -> Result<PathBuf> {
    let text = text.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    match quoted.unwrap_or(text) {
        "" => Err(Error::Request("there is no path in the text".to_owned())),
        text => Ok(text.strip_prefix("file://").map_or_else(|| home(text), from_url)),
    }
}

/// Images by paths: in the place of a folder stand its images, by name.
///
/// # Errors
/// A folder without any.
pub fn images(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).map_err(|e| Error::io("look into the folder", &path, e))?;
        let before = found.len();
        found.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_image(path)));
        if found.len() == before {
            let expected = format!("files that end in {}", IMAGE_EXTENSIONS.join(", "));
            return Err(Error::field(&path, "the images of the folder", expected, "none"));
        }
        found[before..].sort();
    }
    Ok(found)
}

/// The last part of a path, as text.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Is a text what Git LFS leaves in the place of a file that was not fetched?
pub fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// What is said of one.
pub const LFS_POINTER: &str = "a Git LFS pointer in the place of the file: git lfs pull fetches it";

/// Is a name one that a system keeps for itself, as `._photo.png` beside `photo.png`?
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// An image in a folder; what is hidden there is not meant.
pub fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file()
        && !is_hidden(path)
        && extension.is_some_and(|own| IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(own)))
}

/// The paths on a line, as they are written.
fn items(line: &str) -> Result<Vec<String>> {
    let begins = |text: &str| ["/", "~", ".", "file://"].iter().any(|start| text.starts_with(start));
    let whole = vec![line.to_owned()];
    if home(line).exists() || line.starts_with("file://") && !line.contains(char::is_whitespace) {
        return Ok(whole);
    }
    let is_quoted = line.starts_with(['"', '\'']);
    match shlex::split(line) {
        // A name with spaces in it is one, where what follows the space is no path of its own.
        Some(parts) if is_quoted || parts.iter().all(|part| begins(part) || home(part).exists()) => Ok(parts),
        None if is_quoted => Err(Error::Request(format!("the quote does not end in {line}"))),
        _ => Ok(whole),
    }
}

fn expand(item: &str, paths: &mut Vec<PathBuf>) -> Result<()> {
    let path = match item.strip_prefix("file://") {
        Some(url) => from_url(url),
        None => home(item),
    };
    if path.exists() || !item.contains(['*', '?', '[']) {
        paths.push(path);
        return Ok(());
    }
    let pattern = path.to_string_lossy();
    let bad = |problem: String| Error::Request(format!("{item} is no pattern of paths: {problem}"));
    let before = paths.len();
    paths.extend(glob::glob(&pattern).map_err(|e| bad(e.to_string()))?.filter_map(std::result::Result::ok));
    if paths.len() == before {
        return Err(Error::Request(format!("nothing fits {item}")));
    }
    Ok(())
}

/// With the user's folder in the place of a tilde.
fn home(text: &str) -> PathBuf {
    let rest = match text.strip_prefix('~') {
        Some("") => "",
        Some(rest) if rest.starts_with(['/', std::path::MAIN_SEPARATOR]) => &rest[1..],
        _ => return PathBuf::from(text),
    };
    std::env::home_dir().map_or_else(|| PathBuf::from(text), |dir| dir.join(rest))
}

/// What follows `file://`: a host, which can only be this one, and a path with bytes in hexadecimal.
fn from_url(url: &str) -> PathBuf {
    let path = url.find('/').map_or(url, |start| &url[start..]);
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    // On Windows a drive follows the slash.
    let drive = decoded.strip_prefix('/').filter(|rest| cfg!(windows) && rest.chars().nth(1) == Some(':'));
    PathBuf::from(drive.unwrap_or(&decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_people_write_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a.png", "b b.png", "c.JPG", "[x].png", "notes.txt"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let root = dir.path().display();
        let names = |text: String| {
            let paths = named(&text).unwrap();
            paths
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(format!(" {root}/a.png ")), ["a.png"]);
        assert_eq!(names(format!("{root}/b b.png")), ["b b.png"]);
        assert_eq!(names(format!("'{root}/b b.png' \"{root}/a.png\"")), ["b b.png", "a.png"]);
        assert_eq!(names(format!("{root}/a.png {root}/c.JPG")), ["a.png", "c.JPG"]);
        assert_eq!(
            names(format!("copy\nfile://{root}/b%20b.png\r\nfile://{root}/a.png\r\n")),
            ["b b.png", "a.png"]
        );
        assert_eq!(names(format!("file://localhost{root}/a.png")), ["a.png"]);
        assert_eq!(names(format!("{root}/*.png")), ["[x].png", "a.png", "b b.png"]);
        assert_eq!(names(format!("{root}/[x].png")), ["[x].png"]);
        assert_eq!(names(format!("{root}/not there.png")), ["not there.png"]);
        let folder = images(named(&root.to_string()).unwrap()).unwrap();
        let folder: Vec<_> = folder.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(folder, ["[x].png", "a.png", "b b.png", "c.JPG"]);
    }

    #[test]
    fn the_tilde_is_the_users_folder() {
        let dir = std::env::home_dir().unwrap();
        assert_eq!(one("~").unwrap(), dir);
        assert_eq!(one("~/x y.png").unwrap(), dir.join("x y.png"));
        assert_eq!(one("~other/x").unwrap(), PathBuf::from("~other/x"));
        assert_eq!(literal(" '~/figure [1].png' ").unwrap(), dir.join("figure [1].png"));
        assert!(literal("  ").is_err());
    }

    #[test]
    fn what_names_nothing_is_a_sentence() {
        let said = |outcome: Result<PathBuf>| outcome.unwrap_err().to_string();
        assert_eq!(said(one(" \n")), "there is no path in the text");
        assert_eq!(said(one("/nowhere/*.png")), "nothing fits /nowhere/*.png");
        assert_eq!(said(one("'/a b")), "the quote does not end in '/a b");
        assert_eq!(said(one("/a /b")), "expected one path, found 2 in /a /b");
        let empty = tempfile::tempdir().unwrap();
        let none = images(vec![empty.path().to_owned()]).unwrap_err().to_string();
        assert!(none.contains("found none"), "{none}");
    }
}
