//! Losses beside the answer's: what places of images are called, and which are the same.
//!
//! A token says a word by the word's row of the output, which where tied is that of the embedding: the language model
//! finds the words it knows in what it is given to see.

use std::collections::BTreeMap;

use candle_core::{D, Tensor};

use super::examples::Example;
use super::grounded::{Grounded, Group, Groups};
use crate::error::Result;
use crate::model::Model;
use crate::model::vision::VisualFeatures;
use crate::units::Span;

/// -log p of words of a group, [M], by vectors [M, D] times their rows of the output.
///
/// # Errors
/// A word that the output has no row for.
pub fn word_losses(group: &Group, model: &Model, vectors: &Tensor, words: Vec<u32>) -> Result<Tensor> {
    let rows = model.text.output_rows(&group.ids)?;
    negative_log(&vectors.to_dtype(rows.dtype())?.matmul(&rows.t()?)?, words)
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
///
/// # Errors
/// A word that the output has no row for.
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
        let each = (word_losses(group, model, &states, words)? * Tensor::from_vec(weights, count, device)?)?;
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
