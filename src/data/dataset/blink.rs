//! BLINK's parquet files: `idx, question, prompt, choices, answer, image_1 .. image_4`, images as encoded bytes; also in
//! one column `image`, or in a list `images`, as other tools write them.

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
    let bad = |e: parquet::errors::ParquetError| {
        let said = e.to_string();
        let missing = said.split_once("Disabled feature at compile time: ").map(|(_, codec)| codec);
        let problem = missing.map_or_else(
            || said.clone(),
            |codec| format!("its pages are packed by {codec}, which is not read: write it with snappy, gzip, zstd or lz4"),
        );
        Error::format(path, "the parquet file cannot be read", problem)
    };
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
            Some(Field::Byte(n)) => Ok(Some(n.to_string())),
            Some(Field::Short(n)) => Ok(Some(n.to_string())),
            Some(Field::Int(n)) => Ok(Some(n.to_string())),
            Some(Field::Long(n)) => Ok(Some(n.to_string())),
            Some(Field::UByte(n)) => Ok(Some(n.to_string())),
            Some(Field::UShort(n)) => Ok(Some(n.to_string())),
            Some(Field::UInt(n)) => Ok(Some(n.to_string())),
            Some(Field::ULong(n)) => Ok(Some(n.to_string())),
            Some(_) => Err(self.wrong(name, "a text or a whole number")),
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

    /// The images of every column that holds some, in the order of the columns' numbers. A column of pictures under another
    /// name is refused: passed over, the question would be asked without them.
    fn images(&self, id: &str) -> Result<Vec<ImageSource>> {
        let number = |column: &str| column.strip_prefix("image_")?.parse::<u32>().ok();
        let mut columns: Vec<(u32, &String, &Field)> = Vec::new();
        for (column, field) in self.row.get_column_iter() {
            match (number(column), column.as_str()) {
                _ if matches!(field, Field::Null) => {}
                (Some(number), _) => columns.push((number, column, field)),
                (None, "image" | "images") => columns.push((0, column, field)),
                (None, _) if holds_pictures(field) => {
                    let expected = "pictures in columns image, images, or image_1 and on";
                    return Err(Error::field(
                        self.path,
                        format!("{column} in row {}", self.number),
                        expected,
                        "pictures",
                    ));
                }
                _ => {}
            }
        }
        columns.sort_by_key(|(number, ..)| *number);
        let mut images = Vec::new();
        for (_, column, field) in columns {
            match field {
                Field::ListInternal(list) => {
                    for (i, item) in list.elements().iter().enumerate() {
                        images.push(self.image(column, item, &format!("{id} {column} {}", i + 1))?);
                    }
                }
                one => images.push(self.image(column, one, &format!("{id} {column}"))?),
            }
        }
        Ok(images)
    }

    /// A struct of bytes and a path, or the bytes alone. Without bytes the path counts, from the file's folder on.
    fn image(&self, column: &str, field: &Field, name: &str) -> Result<ImageSource> {
        let held = |bytes: &[u8]| ImageSource::Held {
            name: name.to_owned(),
            bytes: Arc::from(bytes),
            within: self.path.to_owned(),
        };
        let part = |group: &Row, name: &str| {
            let found = group.get_column_iter().find(|(column, _)| *column == name);
            found.map(|(_, field)| field.clone())
        };
        match field {
            Field::Bytes(bytes) => return Ok(held(bytes.data())),
            Field::Group(group) => {
                if let Some(Field::Bytes(bytes)) = part(group, "bytes") {
                    return Ok(held(bytes.data()));
                }
                if let Some(Field::Str(path)) = part(group, "path") {
                    return Ok(ImageSource::File(self.path.parent().unwrap_or(Path::new("")).join(path)));
                }
            }
            _ => {}
        }
        Err(self.wrong(column, "the bytes of an image"))
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
        let images = self.images(&id)?;
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

/// Are these the bytes of images?
fn holds_pictures(field: &Field) -> bool {
    match field {
        Field::Bytes(bytes) => image::guess_format(bytes.data()).is_ok(),
        Field::Group(group) => group.get_column_iter().any(|(_, inner)| holds_pictures(inner)),
        Field::ListInternal(list) => list.elements().iter().any(holds_pictures),
        _ => false,
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
