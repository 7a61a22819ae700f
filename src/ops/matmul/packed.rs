//! Matrices laid out once for the kernels: the right side of x Wᵀ, in 16 bits or quantised.

use rayon::prelude::*;

use super::code::{AsQ4, AsQ8, decode};
use super::quant::{Codes, Q4Tile, Q8Tile};
use super::tiles::{DEPTH, Half, ROWS, Tile};
use crate::ops::element::Element;
use crate::ops::isa::Isa;

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 16 bits each.
    Half(Half),
    /// 8 bits each and a scale for 32 of them.
    Q8,
    /// 4 bits each, a scale and a lowest value for 32 of them.
    Q4,
}

impl Format {
    /// Bytes that a matrix of so many rows and columns takes.
    pub fn bytes(self, rows: usize, cols: usize) -> usize {
        let tiles = rows.div_ceil(ROWS) * cols.div_ceil(DEPTH);
        tiles
            * match self {
                Self::Half(_) => size_of::<Tile>(),
                Self::Q8 => size_of::<Q8Tile>(),
                Self::Q4 => size_of::<Q4Tile>(),
            }
    }
}

#[derive(Debug)]
pub(super) enum Tiles {
    Half(Half, Vec<Tile>),
    Q8(Vec<Q8Tile>),
    Q4(Vec<Q4Tile>),
}

/// A matrix [rows, cols] as tiles, by blocks of 16 rows, then along the columns; what is past its edges is zero.
#[derive(Debug)]
pub struct Packed {
    rows: usize,
    cols: usize,
    tiles: Tiles,
}

/// A matrix in memory, any two strides.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    /// Its values, the first at the start.
    pub data: &'a [T],
    /// [rows, cols].
    pub dims: [usize; 2],
    /// Distance between rows, between columns.
    pub strides: [usize; 2],
}

impl<'a, T: Element> Matrix<'a, T> {
    /// Rows one after the other.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "values of a matrix of {rows} x {cols}");
        Self { data, dims: [rows, cols], strides: [cols, 1] }
    }

    /// The value at a place; zero past the edges.
    #[inline(always)]
    fn get(&self, row: usize, col: usize) -> T {
        if row < self.dims[0] && col < self.dims[1] {
            self.data[row * self.strides[0] + col * self.strides[1]]
        } else {
            T::default()
        }
    }

    /// A whole line of 32 numbers of a row, as they lie, where the row has them side by side.
    #[inline(always)]
    fn run(&self, row: usize, col: usize) -> Option<&'a [T; DEPTH]> {
        if row >= self.dims[0] || col + DEPTH > self.dims[1] || self.strides[1] != 1 {
            return None;
        }
        self.data.get(row * self.strides[0] + col..)?.first_chunk()
    }

    /// The same matrix with rows as columns.
    #[must_use]
    pub fn t(self) -> Self {
        let ([rows, cols], [down, across]) = (self.dims, self.strides);
        Self { data: self.data, dims: [cols, rows], strides: [across, down] }
    }

    /// 16 numbers of a column from a row on, as they lie, where the column has them side by side.
    #[inline(always)]
    fn drop(&self, row: usize, col: usize) -> Option<&'a [T; ROWS]> {
        if col >= self.dims[1] || row + ROWS > self.dims[0] || self.strides[0] != 1 {
            return None;
        }
        self.data.get(row + col * self.strides[1]..)?.first_chunk()
    }

    /// A tile of the right side whose columns have their numbers side by side; none where they do not.
    #[inline(always)]
    pub(super) fn dropped(&self, half: Half, row: usize, col: usize) -> Option<Tile> {
        let narrow = |value: T| match half {
            Half::Bf16 => value.bf16_bits(),
            Half::F16 => half.narrow(value.wide()),
        };
        let mut tile = Tile::ZERO;
        for (i, line) in tile.0.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            let col = col + 2 * i;
            if col >= self.dims[1] {
                break;
            }
            let even = self.drop(row, col)?;
            for r in 0..ROWS {
                line[r] = u32::from(narrow(even[r]));
            }
            if let Some(odd) = self.drop(row, col + 1) {
                for r in 0..ROWS {
                    line[r] |= u32::from(narrow(odd[r])) << 16;
                }
            }
        }
        Some(tile)
    }

    /// 32 numbers of a row from a column on, narrowed.
    #[inline(always)]
    pub(super) fn halves(&self, half: Half, row: usize, col: usize) -> [u16; DEPTH] {
        let narrow = |value: T| match half {
            Half::Bf16 => value.bf16_bits(),
            Half::F16 => half.narrow(value.wide()),
        };
        let mut out = [0; DEPTH];
        // Indices, here and below: iterators in pairs are not inlined everywhere, and this runs for every 32 numbers.
        if let Some(run) = self.run(row, col) {
            for i in 0..DEPTH {
                out[i] = narrow(run[i]);
            }
        } else {
            for (i, out) in out.iter_mut().enumerate() {
                *out = narrow(self.get(row, col + i));
            }
        }
        out
    }

    /// The same as f32.
    #[inline(always)]
    pub(super) fn wide(&self, row: usize, col: usize) -> [f32; DEPTH] {
        let mut out = [0.0; DEPTH];
        if let Some(run) = self.run(row, col) {
            for i in 0..DEPTH {
                out[i] = run[i].wide();
            }
        } else {
            for (i, out) in out.iter_mut().enumerate() {
                *out = self.get(row, col + i).wide();
            }
        }
        out
    }
}

