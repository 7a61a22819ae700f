//! BLINK's parquet files: `idx, question, prompt, choices, answer, image_1 .. image_4`, images as encoded bytes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use super::super::record::{ImageSource, Record, letters};
use super::super::score;
use crate::error::{Error, Result};

pub(super) fn read(path: &Path) -> Result<Vec<Record>> {
    let file = File::open(path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            return Error::Missing { what: "the data file".to_owned(), path: path.to_owned() };
        }
        Error::io("read the data file", path, e)
    })?;
    let bad = |e: parquet::errors::ParquetError| Error::format(path, "the parquet file cannot be read", e);
    let reader = SerializedFileReader::new(file).map_err(bad)?;
    let rows = reader.get_row_iter(None).map_err(bad)?;
    rows.enumerate().map(|(i, row)| Line { path, number: i + 1, row: &row.map_err(bad)? }.record()).collect()
}

struct Line<'a> {
    path: &'a Path,
    number: usize,
    row: &'a Row,
}

impl Line<'_> {
    fn field(&self, name: &str) -> Option<&Field> {
        let found = self.row.get_column_iter().find(|(column, _)| *column == name);
        found.map(|(_, field)| field).filter(|field| !matches!(field, Field::Null))
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        let found = self.field(name).map_or_else(|| "nothing".to_owned(), |f| short(&f.to_string()));
        Error::field(self.path, format!("{name} in row {}", self.number), expected, found)
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.field(name) {
            None => Ok(None),
            Some(Field::Str(text)) => Ok(Some(text.clone())),
            Some(Field::Int(n)) => Ok(Some(n.to_string())),
            Some(Field::Long(n)) => Ok(Some(n.to_string())),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        let text = |field: &Field| if let Field::Str(text) = field { Some(text.clone()) } else { None };
        match self.field(name) {
            None => Ok(Vec::new()),
            Some(Field::ListInternal(list)) => {
                let texts = list.elements().iter().map(text).collect::<Option<_>>();
                texts.ok_or_else(|| self.wrong(name, "a list of texts"))
            }
            Some(_) => Err(self.wrong(name, "a list of texts")),
        }
    }

    /// A struct of bytes and a path, or the bytes alone.
    fn image(&self, name: &str, id: &str) -> Result<Option<ImageSource>> {
        let bytes = match self.field(name) {
            None => return Ok(None),
            Some(Field::Bytes(bytes)) => Some(bytes),
            Some(Field::Group(group)) => group.get_column_iter().find_map(|(column, field)| match field {
                Field::Bytes(bytes) if column == "bytes" => Some(bytes),
                _ => None,
            }),
            Some(_) => None,
        };
        let bytes = bytes.ok_or_else(|| self.wrong(name, "the bytes of an image"))?;
        let held = ImageSource::Held {
            name: format!("{id} {name}"),
            bytes: Arc::from(bytes.data()),
            within: self.path.to_owned(),
        };
        Ok(Some(held))
    }

    fn record(&self) -> Result<Record> {
        let id = self.text("idx")?.unwrap_or_else(|| format!("row {}", self.number));
        let question = match self.text("prompt")? {
            Some(prompt) => Some(prompt),
            None => self.text("question")?,
        };
        let question = question.ok_or_else(|| self.wrong("prompt", "the question"))?;
        let target = self.text("answer")?.ok_or_else(|| self.wrong("answer", "a text"))?;
        let options = self.texts("choices")?;
        // The test split has its answers hidden.
        if target == "hidden" {
            let expected = "the answer; BLINK publishes none for its test split, use val";
            return Err(self.wrong("answer", expected));
        }
        if !options.is_empty() && score::letter(&target, options.len(), &options).is_none() {
            let expected = format!("the letter of one of {} choices", options.len());
            return Err(self.wrong("answer", &expected));
        }
        let mut images = Vec::new();
        for number in 1..=4 {
            images.extend(self.image(&format!("image_{number}"), &id)?);
        }
        Ok(Record {
            task: self.text("sub_task")?.unwrap_or_else(|| task_of(&id)),
            choices: letters(options.len()),
            id,
            images,
            prompt: question,
            target,
            options,
            ..Record::default()
        })
    }
}

/// `val_Jigsaw_12` is of Jigsaw.
fn task_of(id: &str) -> String {
    let inner = id.split_once('_').map_or(id, |(_, rest)| rest);
    inner.rsplit_once('_').map_or(String::new(), |(task, _)| task.to_owned())
}

fn short(text: &str) -> String {
    if text.chars().count() > 60 {
        text.chars().take(57).collect::<String>() + "..."
    } else {
        text.to_owned()
    }
}
