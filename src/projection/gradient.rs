//! Which way a layout goes down: what pulls neighbours together, what pushes all apart.

use rayon::prelude::*;

use super::affinities::Affinities;
use super::repulsion::Repulsion;
use super::rows::Point;
use crate::error::Result;

/// The divergence of layouts of some affinities, and its slopes.
pub trait Gradient {
    /// Writes dKL/dy to `slopes`, attraction multiplied by `exaggeration`:
    /// `4 (exaggeration Σ_j p_ij (1 + d²)⁻¹ (y_i - y_j) - Σ_j (1 + d²)⁻² (y_i - y_j) / Z)`
    /// (van der Maaten and Hinton 2008, JMLR 9).
    ///
    /// # Errors
    /// A device that is lost.
    fn slopes(&mut self, map: &[Point], exaggeration: f64, slopes: &mut [Point]) -> Result<()>;

    /// KL(P || Q) = Σ p log(p / q).
    ///
    /// # Errors
    /// A device that is lost.
    fn divergence(&mut self, map: &[Point]) -> Result<f64>;

    /// Something the user should know, in one sentence, once.
    fn note(&mut self) -> Option<String> {
        None
    }
}

/// On the processor, in double precision.
pub struct Host<'a, R> {
    affinities: &'a Affinities,
    repulsion: R,
}

impl<'a, R: Repulsion> Host<'a, R> {
    /// Of these affinities.
    pub fn new(affinities: &'a Affinities, repulsion: R) -> Self {
        Self { affinities, repulsion }
    }
}

impl<R: Repulsion> Gradient for Host<'_, R> {
    fn slopes(&mut self, map: &[Point], exaggeration: f64, slopes: &mut [Point]) -> Result<()> {
        let sum = self.repulsion.repel(map, slopes);
        slopes.par_iter_mut().enumerate().for_each(|(i, slope)| {
            let (at, mut pull) = (map[i], [0.0; 2]);
            let (columns, values) = self.affinities.row(i);
            for (column, p) in columns.iter().zip(values) {
                let other = map[*column as usize];
                let (dx, dy) = (at[0] - other[0], at[1] - other[1]);
                let weight = f64::from(*p) / (1.0 + dx * dx + dy * dy);
                pull[0] += weight * dx;
                pull[1] += weight * dy;
            }
            for axis in 0..2 {
                slope[axis] = 4.0 * (exaggeration * pull[axis] - slope[axis] / sum);
            }
        });
        Ok(())
    }

    fn divergence(&mut self, map: &[Point]) -> Result<f64> {
        let mut forces = vec![[0.0; 2]; map.len()];
        let sum = self.repulsion.repel(map, &mut forces);
        Ok(divergence(self.affinities, map, sum))
    }
}

/// KL(P || Q) of a layout whose Z is known.
pub fn divergence(affinities: &Affinities, map: &[Point], sum: f64) -> f64 {
    let one = |i: usize| {
        let (columns, values) = affinities.row(i);
        let far = |column: &u32| {
            let other = map[*column as usize];
            (map[i][0] - other[0]).powi(2) + (map[i][1] - other[1]).powi(2)
        };
        columns
            .iter()
            .zip(values)
            .map(|(column, p)| f64::from(*p) * (sum * (1.0 + far(column))).ln())
            .sum::<f64>()
    };
    let cross: Vec<f64> = (0..map.len()).into_par_iter().map(one).collect();
    affinities.negative_entropy() + cross.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::neighbours;
    use super::super::repulsion::{Plain, Spline};
    use super::*;
    use crate::progress::Unobserved;

    fn affinities(count: usize) -> Affinities {
        let x: Vec<f32> = (0..count * 3).map(|i| ((i * 7919) % 101) as f32 / 101.0).collect();
        let near = neighbours::exact(&x, 3, 15, &Unobserved).unwrap();
        Affinities::new(&near, 5.0).unwrap()
    }

    fn map(count: usize) -> Vec<Point> {
        (0..count).map(|i| [((i * 31) % 47) as f64 / 5.0, ((i * 17) % 53) as f64 / 4.0]).collect()
    }

    #[test]
    fn slopes_are_those_of_the_divergence() {
        let (affinities, map) = (affinities(60), map(60));
        let mut host = Host::new(&affinities, Plain);
        let mut slopes = vec![[0.0; 2]; 60];
        host.slopes(&map, 1.0, &mut slopes).unwrap();
        let at = |i: usize, axis: usize, step: f64| {
            let mut moved = map.clone();
            moved[i][axis] += step;
            Host::new(&affinities, Plain).divergence(&moved).unwrap()
        };
        for i in (0..60).step_by(7) {
            for (axis, found) in slopes[i].iter().enumerate() {
                let slope = (at(i, axis, 1e-4) - at(i, axis, -1e-4)) / 2e-4;
                assert!((slope - found).abs() < 1e-7, "{slope} {found}");
            }
        }
    }

    #[test]
    fn the_fast_engine_has_the_same_slopes() {
        let (affinities, map) = (affinities(400), map(400));
        for exaggeration in [1.0, 12.0] {
            let mut both = [vec![[0.0; 2]; 400], vec![[0.0; 2]; 400]];
            Host::new(&affinities, Plain).slopes(&map, exaggeration, &mut both[0]).unwrap();
            Host::new(&affinities, Spline::default()).slopes(&map, exaggeration, &mut both[1]).unwrap();
            let square = |points: &mut dyn Iterator<Item = f64>| points.map(|v| v * v).sum::<f64>();
            let off = square(&mut both[0].iter().zip(&both[1]).flat_map(|(a, b)| [a[0] - b[0], a[1] - b[1]]));
            let all = square(&mut both[0].iter().flatten().copied());
            assert!((off / all).sqrt() < 1e-4, "{:.1e}", (off / all).sqrt());
        }
    }
}