#[inline(always)]
pub(super) fn pairs(halves: [u16; DEPTH]) -> [u32; ROWS] {
    let mut out = [0; ROWS];
    for (i, out) in out.iter_mut().enumerate() {
        *out = u32::from(halves[2 * i]) | u32::from(halves[2 * i + 1]) << 16;
    }
    out
}

impl Packed {
    /// Lays a matrix out.
    pub fn new<T: Element>(matrix: Matrix<'_, T>, format: Format) -> Self {
        let [rows, cols] = matrix.dims;
        let tiles = match format {
            Format::Half(half) => Tiles::Half(half, pack(rows, cols, |r, c| half_tile(&matrix, half, r, c))),
            Format::Q8 => Tiles::Q8(pack(rows, cols, |r, c| Q8Tile::new(&wide_rows(&matrix, r, c)))),
            Format::Q4 => Tiles::Q4(pack(rows, cols, |r, c| Q4Tile::new(&wide_rows(&matrix, r, c)))),
        };
        Self { rows, cols, tiles }
    }

    /// Takes a matrix [rows, cols] that is whole numbers already, where a format holds it as it is: nothing is rounded.
    pub fn of_codes(codes: Codes<'_>, rows: usize, cols: usize, format: Format) -> Option<Self> {
        let dims = [rows, cols];
        let tiles = match format {
            Format::Q8 if codes.fits_q8() => {
                Tiles::Q8(pack(rows, cols, |r, c| Q8Tile::of_codes(codes, dims, r, c)))
            }
            Format::Q4 if codes.fits_q4() => {
                Tiles::Q4(pack(rows, cols, |r, c| Q4Tile::of_codes(codes, dims, r, c)))
            }
            _ => return None,
        };
        Some(Self { rows, cols, tiles })
    }

    /// [rows, cols].
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// How its numbers are stored.
    pub fn format(&self) -> Format {
        match &self.tiles {
            Tiles::Half(half, _) => Format::Half(*half),
            Tiles::Q8(_) => Format::Q8,
            Tiles::Q4(_) => Format::Q4,
        }
    }

    /// Memory it holds, in bytes.
    pub fn bytes(&self) -> usize {
        self.format().bytes(self.rows, self.cols)
    }

    /// The 16-bit type its tiles are handed out in.
    pub fn half(&self) -> Half {
        match &self.tiles {
            Tiles::Half(half, _) => *half,
            Tiles::Q8(_) | Tiles::Q4(_) => Half::Bf16,
        }
    }

    /// Tiles along the columns.
    pub(super) fn depth(&self) -> usize {
        self.cols.div_ceil(DEPTH)
    }

    pub(super) fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// Tiles of a block of 16 rows, from one along the columns to another, in 16 bits; what is quantised is
    /// decoded into `room` first.
    pub(super) fn panel<'a>(
        &'a self,
        block: usize,
        along: std::ops::Range<usize>,
        room: &'a mut Vec<Tile>,
        isa: Isa,
    ) -> &'a [Tile] {
        let range = self.range(block, along);
        room.clear();
        match &self.tiles {
            Tiles::Half(_, tiles) => return &tiles[range],
            Tiles::Q8(tiles) => decode::<AsQ8>(&tiles[range], room, isa),
            Tiles::Q4(tiles) => decode::<AsQ4>(&tiles[range], room, isa),
        }
        room
    }

    /// Where the tiles of a block of 16 rows lie.
    pub(super) fn range(&self, block: usize, along: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let first = block * self.depth();
        first + along.start..first + along.end
    }

    /// One row as f32, into `out` of as many columns.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.cols, "row {row} of {:?}", self.dims());
        let mut room = Vec::new();
        let half = self.half();
        let panel = self.panel(row / ROWS, 0..self.depth(), &mut room, Isa::best());
        for (out, tile) in out.chunks_mut(DEPTH).zip(panel) {
            for (i, out) in out.iter_mut().enumerate() {
                let pair = tile.line(i / 2)[row % ROWS];
                *out = half.widen((if i % 2 == 0 { pair } else { pair >> 16 }) as u16);
            }
        }
    }
}

/// One tile for each block of 16 rows and 32 columns, on all threads.
fn pack<T: Send>(rows: usize, cols: usize, tile: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let depth = cols.div_ceil(DEPTH).max(1);
    let count = rows.div_ceil(ROWS) * cols.div_ceil(DEPTH);
    let one = |i: usize| {
        Isa::best().run(
            #[inline(always)]
            || tile(i / depth * ROWS, i % depth * DEPTH),
        )
    };
    // Small matrices are packed where they are needed, often inside a parallel loop.
    if count < 256 {
        return (0..count).map(one).collect();
    }
    (0..count).into_par_iter().with_min_len(64).map(one).collect()
}

#[inline(always)]
fn half_tile<T: Element>(matrix: &Matrix<'_, T>, half: Half, row: usize, col: usize) -> Tile {
    if matrix.strides[1] != 1
        && let Some(tile) = matrix.dropped(half, row, col)
    {
        return tile;
    }
    let mut tile = Tile::ZERO;
    for r in 0..ROWS {
        let pairs = pairs(matrix.halves(half, row + r, col));
        for (i, pair) in pairs.into_iter().enumerate() {
            tile.0[i * ROWS + r] = pair;
        }
    }
    tile
}

fn wide_rows<T: Element>(matrix: &Matrix<'_, T>, row: usize, col: usize) -> [[f32; DEPTH]; ROWS] {
    std::array::from_fn(|r| matrix.wide(row + r, col))
}
