//! What statements change inside a layer besides its input: keys and values that some queries find in the place of a
//! token's own, queries in the place of a head's, and the direct paths that these are made for.

use candle_core::Tensor;

use super::to_host;
use crate::array::Array;
use crate::error::Result;
use crate::ops::attention::{Mask, Plan, Segment, attend_watched, rows};
use crate::progress::Observer;

/// Which queries read what was changed.
#[derive(Debug, Clone)]
pub struct Readers {
    /// Of the prompt's tokens, [N].
    pub of_prompt: Vec<bool>,
    /// All behind the prompt?
    pub behind: bool,
}

impl Readers {
    /// Is a token of the sequence one of them?
    pub fn contains(&self, token: usize) -> bool {
        self.of_prompt.get(token).copied().unwrap_or(self.behind)
    }
}

/// Keys, values or both of some tokens, as some queries find them.
#[derive(Debug, Clone)]
pub struct KeysFound {
    /// Positions of the tokens in the sequence, [n].
    pub tokens: Vec<usize>,
    /// For this query head alone; for all where there is none.
    pub head: Option<usize>,
    /// [n, Hkv, d], of a head alone [n, 1, d]; the own ones where there are none.
    pub keys: Option<Tensor>,
    /// The same of values.
    pub values: Option<Tensor>,
    /// Who finds them.
    pub readers: Readers,
}

/// Queries of one head at some tokens of the prompt.
#[derive(Debug, Clone)]
pub struct QueriesAsked {
    /// Positions of the tokens in the sequence, [n].
    pub tokens: Vec<usize>,
    /// Which query head.
    pub head: usize,
    /// [n, 1, d].
    pub rows: Tensor,
}

/// All that is changed of who finds what in one layer.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Keys and values, in the order they are stated: the later wins.
    pub found: Vec<KeysFound>,
    /// Queries.
    pub asked: Vec<QueriesAsked>,
}

impl Changes {
    /// Nothing?
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.asked.is_empty()
    }
}

/// One sequence in a layer of a pass: q [T, H, d] and the keys and values of all S tokens, [S, Hkv, d].
pub struct Attending<'a> {
    /// Of this pass's tokens.
    pub q: &'a Tensor,
    /// Of all.
    pub k: &'a Tensor,
    /// Of all.
    pub v: &'a Tensor,
    /// Who may look at whom.
    pub mask: &'a Mask,
    /// How it is computed.
    pub plan: Plan,
    /// Who may stop it.
    pub observer: &'a dyn Observer,
}

/// x with other rows at some places: every bit of the others as it was.
pub fn with_rows(x: &Tensor, places: &[usize], rows: &Tensor) -> Result<Tensor> {
    let count = x.dim(0)?;
    let mut from: Vec<u32> = (0..count as u32).collect();
    for (i, place) in places.iter().enumerate() {
        from[*place] = (count + i) as u32;
    }
    let both = Tensor::cat(&[&x.contiguous()?, &rows.to_dtype(x.dtype())?.contiguous()?], 0)?;
    Ok(both.contiguous()?.index_select(&Tensor::new(from, x.device())?, 0)?)
}

/// x [T, H, d] with another head in the place of one, [T, 1, d].
pub fn with_head(x: &Tensor, head: usize, other: &Tensor) -> Result<Tensor> {
    let heads = x.dim(1)?;
    let mut parts = Vec::new();
    if head > 0 {
        parts.push(x.narrow(1, 0, head)?);
    }
    parts.push(other.clone());
    if head + 1 < heads {
        parts.push(x.narrow(1, head + 1, heads - head - 1)?);
    }
    Ok(Tensor::cat(&parts, 1)?)
}

