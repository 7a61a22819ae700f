//! The records of a data set, and whose answers to them there are.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ask::Condition;
use crate::data::record::Record;
use crate::engine::demo;
use crate::engine::ids::ModelId;

/// Records with a name.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// As the pane calls it.
    pub name: String,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
    /// In the order of the file.
    pub records: Arc<Vec<Record>>,
    /// By their ids.
    places: Arc<HashMap<String, usize>>,
}

impl DataSet {
    /// Records under a name.
    pub fn new(name: String, path: Option<PathBuf>, records: Vec<Record>) -> Self {
        let places = records.iter().enumerate().map(|(place, record)| (record.id.clone(), place)).collect();
        Self { name, path, records: Arc::new(records), places: Arc::new(places) }
    }

    /// The built-in samples.
    pub fn gallery() -> Self {
        Self::new("built-in samples".to_owned(), None, demo::gallery().to_vec())
    }

    /// The place of a record.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }
}

/// Who was asked, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedOf {
    /// Who.
    pub model: ModelId,
    /// How.
    pub condition: Condition,
}

/// Whose answers a column has.
#[derive(Debug, Clone, PartialEq)]
pub enum DataColumn {
    /// A model's under a condition, asked here.
    Asked(Box<AskedOf>),
    /// Those of a study that were read, by their name.
    Read(String),
}

impl From<AskedOf> for DataColumn {
    fn from(asked: AskedOf) -> Self {
        Self::Asked(Box::new(asked))
    }
}

impl DataColumn {
    /// Who is asked, where it is somebody.
    pub fn asked(&self) -> Option<&AskedOf> {
        match self {
            Self::Asked(asked) => Some(asked),
            Self::Read(_) => None,
        }
    }
}
