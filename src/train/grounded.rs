//! What an example knows of its visual tokens: what they are called, and which are the same.

use std::collections::BTreeMap;

use super::recipe::GroundingOptions;
use crate::data::grounding::Place;
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::units::Span;

/// The words of the groups that are learned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    /// Of the tower.
    pub(super) tower: Vec<Group>,
    /// Of the language model.
    model: Vec<Group>,
}

/// Words of which at most one is true of a place. They compete with each other only, so that a place can have words of
/// several groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// As records call it.
    pub name: String,
    /// The tokens of its words; the last stands for none of them.
    pub(super) ids: Vec<u32>,
    /// The decoder layer after which it is said; after the last norm where there is none.
    pub layer: Option<usize>,
}

impl Group {
    /// Number of a word: the last where it is none of them.
    fn number(&self, id: u32) -> u32 {
        self.ids.iter().position(|known| *known == id).unwrap_or(self.ids.len() - 1) as u32
    }
}

/// The word where no word of a group is true.
const NOTHING: &str = "none";

/// What an example knows of its visual tokens, numbered over all its images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grounded {
    /// Visual token, group, and which of its words.
    pub(super) tower: Vec<[u32; 3]>,
    /// Place in the sequence, group, and which of its words.
    pub model: Vec<[u32; 3]>,
    /// Visual token, the one that shows the same, and the visual tokens it is to be found among.
    pub(super) pairs: Vec<(u32, u32, Span)>,
}

/// The token of a word, which is one.
fn word_id(processor: &Processor, word: &str) -> Result<u32> {
    match processor.encode(word)?[..] {
        [id] => Ok(id),
        ref ids => Err(Error::Request(format!(
            "grounding: expected words of one token each, found {word:?}, which is {} tokens of this model",
            ids.len()
        ))),
    }
}

impl Groups {
    /// The groups that a recipe names, with every word that a record has of them.
    ///
    /// # Errors
    /// A word of more than one token.
    pub fn of(records: &[Record], options: &GroundingOptions, processor: &Processor) -> Result<Self> {
        let group = |group: &String| -> Result<Group> {
            let words = records.iter().flat_map(|record| record.grounding.words_of(group));
            let words: std::collections::BTreeSet<&str> = words.collect();
            let words = words.into_iter().chain([NOTHING]);
            let ids = words.map(|word| word_id(processor, word)).collect::<Result<_>>()?;
            let layer = options.layers.get(group).copied().or(options.layer);
            Ok(Group { name: group.clone(), ids, layer })
        };
        let all = |names: &[String]| names.iter().map(group).collect::<Result<_>>();
        Ok(Self { tower: all(&options.tower)?, model: all(&options.model)? })
    }

    /// Those that the language model says.
    pub fn model(&self) -> &[Group] {
        &self.model
    }
}

/// The visual tokens of a sample's images.
struct Tokens<'a> {
    sample: &'a Sample,
    /// Rows and columns of each image.
    grids: Vec<(usize, usize)>,
}