impl Attending<'_> {
    fn num_new(&self) -> Result<usize> {
        Ok(self.q.dim(0)?)
    }

    fn segment(&self) -> Result<Segment> {
        Ok(Segment::whole(self.num_new()?, self.k.dim(0)?, Some(self.mask.clone())))
    }

    /// The same with other queries, keys and values.
    fn of<'b>(&'b self, q: &'b Tensor, k: &'b Tensor, v: &'b Tensor) -> Attending<'b> {
        Attending { q, k, v, mask: self.mask, plan: self.plan, observer: self.observer }
    }

    fn mixed(&self) -> Result<Tensor> {
        attend_watched(self.q, self.k, self.v, &[self.segment()?], self.plan, self.observer)
    }

    fn rows(&self, wanted: &[usize]) -> Result<Tensor> {
        rows(self.q, self.k, &self.segment()?, wanted, self.plan)
    }

    /// Mixed values [T, H, d], and attention rows [H, R, S] of the wanted tokens of this pass, where queries find what
    /// `changes` say. Queries that find the same go through together, each product over all of them, so that what is
    /// changed to what it was changes no bit.
    pub fn changed(&self, changes: &Changes, wanted: &[usize]) -> Result<(Tensor, Option<Tensor>)> {
        let first = self.k.dim(0)? - self.num_new()?;
        let heads = self.q.dim(1)?;
        let group = heads / self.k.dim(1)?;
        let kinds = kinds(&changes.found, first, self.num_new()?);
        let (mut mixed, mut probabilities): (Option<Tensor>, Option<Tensor>) = (None, None);
        for (found, queries) in kinds {
            let (k, v) = as_found(self.k.clone(), self.v.clone(), &found, None)?;
            let whole = self.of(self.q, &k, &v);
            let mut of_kind = whole.mixed()?;
            let mut rows_of_kind = if wanted.is_empty() { None } else { Some(whole.rows(wanted)?) };
            for head in changed_heads(&found, &changes.asked) {
                let (q, k, v) = head_of(self.q, &k, &v, head, head / group, first, &found, &changes.asked)?;
                let alone = self.of(&q, &k, &v);
                of_kind = with_head(&of_kind, head, &alone.mixed()?)?;
                if let Some(rows) = &mut rows_of_kind {
                    let own = alone.rows(wanted)?;
                    *rows = with_rows(rows, &[head], &own)?;
                }
            }
            mixed = Some(match mixed {
                None => of_kind,
                Some(before) => {
                    let places =
                        Tensor::new(queries.iter().map(|q| *q as u32).collect::<Vec<_>>(), before.device())?;
                    with_rows(&before, &queries, &of_kind.contiguous()?.index_select(&places, 0)?)?
                }
            });
            probabilities = match (probabilities, rows_of_kind) {
                (Some(before), Some(own)) => Some(merged_rows(&before, &own, wanted, &queries)?),
                (before, own) => before.or(own),
            };
        }
        Ok((mixed.expect("there are queries"), probabilities))
    }
}

/// Queries of this pass by which of the changes they find.
fn kinds(found: &[KeysFound], first: usize, count: usize) -> Vec<(Vec<&KeysFound>, Vec<usize>)> {
    let mut kinds: Vec<(Vec<bool>, Vec<usize>)> = Vec::new();
    for query in 0..count {
        let kind: Vec<bool> = found.iter().map(|own| own.readers.contains(first + query)).collect();
        match kinds.iter_mut().find(|(own, _)| *own == kind) {
            Some((_, queries)) => queries.push(query),
            None => kinds.push((kind, vec![query])),
        }
    }
    let of = |(kind, queries): (Vec<bool>, Vec<usize>)| {
        let own = found.iter().zip(kind).filter(|(_, reads)| *reads).map(|(own, _)| own);
        (own.collect(), queries)
    };
    kinds.into_iter().map(of).collect()
}

/// Heads for which alone something is changed.
fn changed_heads(found: &[&KeysFound], asked: &[QueriesAsked]) -> Vec<usize> {
    let mut heads: Vec<usize> =
        found.iter().filter_map(|own| own.head).chain(asked.iter().map(|own| own.head)).collect();
    heads.sort_unstable();
    heads.dedup();
    heads
}

/// Keys and values [S, heads, d] as they are found, by one head alone or by all; the later statement wins.
fn as_found(
    mut k: Tensor,
    mut v: Tensor,
    found: &[&KeysFound],
    head: Option<usize>,
) -> Result<(Tensor, Tensor)> {
    for own in found.iter().filter(|own| own.head == head) {
        if let Some(keys) = &own.keys {
            k = with_rows(&k, &own.tokens, keys)?;
        }
        if let Some(values) = &own.values {
            v = with_rows(&v, &own.tokens, values)?;
        }
    }
    Ok((k, v))
}

/// What one query head reads: its queries [T, 1, d], keys and values [S, 1, d].
#[expect(clippy::too_many_arguments, reason = "one head of one sequence")]
fn head_of(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    head: usize,
    kv_head: usize,
    first: usize,
    found: &[&KeysFound],
    asked: &[QueriesAsked],
) -> Result<(Tensor, Tensor, Tensor)> {
    let count = q.dim(0)?;
    let mut q = q.narrow(1, head, 1)?.contiguous()?;
    let of_head = |x: &Tensor| -> Result<Tensor> { Ok(x.narrow(1, kv_head, 1)?.contiguous()?) };
    for own in asked.iter().filter(|own| own.head == head) {
        // Of a step after the prompt none of them is a token.
        let here: Vec<usize> =
            (0..own.tokens.len()).filter(|i| (first..first + count).contains(&own.tokens[*i])).collect();
        if here.is_empty() {
            continue;
        }
        let places: Vec<usize> = here.iter().map(|i| own.tokens[*i] - first).collect();
        let rows = Tensor::new(here.iter().map(|i| *i as u32).collect::<Vec<_>>(), q.device())?;
        q = with_rows(&q, &places, &own.rows.contiguous()?.index_select(&rows, 0)?)?;
    }
    let (k, v) = as_found(of_head(k)?, of_head(v)?, found, Some(head))?;
    Ok((q, k, v))
}

