//! Blocks of a product on one thread, by whichever kernel fits both sides.

use bytemuck::zeroed_vec;
use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::code::{AsBf16, AsF16, AsQ4, AsQ8};
use super::packed::{Format, Matrix, Packed, Tiles, pairs};
use super::tiles::{BLOCK, Block, DEPTH, Half, ROWS, Tile, WideTile};
use super::{RowsOf, amx, avx512, widening};
use crate::ops::element::Element;
use crate::ops::isa::Isa;

/// Tiles along the inner axis between two visits of an output block: what is read of both sides stays in the
/// second-level cache.
const DEPTH_AT_ONCE: usize = 16;
/// The left side of a product, packed for a kernel.
pub enum Left {
    /// As bf16.
    Narrow { rows: usize, depth: usize, of: RowsOf, tiles: Vec<Tile> },
    /// As f32.
    Wide { rows: usize, depth: usize, tiles: Vec<WideTile> },
}

impl Left {
    /// Packs rows for a product with this right side, on all threads.
    pub fn new<T: Element>(x: Matrix<'_, T>, right: &Packed, of: RowsOf, isa: Isa) -> Self {
        Self::by(x, right, of, isa, |blocks, work| blocks.into_par_iter().for_each(work))
    }

    /// The same on the thread that asks, which is one of many at work.
    pub fn alone<T: Element>(x: Matrix<'_, T>, right: &Packed, isa: Isa) -> Self {
        Self::by(x, right, RowsOf::Whole, isa, |blocks, work| blocks.into_iter().for_each(work))
    }

    fn by<T: Element>(
        x: Matrix<'_, T>,
        right: &Packed,
        of: RowsOf,
        isa: Isa,
        each: impl Fn(Vec<Piece<'_>>, &(dyn Fn(Piece<'_>) + Sync)),
    ) -> Self {
        let [rows, cols] = x.dims;
        let (depth, blocks) = (cols.div_ceil(DEPTH), rows.div_ceil(ROWS));
        let narrow = match right.format() {
            Format::Half(Half::F16) => false,
            Format::Half(Half::Bf16) => isa.multiplies_bf16(),
            // Decoding pays for itself only over many rows.
            Format::Q8 | Format::Q4 => isa.multiplies_bf16() && of == RowsOf::Whole,
        };
        if narrow {
            let mut tiles = zeroed_vec::<Tile>(blocks * depth);
            let pieces =
                tiles.chunks_mut(depth.max(1)).enumerate().map(|(i, t)| Piece::Narrow(i, t)).collect();
            each(pieces, &|piece| piece.fill(&x, isa));
            return Self::Narrow { rows, depth, of, tiles };
        }
        let mut tiles = zeroed_vec::<WideTile>(blocks * depth);
        let pieces = tiles.chunks_mut(depth.max(1)).enumerate().map(|(i, t)| Piece::Wide(i, t)).collect();
        each(pieces, &|piece| piece.fill(&x, isa));
        Self::Wide { rows, depth, tiles }
    }

    /// Tiles along the inner axis.
    fn depth(&self) -> usize {
        match self {
            Self::Narrow { depth, .. } | Self::Wide { depth, .. } => *depth,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Narrow { rows, .. } | Self::Wide { rows, .. } => *rows,
        }
    }
}

/// The tiles of one block of rows, to be filled.
enum Piece<'a> {
    Narrow(usize, &'a mut [Tile]),
    Wide(usize, &'a mut [WideTile]),
}

impl Piece<'_> {
    fn fill<T: Element>(self, x: &Matrix<'_, T>, isa: Isa) {
        isa.run(
            #[inline(always)]
            || self.fill_inlined(x),
        );
    }

    #[inline(always)]
    fn fill_inlined<T: Element>(self, x: &Matrix<'_, T>) {
        match self {
            Self::Narrow(block, tiles) => {
                for (col, tile) in tiles.iter_mut().enumerate() {
                    if x.strides[1] != 1
                        && let Some(dropped) = x.dropped(Half::Bf16, block * ROWS, col * DEPTH)
                    {
                        for (r, line) in tile.0.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                            for (i, pair) in line.iter_mut().enumerate() {
                                *pair = dropped.0[i * ROWS + r];
                            }
                        }
                        continue;
                    }
                    for (r, line) in tile.0.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                        *line = pairs(x.halves(Half::Bf16, block * ROWS + r, col * DEPTH));
                    }
                }
            }
            Self::Wide(block, tiles) => {
                for (col, tile) in tiles.iter_mut().enumerate() {
                    for (r, line) in tile.0.as_chunks_mut::<DEPTH>().0.iter_mut().enumerate() {
                        *line = x.wide(block * ROWS + r, col * DEPTH);
                    }
                }
            }
        }
    }
}

