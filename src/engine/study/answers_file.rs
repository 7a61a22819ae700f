//! Answers of a study that was made elsewhere, to be looked through.

use std::path::{Path, PathBuf};

use super::accuracy::Prediction;
use super::cells::{Cell, cells_of};
use super::result::CellResult;
use crate::error::{Error, Result};

/// The answers of a model under a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadAnswers {
    /// The model and the condition as the study calls them, or the file's name.
    pub name: String,
    /// What was answered.
    pub predictions: Vec<Prediction>,
}

/// Does a result of a study lie there: a file of `livr eval`, or a folder of `livr experiment` or `livr study`?
pub fn is_result(path: &Path) -> bool {
    if path.is_dir() { cells_of(path).is_dir() } else { CellResult::read(path).is_ok() }
}

/// Reads it.
///
/// # Errors
/// A file that is no result, a folder without cells.
pub fn read_answers(path: &Path) -> Result<Vec<ReadAnswers>> {
    if !path.is_dir() {
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return Ok(vec![ReadAnswers { name, predictions: CellResult::read(path)?.predictions }]);
    }
    let folder = cells_of(path);
    let entries = std::fs::read_dir(&folder).map_err(|e| Error::io("look into the folder", &folder, e))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    if files.is_empty() {
        return Err(Error::field(path, "the folder of a study", "at least one cell", "none"));
    }
    let one = |file: PathBuf| {
        let bytes = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
        let cell: Cell = serde_json::from_slice(&bytes)
            .map_err(|e| Error::format(&file, "the file is no cell of a study", e))?;
        let share = cell.share.map_or_else(String::new, |share| format!(", share {share}"));
        let name = format!("{}, {}{share}", cell.adapter, cell.condition.name);
        Ok(ReadAnswers { name, predictions: cell.predictions })
    };
    files.into_iter().map(one).collect()
}
