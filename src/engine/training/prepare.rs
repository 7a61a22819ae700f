//! What is made before a run begins: its data, and the recipe as a file that can be read, kept and changed.

use std::path::PathBuf;

use crate::atomic;
use crate::data::tasks::{TasksOrder, make};
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::train::Recipe;

/// A recipe that is no file yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// What is trained on what.
    pub recipe: Recipe,
    /// Where the recipe is written.
    pub file: PathBuf,
    /// Data to be made, and their folder; one that holds data is taken as it is.
    pub data: Option<(TasksOrder, PathBuf)>,
}

impl Preparation {
    /// Makes the data and writes the recipe.
    ///
    /// # Errors
    /// A folder that holds something else, a recipe of another run in its place, a disk that is full, a stop.
    pub fn make(&self, observer: &dyn Observer) -> Result<()> {
        let text = self.recipe.to_toml();
        let is_other = std::fs::read_to_string(&self.file).is_ok_and(|found| found != text);
        if is_other {
            let found = "another: name another folder for the run, or remove it";
            return Err(Error::field(&self.file, "the recipe", "nothing, or this very recipe", found));
        }
        if let Some((order, folder)) =
            self.data.as_ref().filter(|(_, folder)| !folder.join("train.jsonl").is_file())
        {
            make(order, folder, observer)?;
        }
        atomic::write(&self.file, |out| out.write_all(text.as_bytes()))
    }
}
