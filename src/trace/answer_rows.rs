//! Attention rows of the tokens of an answer.

use crate::array::Array;
use crate::units::{HeadIdx, LayerIdx};

/// Attention rows of the generated tokens; each is as long as the sequence was when it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerRows {
    /// [L, H, N] of the last prompt token, which says the first of the answer.
    pub(super) before: Option<Array>,
    /// Per generated token [L, H, N + i + 1].
    pub(super) tokens: Vec<Array>,
}

impl AnswerRows {
    /// None yet, after a prompt whose last token had these rows, [L, H, N].
    pub fn after(before: Option<Array>) -> Self {
        Self { before, tokens: Vec::new() }
    }

    /// Those of the last prompt token, [L, H, N]; none in files of versions that did not keep them.
    pub fn before(&self) -> Option<&Array> {
        self.before.as_ref()
    }

    /// Adds the rows of the next token, [L, H, S].
    pub fn push(&mut self, rows: Array) {
        assert_eq!(rows.shape().len(), 3, "rows of one token are [L, H, S]");
        self.tokens.push(rows);
    }

    /// G.
    pub fn num_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// [L, H, G, N + G], what the rows are where zeros stand for keys that were not there yet.
    pub fn shape(&self) -> [usize; 4] {
        self.tokens.last().map_or([0; 4], |last| {
            let shape = last.shape();
            [shape[0], shape[1], self.tokens.len(), shape[2]]
        })
    }

    /// The row of a token in one head, over the N + token + 1 keys it saw.
    pub fn row(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        Some(self.tokens.get(token)?.at(&[layer.0, head.0]))
    }

    /// The row that a token was said from, over the N + token keys before it: that of the last prompt token for the first,
    /// else that of the token before.
    pub fn saying(&self, layer: LayerIdx, head: HeadIdx, token: usize) -> Option<&[f32]> {
        match token.checked_sub(1) {
            None => Some(self.before.as_ref()?.at(&[layer.0, head.0])),
            Some(before) => self.row(layer, head, before),
        }
    }

    /// Rows in the order of [`Self::shape`], each with the number of zeros that follow it.
    pub fn padded_rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let [layers, heads, tokens, width] = self.shape();
        (0..layers * heads * tokens).map(move |i| {
            let (layer, head) = (i / tokens / heads, i / tokens % heads);
            let row = self.tokens[i % tokens].at(&[layer, head]);
            (row, width - row.len())
        })
    }

    /// As one array, [L, H, G, N + G].
    pub fn to_array(&self) -> Array {
        let mut data = Vec::with_capacity(self.shape().iter().product());
        for (row, zeros) in self.padded_rows() {
            data.extend_from_slice(row);
            data.resize(data.len() + zeros, 0.0);
        }
        Array::new(self.shape(), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_rows_are_padded_with_zeros() {
        let mut rows = AnswerRows::after(Some(Array::new([1, 2, 1], vec![1.0, 0.75])));
        rows.push(Array::new([1, 2, 2], vec![0.5, 0.5, 1.0, 0.0]));
        rows.push(Array::new([1, 2, 3], vec![0.2, 0.3, 0.5, 0.1, 0.1, 0.8]));
        let all = rows.to_array();
        assert_eq!(all.shape(), [1, 2, 2, 3]);
        assert_eq!(all.at(&[0, 1, 0]), [1.0, 0.0, 0.0]);
        assert_eq!(all.at(&[0, 0, 1]), [0.2, 0.3, 0.5]);
        assert_eq!(rows.row(LayerIdx(0), HeadIdx(1), 0), Some([1.0, 0.0].as_slice()));
        assert_eq!(rows.row(LayerIdx(0), HeadIdx(1), 2), None);
        let said = |token| rows.saying(LayerIdx(0), HeadIdx(1), token);
        assert_eq!(said(0), Some([0.75].as_slice()));
        assert_eq!(said(1), Some([1.0, 0.0].as_slice()));
        assert_eq!((said(3), AnswerRows::default().saying(LayerIdx(0), HeadIdx(0), 0)), (None, None));
        assert_eq!(AnswerRows::default().to_array().shape(), [0, 0, 0, 0]);
    }
}
