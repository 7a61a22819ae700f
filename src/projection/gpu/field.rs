//! Pushes read off a grid, on the card.

use rustfft::FftPlanner;
use wgpu::{Buffer, BufferUsages};

use super::super::repulsion::spline::{CLOSEST, GAP, MARGIN, WIDEST, kernels};
use super::device::{Card, Dispatch, Forces, MOST_PADDED, Params};

/// A grid on a card.
pub struct Field {
    planner: FftPlanner<f64>,
    order: Buffer,
    cells: Buffer,
    kernels: Buffer,
    waves: Buffer,
    spread: Dispatch,
    /// Rows and columns there, columns and rows back.
    transforms: [Dispatch; 4],
    convolve: Dispatch,
    read: Dispatch,
    made: Option<(usize, f64)>,
}

impl Field {
    /// For the points a card was given.
    pub fn new(card: &Card) -> Self {
        let size = MOST_PADDED * MOST_PADDED;
        let grid = card.empty("grid", 2 * size * 8, BufferUsages::empty());
        let kernels = card.empty("kernels", size * 8, BufferUsages::COPY_DST);
        let waves = card.empty("waves", MOST_PADDED / 2 * 8, BufferUsages::COPY_DST);
        let cells = card.empty("cells", (size / 4 + 1) * 4, BufferUsages::COPY_DST);
        let order = card.empty("order", card.places().size() as usize / 2, BufferUsages::COPY_DST);
        let (params, places) = (&card.params, card.places());
        let transform = |along_columns: bool, back: bool| {
            let constants =
                [("ALONG_COLUMNS", f64::from(u8::from(along_columns))), ("BACK", f64::from(u8::from(back)))];
            card.step("transform", &constants, &[(0, params), (9, &grid), (11, &waves)])
        };
        Self {
            planner: FftPlanner::new(),
            spread: card.step(
                "spread",
                &[],
                &[(0, params), (1, places), (7, &order), (8, &cells), (9, &grid)],
            ),
            transforms: [
                transform(false, false),
                transform(true, false),
                transform(true, true),
                transform(false, true),
            ],
            convolve: card.step("convolve", &[], &[(0, params), (9, &grid), (10, &kernels)]),
            read: card.step("repel_field", &[], &[(0, params), (1, places), (6, card.pushes()), (9, &grid)]),
            order,
            cells,
            kernels,
            waves,
            made: None,
        }
    }

    /// Forces on points about their middle, [N], that reach over `extent`.
    ///
    /// # Errors
    /// In a clause, where the card is lost.
    pub fn forces(&mut self, card: &Card, places: &[[f32; 2]], extent: f64) -> Result<Forces, String> {
        let (nodes, padded, spacing) = self.fit(card, extent);
        let corner = -(MARGIN as f64).mul_add(spacing, extent / 2.0) as f32;
        let (order, cells) = in_cells(places, nodes, corner, spacing as f32);
        card.queue.write_buffer(&self.order, 0, bytemuck::cast_slice(&order));
        card.queue.write_buffer(&self.cells, 0, bytemuck::cast_slice(&cells));
        let params = Params {
            count: places.len() as u32,
            nodes: nodes as u32,
            padded: padded as u32,
            log_padded: padded.ilog2(),
            corner,
            spacing: spacing as f32,
            ..Params::default()
        };
        let side = padded as u32;
        let squares = [side.div_ceil(16); 2];
        card.forces(places, params, |encoder| {
            self.spread.run(encoder, squares);
            let [rows, columns, columns_back, rows_back] = &self.transforms;
            rows.run(encoder, [side, 2]);
            columns.run(encoder, [side, 2]);
            self.convolve.run(encoder, squares);
            columns_back.run(encoder, [side, 2]);
            rows_back.run(encoder, [side, 2]);
            self.read.run(encoder, card.groups());
        })
    }

    /// Nodes, nodes with room, and their distance; makes the kernels where they are others than before.
    fn fit(&mut self, card: &Card, extent: f64) -> (usize, usize, f64) {
        let nodes = |padded: usize| (padded - GAP) / 2;
        let intervals = |padded: usize| (nodes(padded) - 2 * MARGIN - 2) as f64;
        // The smallest grid that is fine enough; where none is, the largest.
        let sizes = [128, 256, 512, 1024];
        let is_fine =
            |padded: &usize| extent / intervals(*padded) <= if *padded < 1024 { CLOSEST } else { WIDEST };
        let padded = sizes.into_iter().find(is_fine).unwrap_or(MOST_PADDED);
        // Distances in steps of a tenth, so that kernels serve for a while.
        let least = extent / intervals(padded);
        let spacing = 1.1f64.powf((least.ln() / 1.1f64.ln()).ceil());
        if self.made != Some((padded, spacing)) {
            let spectra: Vec<[f32; 2]> = kernels(&mut self.planner, padded, spacing)
                .iter()
                .map(|v| [v.re as f32, v.im as f32])
                .collect();
            card.queue.write_buffer(&self.kernels, 0, bytemuck::cast_slice(&spectra));
            let wave = |k: usize| {
                let angle = -std::f64::consts::TAU * k as f64 / padded as f64;
                [angle.cos() as f32, angle.sin() as f32]
            };
            let waves: Vec<[f32; 2]> = (0..padded / 2).map(wave).collect();
            card.queue.write_buffer(&self.waves, 0, bytemuck::cast_slice(&waves));
            self.made = Some((padded, spacing));
        }
        (nodes(padded), padded, spacing)
    }
}

/// Points in the order of their cells, row by row, and where each cell begins, [nodes² + 1].
fn in_cells(places: &[[f32; 2]], nodes: usize, corner: f32, spacing: f32) -> (Vec<u32>, Vec<u32>) {
    let cell = |place: &[f32; 2]| {
        let [col, row] = place.map(|v| (((v - corner) / spacing) as usize).min(nodes - 1));
        row * nodes + col
    };
    let cells: Vec<usize> = places.iter().map(cell).collect();
    let mut starts = vec![0u32; nodes * nodes + 1];
    for cell in &cells {
        starts[cell + 1] += 1;
    }
    for i in 0..nodes * nodes {
        starts[i + 1] += starts[i];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; places.len()];
    for (point, cell) in cells.iter().enumerate() {
        order[next[*cell] as usize] = point as u32;
        next[*cell] += 1;
    }
    (order, starts)
}