/// Two blocks of 16 rows from the one numbered `block`; where there is no second, the first again.
fn two<'a, T>(tiles: &'a [T], depth: usize, block: usize, along: &Range<usize>) -> [&'a [T]; 2] {
    let of = |block: usize| &tiles[block * depth + along.start..block * depth + along.end];
    let last = tiles.len() / depth - 1;
    [of(block), of((block + 1).min(last))]
}

/// Hands each block of 32 x 32 of x Wᵀ in the given ranges of blocks to `sink`, with its place.
///
/// What lies past the edges of a matrix is not to be looked at. The left side may end before the right one along the
/// inner axis, as probabilities do that see only the first keys.
pub fn multiply(
    left: &Left,
    row_blocks: Range<usize>,
    right: &Packed,
    col_blocks: Range<usize>,
    isa: Isa,
    mut sink: impl FnMut(usize, usize, &Block),
) {
    let depth = left.depth();
    assert!(depth <= right.depth(), "inner sizes of a product");
    // Where the inner axis is taken in one stretch, a block is done when its column is.
    let tall = row_blocks.len();
    let columns_held = if depth > DEPTH_AT_ONCE { col_blocks.len() } else { 1 };
    let mut sums = SUMS.take();
    if sums.len() < tall * columns_held {
        sums = zeroed_vec(tall * columns_held);
    }
    let mut work = Work::new(left, right, isa);
    for start in (0..depth).step_by(DEPTH_AT_ONCE) {
        let along = start..depth.min(start + DEPTH_AT_ONCE);
        for (c, col_block) in col_blocks.clone().enumerate() {
            let outs = &mut sums[c % columns_held * tall..][..tall];
            work.column(col_block, row_blocks.clone(), &along, outs);
            if along.end == depth {
                for (row_block, out) in row_blocks.clone().zip(outs) {
                    sink(row_block, col_block, out);
                }
            }
        }
    }
    SUMS.set(sums);
}

thread_local! {
    /// Output blocks in the making, kept from one product to the next.
    static SUMS: Cell<Vec<Block>> = const { Cell::new(Vec::new()) };
}

/// What one thread holds while it multiplies.
struct Work<'a> {
    left: &'a Left,
    right: &'a Packed,
    isa: Isa,
    /// Where there are tiles, and rows that are many: their padding is multiplied too.
    tiles: Option<amx::AmxTiles>,
    /// What is quantised is decoded into these.
    rooms: [Vec<Tile>; 2],
}

impl<'a> Work<'a> {
    fn new(left: &'a Left, right: &'a Packed, isa: Isa) -> Self {
        let are_many = matches!(left, Left::Narrow { of: RowsOf::Whole, .. });
        let tiles = (isa == Isa::Amx && are_many).then(amx::AmxTiles::configure);
        Self { left, right, isa, tiles, rooms: [Vec::new(), Vec::new()] }
    }

    /// One block of columns for some blocks of rows, over a stretch of the inner axis: added to `outs` but for the
    /// first stretch.
    fn column(
        &mut self,
        col_block: usize,
        row_blocks: Range<usize>,
        along: &Range<usize>,
        outs: &mut [Block],
    ) {
        let Self { left, right, isa, tiles, rooms } = self;
        let (isa, add) = (*isa, along.start > 0);
        let last_col = right.dims().0.div_ceil(ROWS) - 1;
        let cols = [2 * col_block, (2 * col_block + 1).min(last_col)];
        let blocks = row_blocks.map(|block| (block, BLOCK.min(left.rows() - block * BLOCK))).zip(outs);
        match left {
            Left::Narrow { depth, tiles: left, .. } => {
                let [room0, room1] = rooms;
                let b = [
                    right.panel(cols[0], along.clone(), room0, isa),
                    right.panel(cols[1], along.clone(), room1, isa),
                ];
                for ((row_block, rows), out) in blocks {
                    let a = two(left, *depth, 2 * row_block, along);
                    match tiles {
                        Some(tiles) => tiles.multiply(a, b, out, add),
                        None => avx512::multiply(a, b, rows, out, add),
                    }
                }
            }
            Left::Wide { depth, tiles: left, .. } => {
                let [first, second] = cols.map(|col| right.range(col, along.clone()));
                for ((row_block, rows), out) in blocks {
                    let a = two(left, *depth, 2 * row_block, along);
                    let (first, second) = (first.clone(), second.clone());
                    match right.tiles() {
                        Tiles::Half(Half::Bf16, t) => {
                            widening::multiply::<AsBf16>(isa, a, [&t[first], &t[second]], rows, out, add);
                        }
                        Tiles::Half(Half::F16, t) => {
                            widening::multiply::<AsF16>(isa, a, [&t[first], &t[second]], rows, out, add);
                        }
                        Tiles::Q8(t) => {
                            widening::multiply::<AsQ8>(isa, a, [&t[first], &t[second]], rows, out, add);
                        }
                        Tiles::Q4(t) => {
                            widening::multiply::<AsQ4>(isa, a, [&t[first], &t[second]], rows, out, add);
                        }
                    }
                }
            }
        }
    }
}
