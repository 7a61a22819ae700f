//! Data files: LIVR's JSONL, BLINK's parquet, and the training files of Mirage and LVR.

mod blink;
mod json;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use super::record::{ImageSource, Record};
use crate::error::{Error, Result};

pub use self::json::parse;
pub use self::write::{line_of, write};

/// Reads a data file. Which kind it is shows in its name and its fields; that every image exists is looked at here,
/// that it can be read only when it is.
///
/// # Errors
/// What is missing or wrong, with the line or row, and duplicate ids.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    if path.is_dir() {
        return Err(Error::field(path, "the data", "a .jsonl, .json or .parquet file", "a folder"));
    }
    let is_parquet = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
    let records = if is_parquet { blink::read(path)? } else { json::read(path)? };
    if records.is_empty() {
        return Err(Error::field(path, "the data", "at least one sample", "none"));
    }
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, record) in records.iter().enumerate() {
        if let Some(first) = lines.insert(&record.id, i) {
            let found = format!("{:?} for samples {} and {}", record.id, first + 1, i + 1);
            return Err(Error::field(path, "id", "one id for one sample", found));
        }
        for image in &record.images {
            if let ImageSource::File(image) = image
                && !image.is_file()
            {
                let what = format!("an image of sample {:?} of {}", record.id, path.display());
                return Err(Error::Missing { what, path: image.clone() });
            }
        }
    }
    Ok(records)
}

/// The first so many records of each task, in their order.
pub fn per_task(records: Vec<Record>, most: usize) -> Vec<Record> {
    let mut taken = BTreeMap::<String, usize>::new();
    let mut is_taken = |record: &Record| {
        let count = taken.entry(record.task.clone()).or_default();
        *count += 1;
        *count <= most
    };
    records.into_iter().filter(|record| is_taken(record)).collect()
}

/// Is it a data file, by its ending?
pub fn is_data_file(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["jsonl", "json", "parquet"].iter().any(|own| ending.eq_ignore_ascii_case(own))
}
