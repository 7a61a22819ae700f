//! JSON objects that can say which file and which field is wrong.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};

/// A JSON object that knows which file and which field it is, so that every complaint can say so.
#[derive(Debug, Clone)]
pub struct Json {
    value: Value,
    path: PathBuf,
    prefix: String,
}

/// Larger numbers in a config are damage, and would only end as an allocation failure.
const LARGEST_SIZE: u64 = 1 << 31;

impl Json {
    /// The content of a file.
    pub fn new(value: Value, path: PathBuf) -> Self {
        Self { value, path, prefix: String::new() }
    }

    /// The file this came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value of a field, unless absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    /// Is the field there?
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The complaint that `key` does not hold what is `expected`.
    pub fn wrong(&self, key: &str, expected: &str) -> Error {
        let found = match self.get(key) {
            None => "nothing".to_owned(),
            Some(value) => {
                let text = value.to_string();
                if text.len() > 60 {
                    format!("{}…", text.chars().take(60).collect::<String>())
                } else {
                    text
                }
            }
        };
        Error::field(&self.path, format!("{}{key}", self.prefix), expected, found)
    }

    /// The object under `key`, if there is one.
    pub fn object(&self, key: &str) -> Option<Self> {
        let value = self.get(key).filter(|value| value.is_object())?;
        Some(Self { value: value.clone(), path: self.path.clone(), prefix: format!("{}{key}.", self.prefix) })
    }

    fn read<T>(&self, key: &str, expected: &str, as_type: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.get(key).and_then(as_type).ok_or_else(|| self.wrong(key, expected))
    }

    fn read_or<T>(
        &self,
        key: &str,
        default: T,
        expected: &str,
        as_type: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        if self.has(key) { self.read(key, expected, as_type) } else { Ok(default) }
    }

    /// A whole number from 1.
    ///
    /// # Errors
    /// A field that is not there, or holds something else.
    pub fn size(&self, key: &str) -> Result<usize> {
        self.read(key, "a whole number from 1", as_size)
    }

    /// A whole number from 1, or the default where absent.
    ///
    /// # Errors
    /// A field that holds something else.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        self.read_or(key, default, "a whole number from 1", as_size)
    }

    /// A whole number from 1 to `largest`.
    ///
    /// # Errors
    /// A field that is not there, or holds something else.
    pub fn size_up_to(&self, key: &str, largest: usize) -> Result<usize> {
        self.read(key, &format!("a whole number from 1 to {largest}"), |v| {
            as_size(v).filter(|n| *n <= largest)
        })
    }

    /// A whole number from 1 to `largest`, or the default where absent.
    ///
    /// # Errors
    /// A field that holds something else.
    pub fn size_up_to_or(&self, key: &str, default: usize, largest: usize) -> Result<usize> {
        if self.has(key) { self.size_up_to(key, largest) } else { Ok(default) }
    }

    /// A token id.
    ///
    /// # Errors
    /// A field that is not there, or holds something else.
    pub fn id(&self, key: &str) -> Result<u32> {
        self.read(key, "a token id", |v| v.as_u64().and_then(|id| u32::try_from(id).ok()))
    }

    /// A finite number.
    ///
    /// # Errors
    /// A field that is not there, or holds something else.
    pub fn number(&self, key: &str) -> Result<f64> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A finite number, or the default where absent.
    ///
    /// # Errors
    /// A field that holds something else.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        self.read_or(key, default, "a number", Value::as_f64)
    }

    /// A truth value, or the default where absent.
    ///
    /// # Errors
    /// A field that holds something else.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        self.read_or(key, default, "true or false", Value::as_bool)
    }

    /// A text.
    ///
    /// # Errors
    /// A field that is not there, or holds something else.
    pub fn string(&self, key: &str) -> Result<String> {
        self.read(key, "a text", |v| v.as_str().map(str::to_owned))
    }

    /// A text, or the default where absent.
    ///
    /// # Errors
    /// A field that holds something else.
    pub fn string_or(&self, key: &str, default: &str) -> Result<String> {
        self.read_or(key, default.to_owned(), "a text", |v| v.as_str().map(str::to_owned))
    }

    /// A list of whole numbers from 0.
    ///
    /// # Errors
    /// A field that is not there, or holds something else.
    pub fn indices(&self, key: &str) -> Result<Vec<usize>> {
        self.read(key, "a list of whole numbers", |v| {
            v.as_array()?.iter().map(|item| item.as_u64().map(|n| n as usize)).collect()
        })
    }

    /// `len` numbers.
    ///
    /// # Errors
    /// A field that is not there, or holds something else, or more or fewer of them.
    pub fn numbers(&self, key: &str, len: usize) -> Result<Vec<f64>> {
        self.read(key, &format!("a list of {len} numbers"), |v| {
            let list: Vec<f64> = v.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            (list.len() == len).then_some(list)
        })
    }

    /// One token id, or a list of them; empty where absent.
    ///
    /// # Errors
    /// A field that holds something else.
    pub fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let id = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
        self.read_or(key, Vec::new(), "a token id or a list of them", |v| match v.as_array() {
            Some(list) => list.iter().map(id).collect(),
            None => id(v).map(|id| vec![id]),
        })
    }
}

fn as_size(value: &Value) -> Option<usize> {
    value.as_u64().filter(|n| (1..LARGEST_SIZE).contains(n)).map(|n| n as usize)
}
