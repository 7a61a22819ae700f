//! Writes LIVR's JSONL.

use std::path::Path;

use serde::Serialize;

use super::super::draw::marks::Mark;
use super::super::grounding::Grounding;
use super::super::record::{ImageSource, Record};

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    images: Vec<String>,
    prompt: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    task: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    choices: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    object_name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Mark]>::is_empty")]
    marks: &'a [Mark],
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Grounding::is_empty")]
    grounding: &'a Grounding,
}

/// A record as a line, its image files relative to `folder`.
pub fn line_of(record: &Record, folder: &Path) -> String {
    let path = |image: &ImageSource| match image {
        ImageSource::File(path) => path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned(),
        ImageSource::Held { name, .. } => name.clone(),
    };
    let line = Line {
        id: &record.id,
        images: record.images.iter().map(path).collect(),
        prompt: &record.prompt,
        target: &record.target,
        task: &record.task,
        choices: &record.choices,
        object_name: record.object_name.as_deref(),
        marks: &record.marks,
        source: record.source.as_deref(),
        grounding: &record.grounding,
    };
    serde_json::to_string(&line).expect("plain data serialises")
}

/// All records, a line each.
pub fn write(records: &[Record], folder: &Path) -> String {
    records.iter().map(|record| line_of(record, folder) + "\n").collect()
}
