//! All pairs, one by one: the yardstick, and the fastest for small layouts.

use rayon::prelude::*;

use super::super::rows::Point;
use super::Repulsion;
/// All pairs, in double precision.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Repulsion for Plain {
    fn repel(&mut self, map: &[Point], forces: &mut [Point]) -> f64 {
        let sums: Vec<f64> = map
            .par_iter()
            .zip(forces)
            .map(|(at, force)| {
                let (mut sum, mut push) = (0.0, [0.0; 2]);
                for other in map {
                    let (dx, dy) = (at[0] - other[0], at[1] - other[1]);
                    let near = 1.0 / (1.0 + dx * dx + dy * dy);
                    sum += near;
                    push[0] += near * near * dx;
                    push[1] += near * near * dy;
                }
                *force = push;
                // Without the point itself.
                sum - 1.0
            })
            .collect();
        sums.iter().sum()
    }
}
