//! Attention rollout: how much of each input token reaches a token through all layers.
//!
//! Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020: with A the attention of a layer averaged over
//! heads, what reaches layer l is `R_l = ((A_l + I) / 2) R_{l-1}`, begun at the identity.

use super::query::{Query, Selection};
use crate::trace::{AnswerRows, Trace};
use crate::units::{HeadIdx, LayerIdx, Role};

/// Rows of the rollout for queries, each over the N prompt tokens and what was generated; `None` where not every attention
/// row was kept.
pub fn rollout(trace: &Trace, queries: &[Query], selection: Selection) -> Option<Vec<Vec<f32>>> {
    let full = trace.attentions.as_ref()?;
    let [num_layers, num_heads, n, _] = full.shape()[..] else { return None };
    let generated = trace.answer_attentions.as_ref().map_or(0, AnswerRows::num_tokens);
    let latents: Vec<usize> = trace.positions_of(Role::Latent).collect();
    let place = |query: &Query| match query {
        Query::Latent(latent) => latents.get(*latent).copied(),
        // From where it is said.
        Query::Answer(token) => (*token <= generated && n + token > 0).then(|| n + token - 1),
    };
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(queries.len());
    for query in queries {
        let mut row = vec![0.0; n + generated];
        row[place(query)?] = 1.0;
        rows.push(row);
    }
    let last = selection.layer.map_or(num_layers, |layer| (layer.0 + 1).min(num_layers));
    let heads = selection.head.map_or(0..num_heads, |head| head.0..head.0 + 1);
    // From the last layer down: a row times ((A + I) / 2), again and again.
    for layer in (0..last).rev() {
        let mean = mean_over_heads(trace, LayerIdx(layer), heads.clone(), n, generated)?;
        for row in &mut rows {
            let mut next: Vec<f32> = row.iter().map(|share| share / 2.0).collect();
            for (share, of_token) in row.iter().zip(&mean).filter(|(share, _)| **share != 0.0) {
                next.iter_mut().zip(of_token).for_each(|(total, value)| *total += share / 2.0 * value);
            }
            *row = next;
        }
    }
    Some(rows)
}

/// Attention of every token in a layer, each row as long as what the token saw.
fn mean_over_heads(
    trace: &Trace,
    layer: LayerIdx,
    heads: std::ops::Range<usize>,
    n: usize,
    generated: usize,
) -> Option<Vec<Vec<f32>>> {
    let full = trace.attentions.as_ref()?;
    let share = 1.0 / heads.len() as f32;
    (0..n + generated)
        .map(|token| {
            let mut mean = Vec::new();
            for head in heads.clone() {
                let row = if token < n {
                    &full.at(&[layer.0, head, token])[..=token]
                } else {
                    trace.answer_row(layer, HeadIdx(head), token - n)?
                };
                mean.resize(row.len(), 0.0);
                mean.iter_mut().zip(row).for_each(|(total, value)| *total += share * value);
            }
            Some(mean)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::query::Aggregation;
    use crate::array::Array;

    /// Two layers, one head, three tokens, the last a latent.
    fn trace() -> Trace {
        let first = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.2, 0.3, 0.5];
        let second = [1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.6, 0.4, 0.0];
        Trace {
            roles: vec![Role::Image, Role::Image, Role::Latent],
            attentions: Some(Array::new([2, 1, 3, 3], [first, second].concat())),
            ..Trace::default()
        }
    }

    #[test]
    fn it_is_the_product_over_layers() {
        let all = Selection { aggregation: Aggregation::Rollout, ..Selection::default() };
        let found = &rollout(&trace(), &[Query::Latent(0)], all).unwrap()[0];
        // ((A2 + I) / 2) ((A1 + I) / 2), last row, by hand.
        let (top, first) = ([0.3, 0.2, 0.5], [[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.1, 0.15, 0.75]]);
        for key in 0..3 {
            let expected: f32 = (0..3).map(|i| top[i] * first[i][key]).sum();
            assert!((found[key] - expected).abs() < 1e-6, "{found:?}");
        }
        assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let one = Selection { layer: Some(LayerIdx(0)), ..all };
        assert_eq!(rollout(&trace(), &[Query::Latent(0)], one).unwrap()[0], [0.1, 0.15, 0.75]);
    }

    #[test]
    fn without_every_row_there_is_none() {
        let lacking = Trace { attentions: None, ..trace() };
        assert_eq!(rollout(&lacking, &[Query::Latent(0)], Selection::default()), None);
    }
}
