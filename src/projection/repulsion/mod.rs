//! What pushes all points of a layout apart: sums over all pairs, in as many ways as there are sizes of layouts.

pub mod plain;
pub mod spline;

pub use self::plain::Plain;
pub use self::spline::Spline;

use super::rows::Point;

/// Forces of all points on each, not yet normalised.
pub trait Repulsion {
    /// Writes `Σ_j (1 + |y_i - y_j|²)⁻² (y_i - y_j)` for each i to `forces`, and returns
    /// `Z = Σ_{i≠j} (1 + |y_i - y_j|²)⁻¹` (van der Maaten and Hinton 2008, JMLR 9).
    fn repel(&mut self, map: &[Point], forces: &mut [Point]) -> f64;
}
