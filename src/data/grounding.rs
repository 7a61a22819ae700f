//! What a drawn sample knows beyond its answer: words that are true of places of its images, and places that are the
//! same. Training can learn from it; no question needs it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A place of an image: which one, from 0, and x and y in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place(pub usize, pub f32, pub f32);

impl Place {
    /// Of an image, to a tenth of a pixel.
    pub fn new(image: usize, [x, y]: [f32; 2]) -> Self {
        let tenths = |v: f32| (v * 10.0).round() / 10.0;
        Self(image, tenths(x), tenths(y))
    }
}

/// Words and pairs of places.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grounding {
    /// By group, as `thing` or `part`: of the words of a group at most one is true of a place, and where an image
    /// has words of a group, none is true of its other places.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, Vec<(Place, String)>>,
    /// Places that show the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<(Place, Place)>,
    /// By group: words that are true of what the prompt has said up to a byte of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prompt: BTreeMap<String, Vec<(usize, String)>>,
}

impl Grounding {
    /// True where nothing is known.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.pairs.is_empty() && self.prompt.is_empty()
    }

    /// A word that is true of a place.
    pub fn word(&mut self, group: &str, image: usize, at: [f32; 2], word: impl Into<String>) {
        self.words.entry(group.to_owned()).or_default().push((Place::new(image, at), word.into()));
    }

    /// A word that is true of what the prompt has said up to a byte of it.
    pub fn option(&mut self, group: &str, end: usize, word: impl Into<String>) {
        self.prompt.entry(group.to_owned()).or_default().push((end, word.into()));
    }

    /// Two places that show the same.
    pub fn pair(&mut self, from: (usize, [f32; 2]), to: (usize, [f32; 2])) {
        self.pairs.push((Place::new(from.0, from.1), Place::new(to.0, to.1)));
    }

    /// The words of a group, of places and of the prompt.
    pub fn words_of(&self, group: &str) -> impl Iterator<Item = &str> {
        let of_places = self.words.get(group).into_iter().flatten().map(|(_, word)| word);
        of_places
            .chain(self.prompt.get(group).into_iter().flatten().map(|(_, word)| word))
            .map(String::as_str)
    }

    /// Every place it speaks of.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        let words = self.words.values().flatten().map(|(place, _)| place);
        words.chain(self.pairs.iter().flat_map(|(from, to)| [from, to]))
    }
}
