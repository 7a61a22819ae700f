//! JSON lines, or one JSON list: LIVR's own fields, Mirage's, or LVR's.

use std::path::Path;

use serde_json::Value;

use super::super::draw::marks::Mark;
use super::super::grounding::Grounding;
use super::super::record::{ImageSource, Record};
use super::super::score::letter;
use crate::error::{Error, Result};
use crate::paths::{LFS_POINTER, is_lfs_pointer};

/// Longer data files are a mistake.
const MAX_BYTES: u64 = 4 << 30;

/// One sample's object, for messages that say where it is.
struct Entry<'a> {
    path: &'a Path,
    place: String,
    value: &'a Value,
}

pub(super) fn read(path: &Path) -> Result<Vec<Record>> {
    let size = std::fs::metadata(path).map_err(|e| not_read(path, e))?.len();
    if size > MAX_BYTES {
        return Err(Error::field(path, "the data", format!("at most {MAX_BYTES} bytes"), size.to_string()));
    }
    let bytes = std::fs::read(path).map_err(|e| not_read(path, e))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::format(path, "the data file is not UTF-8 text", e.utf8_error()))?;
    parse(&text, path)
}

/// The records of a data file's text; `path` is for messages, and images are relative to it.
///
/// # Errors
/// A text that is no JSON, a Git LFS pointer in its place, a sample whose fields are missing, wrong or at odds, by
/// its line.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Record>> {
    if is_lfs_pointer(text.as_bytes()) {
        return Err(Error::format(path, "the data cannot be read", LFS_POINTER));
    }
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('[') {
        let list: Vec<Value> =
            serde_json::from_str(text).map_err(|e| Error::format(path, "the data is not JSON", e))?;
        let number = |(i, value): (usize, &Value)| record(path, format!("entry {}", i + 1), i, value);
        return list.iter().enumerate().map(number).collect();
    }
    let mut records = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line)
            .map_err(|e| Error::format(path, format!("line {} is not JSON", i + 1), of_line(&e)))?;
        records.push(record(path, format!("line {}", i + 1), i, &value)?);
    }
    Ok(records)
}

/// A parser that was given one line counts from there.
fn of_line(e: &serde_json::Error) -> String {
    let said = e.to_string();
    let problem = said.rsplit_once(" at line ").map_or(said.as_str(), |(problem, _)| problem);
    format!("{problem} at column {}", e.column())
}

fn not_read(path: &Path, e: std::io::Error) -> Error {
    if e.kind() == std::io::ErrorKind::NotFound {
        return Error::Missing { what: "the data file".to_owned(), path: path.to_owned() };
    }
    Error::io("read the data file", path, e)
}

fn record(path: &Path, place: String, index: usize, value: &Value) -> Result<Record> {
    let entry = Entry { path, place, value };
    if !value.is_object() {
        return Err(entry.wrong("the sample", "an object", value));
    }
    if value.get("conversations").is_some() {
        return entry.lvr(index);
    }
    if value.get("text_input").is_some() {
        return entry.mirage(index);
    }
    entry.livr(index)
}