/// Rows [H, R, S] of some queries in the place of those of all.
fn merged_rows(all: &Tensor, own: &Tensor, wanted: &[usize], queries: &[usize]) -> Result<Tensor> {
    let places: Vec<usize> =
        (0..wanted.len()).filter(|i| queries.binary_search(&wanted[*i]).is_ok()).collect();
    if places.is_empty() {
        return Ok(all.clone());
    }
    let index = Tensor::new(places.iter().map(|i| *i as u32).collect::<Vec<_>>(), all.device())?;
    let by_row = |x: &Tensor| -> Result<Tensor> { Ok(x.transpose(0, 1)?.contiguous()?) };
    let merged = with_rows(&by_row(all)?, &places, &by_row(own)?.index_select(&index, 0)?)?;
    by_row(&merged)
}

/// Where a direct path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathStart {
    /// The input of the first layer.
    Embedding,
    /// What this layer gives.
    After(usize),
    /// What a head of a layer adds.
    Head(usize, usize),
}

/// What of a head reads the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathPart {
    /// Its queries.
    Queries,
    /// Its keys.
    Keys,
    /// Its values.
    Values,
}

/// Where a direct path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathEnd {
    /// The input of the final norm.
    Logits,
    /// A query head of a layer.
    Head(usize, usize, PathPart),
}

/// One direct path: what it adds is known once its start has been passed.
#[derive(Debug, Clone)]
pub struct DirectPath {
    /// Tokens of the prompt it is of, [n].
    pub tokens: Vec<usize>,
    /// Where it begins.
    pub start: PathStart,
    /// Where it ends.
    pub end: PathEnd,
    /// Who reads keys and values.
    pub readers: Readers,
    /// What the donor has at the start, [n, D], of a head [n, d]; the own where there is none.
    pub donor: Option<Tensor>,
    /// What joins the residual stream at the end, [n, D].
    pub delta: Option<Tensor>,
    /// Tokens at which the donor's start is another.
    pub changed: usize,
}

impl DirectPath {
    /// Are its tokens among those of a pass that begins at this place of the sequence?
    pub fn is_of_pass(&self, first: usize) -> bool {
        self.tokens.iter().all(|token| *token >= first)
    }

    /// Places of its tokens in a pass in which the sequence's begin at `start`.
    pub fn places(&self, start: usize, first: usize) -> Vec<usize> {
        self.tokens.iter().map(|token| start + token - first).collect()
    }

    /// Its rows of x, [T, ..].
    pub fn rows_of(&self, x: &Tensor, start: usize, first: usize) -> Result<Tensor> {
        let places: Vec<u32> = self.places(start, first).into_iter().map(|place| place as u32).collect();
        Ok(x.contiguous()?.index_select(&Tensor::new(places, x.device())?, 0)?)
    }

    /// What it says at its start beside what is there, [n, ..]; nothing where it says the same.
    pub fn beside(&mut self, own: &Tensor) -> Result<Tensor> {
        let theirs = match &self.donor {
            None => own.clone(),
            Some(donor) => donor.to_dtype(own.dtype())?,
        };
        self.changed = count_changed(&to_host(own)?, &to_host(&theirs)?);
        Ok((theirs - own)?)
    }
}

/// Rows of which something is another, by more than what rounding does between programs: 1e-3 of the row's largest value.
pub fn count_changed(before: &Array, after: &Array) -> usize {
    before.rows().zip(after.rows()).filter(|(before, after)| is_changed(before, after)).count()
}

/// Is a vector another, by more than rounding?
pub fn is_changed(before: &[f32], after: &[f32]) -> bool {
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |a, b| a.max(b.abs()));
    let moved = largest(&mut before.iter().zip(after).map(|(a, b)| b - a));
    moved > 1e-3 * largest(&mut before.iter().copied())
}

/// What statements change of who finds what: by layer, and the direct paths that end in changes.
#[derive(Debug, Clone)]
pub struct Rewiring {
    /// [L].
    pub layers: Vec<Changes>,
    /// In the order they are stated.
    pub paths: Vec<DirectPath>,
}

impl Rewiring {
    /// Nothing yet, in so many layers.
    pub fn new(num_layers: usize) -> Self {
        Self { layers: vec![Changes::default(); num_layers], paths: Vec::new() }
    }

    /// Paths that begin at a place.
    pub fn beginning(&mut self, start: PathStart) -> impl Iterator<Item = &mut DirectPath> {
        self.paths.iter_mut().filter(move |path| path.start == start)
    }

    /// Takes what the end of a path reads at a head, [n, 1, d].
    pub fn take_end(&mut self, layer: usize, path: usize, rows: Tensor) {
        let DirectPath { tokens, end, readers, .. } = self.paths[path].clone();
        let PathEnd::Head(_, head, part) = end else { return };
        let own = &mut self.layers[layer];
        let found =
            |keys, values| KeysFound { tokens: tokens.clone(), head: Some(head), keys, values, readers };
        match part {
            PathPart::Queries => own.asked.push(QueriesAsked { tokens, head, rows }),
            PathPart::Keys => own.found.push(found(Some(rows), None)),
            PathPart::Values => own.found.push(found(None, Some(rows))),
        }
    }
}