impl Tokens<'_> {
    /// The visual tokens of an image.
    fn of_image(&self, image: usize) -> Span {
        let count = |(rows, cols): &(usize, usize)| rows * cols;
        let start = self.grids[..image].iter().map(count).sum();
        Span { start, end: start + count(&self.grids[image]) }
    }

    /// The visual tokens that one is to be found among: of its image, and of all later ones where it is later.
    fn offered(&self, from: &Place, to: &Place) -> Span {
        let own = self.of_image(to.0);
        if to.0 < from.0 {
            return own;
        }
        Span { start: self.of_image(from.0).end, end: self.of_image(self.grids.len() - 1).end }
    }

    /// The visual token at a place, and how far its centre is from it, in tokens.
    fn at(&self, Place(image, x, y): &Place) -> (usize, f32) {
        let (width, height) = self.sample.images[*image].size();
        let (rows, cols) = self.grids[*image];
        let (col, row) = (x / width as f32 * cols as f32, y / height as f32 * rows as f32);
        let inside = |v: f32, count: usize| (v.max(0.0) as usize).min(count - 1);
        let (c, r) = (inside(col, cols), inside(row, rows));
        let far = (col - c as f32 - 0.5).hypot(row - r as f32 - 0.5);
        (self.of_image(*image).start + r * cols + c, far)
    }

    /// Of several words for one token, the one whose place is nearest its centre.
    fn nearest<'w>(&self, words: &'w [(Place, String)]) -> BTreeMap<usize, &'w str> {
        let mut nearest: BTreeMap<usize, (f32, &str)> = BTreeMap::new();
        for (place, word) in words {
            let (token, far) = self.at(place);
            let held = nearest.entry(token).or_insert((far, word));
            if far < held.0 {
                *held = (far, word);
            }
        }
        nearest.into_iter().map(|(token, (_, word))| (token, word)).collect()
    }
}

/// The last token of what the prompt says up to a byte, among all of the sample's.
fn place_in_prompt(ids: &[u32], prompt: &str, end: usize, processor: &Processor) -> Result<usize> {
    let whole = processor.encode(prompt)?;
    let start = ids.windows(whole.len().max(1)).position(|window| window == whole);
    let length = prompt.get(..end).map(|said| processor.encode(said)).transpose()?.unwrap_or_default().len();
    match start {
        Some(start) if length > 0 => Ok(start + length - 1),
        _ => Err(Error::Request(format!("grounding.prompt: byte {end} is no place in the prompt's tokens"))),
    }
}

impl Grounded {
    /// What a record knows of the visual tokens of its sample.
    ///
    /// # Errors
    /// A word of more than one token, a place that the prompt's tokens do not have.
    pub fn new(
        record: &Record,
        sample: &Sample,
        input: &ModelInput,
        groups: &Groups,
        processor: &Processor,
    ) -> Result<Self> {
        // A sample whose images were taken away shows nothing of what its record knows.
        if sample.images.len() < record.images.len() {
            return Ok(Self::default());
        }
        let ModelInput { input_ids: ids, grids, image_spans: spans, .. } = input;
        let merge_size = processor.images().merge_size;
        let tokens = Tokens { sample, grids: grids.iter().map(|grid| grid.merged(merge_size)).collect() };
        let mut grounded = Self::default();
        for (number, group) in groups.tower.iter().enumerate() {
            let Some(words) = record.grounding.words.get(&group.name) else { continue };
            let nearest = tokens.nearest(words);
            let images: std::collections::BTreeSet<usize> = words.iter().map(|(place, _)| place.0).collect();
            for token in images.into_iter().flat_map(|image| tokens.of_image(image).range()) {
                let word = nearest.get(&token).copied().unwrap_or(NOTHING);
                let word = group.number(word_id(processor, word)?);
                grounded.tower.push([token as u32, number as u32, word]);
            }
        }
        let places: Vec<usize> = spans.iter().flat_map(|span| span.range()).collect();
        for (number, group) in groups.model.iter().enumerate() {
            let mut say = |place: usize, word: &str| -> Result<()> {
                grounded.model.push([place as u32, number as u32, group.number(word_id(processor, word)?)]);
                Ok(())
            };
            if let Some(words) = record.grounding.words.get(&group.name) {
                for (token, word) in tokens.nearest(words) {
                    say(places[token], word)?;
                }
            }
            if let Some(words) = record.grounding.prompt.get(&group.name) {
                for (end, word) in words {
                    say(place_in_prompt(ids, &record.prompt, *end, processor)?, word)?;
                }
            }
        }
        grounded.pairs = record
            .grounding
            .pairs
            .iter()
            .map(|(from, to)| (tokens.at(from).0 as u32, tokens.at(to).0 as u32, tokens.offered(from, to)))
            .collect();
        Ok(grounded)
    }
}
