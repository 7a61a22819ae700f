//! Losses beside the answer's: what places of images are called, and which are the same.
//!
//! A token says a word by the word's row of the output, which where tied is that of the embedding: the language model
//! finds the words it knows in what it is given to see.

use std::collections::BTreeMap;

use candle_core::{D, Tensor};

use super::examples::Example;
use super::recipe::GroundingOptions;
use crate::data::grounding::Place;
use crate::data::record::Record;
use crate::data::sample::Sample;
use crate::error::{Error, Result};
use crate::input::model_input::ModelInput;
use crate::input::processor::Processor;
use crate::model::Model;
use crate::model::vision::VisualFeatures;
use crate::units::Span;

/// The words of the groups that are learned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    /// Of the tower.
    tower: Vec<Group>,
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
    ids: Vec<u32>,
    /// The decoder layer after which it is said; after the last norm where there is none.
    pub layer: Option<usize>,
}

impl Group {
    /// Number of a word: the last where it is none of them.
    fn number(&self, id: u32) -> u32 {
        self.ids.iter().position(|known| *known == id).unwrap_or(self.ids.len() - 1) as u32
    }

    /// -log p of words of it, [M], by vectors [M, D] times their rows of the output.
    pub fn losses(&self, model: &Model, vectors: &Tensor, words: Vec<u32>) -> Result<Tensor> {
        let rows = model.text.output_rows(&self.ids)?;
        negative_log(&vectors.to_dtype(rows.dtype())?.matmul(&rows.t()?)?, words)
    }
}

/// The word where no word of a group is true.
const NOTHING: &str = "none";

/// What an example knows of its visual tokens, numbered over all its images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grounded {
    /// Visual token, group, and which of its words.
    tower: Vec<[u32; 3]>,
    /// Place in the sequence, group, and which of its words.
    pub model: Vec<[u32; 3]>,
    /// Visual token, the one that shows the same, and the visual tokens it is to be found among.
    pairs: Vec<(u32, u32, Span)>,
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

/// The visual tokens of each example, one example after the other, with what it knows of them.
fn numbered<'a>(
    examples: impl IntoIterator<Item = &'a Example>,
) -> impl Iterator<Item = (usize, &'a Grounded)> {
    examples.into_iter().scan(0, |start, example| {
        let first = *start;
        *start += example.image_spans.iter().map(|span| span.len()).sum::<usize>();
        Some((first, &example.grounded))
    })
}

/// Each vector to a mean square of one.
pub fn scaled(vectors: &Tensor) -> Result<Tensor> {
    let square = vectors.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(vectors.broadcast_div(&(square + 1e-6)?.sqrt()?)?)
}

/// The mean -log p of the words of each group that the examples have words of, read off the tower's tokens: a token's
/// vector, scaled to a mean square of one, times the words' rows of the output.
pub fn tower_loss<'a>(
    model: &Model,
    features: &VisualFeatures,
    examples: impl IntoIterator<Item = &'a Example>,
    groups: &Groups,
    nothing: f64,
) -> Result<Vec<(String, Tensor)>> {
    let mut labels: Vec<(Vec<u32>, Vec<u32>)> = vec![Default::default(); groups.tower.len()];
    for (first, grounded) in numbered(examples) {
        for [token, group, word] in &grounded.tower {
            let (tokens, words) = &mut labels[*group as usize];
            tokens.push(first as u32 + token);
            words.push(*word);
        }
    }
    let device = model.device();
    let states = scaled(&features.tokens)?;
    let mut losses = Vec::new();
    for ((tokens, words), group) in labels.into_iter().zip(&groups.tower) {
        if tokens.is_empty() {
            continue;
        }
        let last = group.ids.len() as u32 - 1;
        let weights: Vec<f32> =
            words.iter().map(|word| if *word == last { nothing as f32 } else { 1.0 }).collect();
        let total: f32 = weights.iter().sum();
        let count = tokens.len();
        let states = states.index_select(&Tensor::from_vec(tokens, count, device)?, 0)?;
        let each = (group.losses(model, &states, words)? * Tensor::from_vec(weights, count, device)?)?;
        losses.push((group.name.clone(), (each.sum_all()? / f64::from(total.max(1e-6)))?));
    }
    Ok(losses)
}

/// Mean -log p of the token that shows the same among all that are offered, by cosines times `sharpness`. None where no
/// example has pairs.
pub fn pair_loss<'a>(
    features: &VisualFeatures,
    examples: impl IntoIterator<Item = &'a Example>,
    sharpness: f64,
) -> Result<Option<Tensor>> {
    let tokens = &features.tokens;
    let length = (tokens.sqr()?.sum_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
    let directions = tokens.broadcast_div(&length)?;
    let mut losses = Vec::new();
    for (first, grounded) in numbered(examples) {
        let mut by_image: BTreeMap<usize, (Span, Vec<u32>, Vec<u32>)> = BTreeMap::new();
        for (from, to, span) in &grounded.pairs {
            let entry = by_image.entry(span.start).or_insert((*span, Vec::new(), Vec::new()));
            entry.1.push(first as u32 + from);
            entry.2.push(to - span.start as u32);
        }
        for (span, from, to) in by_image.into_values() {
            let count = from.len();
            let asked = directions.index_select(&Tensor::from_vec(from, count, tokens.device())?, 0)?;
            let offered = directions.narrow(0, first + span.start, span.len())?;
            let scores = (asked.matmul(&offered.t()?)? * sharpness)?;
            losses.push(negative_log(&scores, to)?.mean_all()?);
        }
    }
    if losses.is_empty() {
        return Ok(None);
    }
    Ok(Some(Tensor::stack(&losses, 0)?.mean_all()?))
}

/// -log softmax(scores)[right] of each row: [M, N] -> [M].
fn negative_log(scores: &Tensor, right: Vec<u32>) -> Result<Tensor> {
    let most = scores.max_keepdim(D::Minus1)?.detach();
    let total = scores.broadcast_sub(&most)?.exp()?.sum_keepdim(D::Minus1)?.log()?.broadcast_add(&most)?;
    let count = right.len();
    let right = Tensor::from_vec(right, (count, 1), scores.device())?;
    Ok((total - scores.gather(&right, 1)?)?.squeeze(1)?)
}