impl Entry<'_> {
    fn wrong(&self, field: &str, expected: &str, found: &Value) -> Error {
        let mut found = if found.is_null() { "nothing".to_owned() } else { found.to_string() };
        if found.chars().count() > 60 {
            found = found.chars().take(57).collect::<String>() + "...";
        }
        Error::field(self.path, format!("{field} in {}", self.place), expected, found)
    }

    fn text(&self, field: &str) -> Result<String> {
        match self.value.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            other => Err(self.wrong(field, "a text", other.unwrap_or(&Value::Null))),
        }
    }

    fn text_if_any(&self, field: &str) -> Result<Option<String>> {
        match self.value.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(field).map(Some),
        }
    }

    /// A text, or a number read as one.
    fn word(&self, field: &str) -> Result<String> {
        match self.value.get(field) {
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => self.text(field),
        }
    }

    fn id(&self, field: &str, index: usize) -> Result<String> {
        if self.value.get(field).is_none_or(Value::is_null) {
            Ok(index.to_string())
        } else {
            self.word(field)
        }
    }

    fn texts(&self, field: &str) -> Result<Vec<String>> {
        match self.value.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let texts = list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>();
                texts.ok_or_else(|| self.wrong(field, "a list of texts", &self.value[field]))
            }
            Some(other) => Err(self.wrong(field, "a list of texts", other)),
        }
    }

    /// Images by their paths, relative to the data file.
    fn images(&self, field: &str) -> Result<Vec<ImageSource>> {
        let named = match self.value.get(field) {
            Some(Value::String(one)) => vec![one.clone()],
            _ => self.texts(field)?,
        };
        named.iter().map(|name| self.image(field, name)).collect()
    }

    fn image(&self, field: &str, name: &str) -> Result<ImageSource> {
        let wrong = |expected: &str| self.wrong(field, expected, &Value::from(name));
        if name.starts_with("data:") {
            return Err(wrong("a path: a data URI has to be saved as a file of its own"));
        }
        if ["http://", "https://"].iter().any(|start| name.starts_with(start)) {
            return Err(wrong("a path: nothing is fetched"));
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        Ok(ImageSource::File(folder.join(name.strip_prefix("file://").unwrap_or(name))))
    }

    /// The images under the first of these fields that is there; under another name they would be passed over.
    fn images_under(&self, known: &[&str]) -> Result<Vec<ImageSource>> {
        let is_there = |field: &&&str| self.value.get(**field).is_some_and(|value| !value.is_null());
        if let Some(field) = known.iter().find(is_there) {
            return self.images(field);
        }
        let fields = self.value.as_object().into_iter().flatten();
        let other = fields.map(|(name, value)| (name.to_lowercase(), value)).find(|(name, value)| {
            let is_image = ["image", "img", "picture", "photo"].iter().any(|word| name.contains(word));
            // What Mirage draws into its answers, and LVR's sizes and ids, are no pictures to look at.
            let is_other =
                ["_id", "_output", "_size", "_width", "_height"].iter().any(|end| name.ends_with(end));
            is_image && !is_other && !value.is_null()
        });
        match other {
            None => Ok(Vec::new()),
            Some((name, value)) => Err(self.wrong(&name, &format!("the images under {:?}", known[0]), value)),
        }
    }

    fn marks(&self) -> Result<Vec<Mark>> {
        match self.value.get("marks") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_other| self.wrong("marks", "a list of {image, label, at}", value)),
        }
    }

    fn grounding(&self) -> Result<Grounding> {
        match self.value.get("grounding") {
            None | Some(Value::Null) => Ok(Grounding::default()),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_other| {
                self.wrong("grounding", "words {group: [[[image, x, y], word]]} and pairs of places", value)
            }),
        }
    }

    fn livr(&self, index: usize) -> Result<Record> {
        let mut record = Record {
            id: self.id("id", index)?,
            images: self.images_under(&["images", "image"])?,
            prompt: self.text("prompt")?,
            target: self.word("target")?,
            task: self.text_if_any("task")?.unwrap_or_default(),
            object_name: self.text_if_any("object_name")?,
            marks: self.marks()?,
            grounding: self.grounding()?,
            source: self.text_if_any("source")?,
            ..Record::default()
        };
        let listed = self.texts("choices")?;
        let is_listed = listed.is_empty() || listed.contains(&record.target);
        record.set_choices(listed);
        let options = &record.options;
        if !is_listed && letter(&record.target, record.choices.len(), options).is_none() {
            let expected = format!("one of the {} choices", record.choices.len());
            return Err(self.wrong("target", &expected, &Value::String(record.target)));
        }
        self.checked(record)
    }

    /// Mirage's: a text and images in, a text and a helper image out. LIVR has no use for the helper image, nor for
    /// the place in the answer where Mirage puts it.
    fn mirage(&self, index: usize) -> Result<Record> {
        let mut record = Record {
            id: self.id("id", index)?,
            images: self.images_under(&["image_input"])?,
            prompt: self.text("text_input")?,
            target: without_latents(&self.text("text_output")?),
            task: self.text_if_any("task")?.unwrap_or_default(),
            ..Record::default()
        };
        record.set_choices(Vec::new());
        self.checked(record)
    }

    /// LVR's: a conversation of which the first question and its answer count, and boxes of what matters.
    fn lvr(&self, index: usize) -> Result<Record> {
        const FIELD: &str = "conversations";
        let turns = self.value[FIELD].as_array();
        let said = |who: [&str; 2]| {
            let turn = turns.into_iter().flatten().find(|turn| {
                let from = turn.get("from").or_else(|| turn.get("role"));
                from.and_then(Value::as_str).is_some_and(|from| who.contains(&from))
            });
            let text = turn.and_then(|turn| turn.get("value").or_else(|| turn.get("content")));
            text.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
                let expected = format!("a turn from {} with a text as value", who[0]);
                self.wrong(FIELD, &expected, &self.value[FIELD])
            })
        };
        let mut record = Record {
            id: self.id("question_id", index)?,
            images: self.images_under(&["image", "images"])?,
            prompt: said(["human", "user"])?,
            target: without_latents(&said(["gpt", "assistant"])?),
            task: self.text_if_any("dataset")?.unwrap_or_default(),
            marks: self.boxes()?,
            ..Record::default()
        };
        record.set_choices(Vec::new());
        self.checked(record)
    }

    /// Boxes of LVR's first image.
    fn boxes(&self) -> Result<Vec<Mark>> {
        let Some(Value::Array(list)) = self.value.get("bboxes") else { return Ok(Vec::new()) };
        let corners = |value: &Value| {
            let numbers: Option<Vec<f32>> =
                value.as_array()?.iter().map(|n| n.as_f64().map(|n| n as f32)).collect();
            numbers?.try_into().ok()
        };
        list.iter()
            .enumerate()
            .map(|(i, value)| match corners(value) {
                Some(at) => Ok(Mark::rect(0, &(i + 1).to_string(), at)),
                None => Err(self.wrong("bboxes", "lists of four numbers", value)),
            })
            .collect()
    }

    fn checked(&self, record: Record) -> Result<Record> {
        let nothing = Value::Null;
        if record.target.trim().is_empty() {
            return Err(self.wrong("target", "the answer", &nothing));
        }
        let marks = record.prompt.matches("<image>").count();
        if marks != 0 && marks != record.images.len() {
            let expected = format!("{marks}, as the prompt has <image> marks");
            return Err(self.wrong("images", &expected, &Value::from(record.images.len())));
        }
        if let Some(mark) = record.marks.iter().find(|mark| mark.image >= record.images.len()) {
            let expected = format!("an image below {}", record.images.len());
            return Err(self.wrong("marks", &expected, &Value::from(mark.image)));
        }
        if let Some(place) = record.grounding.places().find(|place| place.0 >= record.images.len()) {
            let expected = format!("an image below {}", record.images.len());
            return Err(self.wrong("grounding", &expected, &Value::from(place.0)));
        }
        Ok(record)
    }
}

/// The text without the places of other methods' latents.
fn without_latents(text: &str) -> String {
    let mut text = text.to_owned();
    for mark in [
        "<output_image>",
        "<lvr>",
        "<|lvr|>",
        "<|lvr_start|>",
        "<|lvr_end|>",
        "<|latent_start|>",
        "<|latent_pad|>",
        "<|latent_end|>",
    ] {
        text = text.replace(mark, "");
    }
    text.trim().to_owned()
}
