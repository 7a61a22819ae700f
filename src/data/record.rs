//! A sample of a data set as it lies on disk: where its images are, and the answer.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::draw::marks::Mark;
use super::grounding::Grounding;
use super::picture::Picture;
use super::sample::{Sample, choices_in};
use crate::error::{Error, Result};

/// Where an image is.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageSource {
    /// A file.
    File(PathBuf),
    /// The bytes of a file inside another: the name, the bytes, and what holds them.
    Held {
        /// For people.
        name: String,
        /// Encoded.
        bytes: Arc<[u8]>,
        /// The data file.
        within: PathBuf,
    },
}

impl ImageSource {
    /// Decodes it.
    ///
    /// # Errors
    /// An image that is not there, cannot be decoded or is too large.
    pub fn read(&self) -> Result<Picture> {
        match self {
            Self::File(path) => Picture::read(path),
            Self::Held { name, bytes, within } => Picture::decode(name, bytes, within),
        }
    }

    /// The file's bytes, for hashing.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn bytes(&self) -> Result<Arc<[u8]>> {
        match self {
            Self::File(path) => {
                let bytes = std::fs::read(path).map_err(|e| Error::io("read the image", path, e))?;
                Ok(bytes.into())
            }
            Self::Held { bytes, .. } => Ok(bytes.clone()),
        }
    }
}

/// One line of a data file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Unique in its file.
    pub id: String,
    /// In the order the prompt speaks of them.
    pub images: Vec<ImageSource>,
    /// The question.
    pub prompt: String,
    /// What the model should answer: what training trains.
    pub target: String,
    /// Which task it is of; empty where the file does not say.
    pub task: String,
    /// Answers to choose from, as the model would say them; empty where the answer is free.
    pub choices: Vec<String>,
    /// What each choice stands for, where the file says.
    pub options: Vec<String>,
    /// What is counted or sought.
    pub object_name: Option<String>,
    /// Lettered places.
    pub marks: Vec<Mark>,
    /// The photograph or scene it was made of.
    pub source: Option<String>,
    /// What is true of places of its images, where the file says.
    pub grounding: Grounding,
}

impl Record {
    /// The sample, its images decoded.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn sample(&self) -> Result<Sample> {
        let images = self.images.iter().map(|image| image.read().map(Arc::new)).collect::<Result<_>>()?;
        Ok(Sample { images, prompt: self.prompt.clone(), choices: self.choices.clone() })
    }

    /// Adds all of it, images as they lie on disk, to a hash that says whether data are still the same.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn hash_into(&self, hash: &mut Sha256) -> Result<()> {
        let texts = (&self.id, &self.task, &self.prompt, &self.target, &self.choices, &self.options);
        hash.update(serde_json::to_vec(&(texts, &self.grounding)).expect("plain data serialises"));
        for image in &self.images {
            let bytes = image.bytes()?;
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        Ok(())
    }

    /// Sets `choices` and `options` from what a file calls choices: letters, or the texts that letters stand for.
    pub fn set_choices(&mut self, listed: Vec<String>) {
        let letters = letters(listed.len());
        if listed.is_empty() {
            self.choices = choices_in(&self.prompt);
        } else if listed == letters || listed.contains(&self.target) {
            self.choices = listed;
        } else {
            self.choices = letters;
            self.options = listed;
        }
    }
}

/// A, B, C ...
pub fn letters(count: usize) -> Vec<String> {
    ('A'..='Z').take(count).map(String::from).collect()
}
