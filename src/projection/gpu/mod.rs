//! Forces on a graphics card, in single precision: the same sums as on the processor.

mod device;
mod field;

use rayon::prelude::*;

use self::device::Forces;
pub use self::device::{Card, Need};
use self::field::Field;
use super::affinities::Affinities;
use super::gradient::{Gradient, Host, divergence};
use super::repulsion::Spline;
use super::repulsion::spline::bounds;
use super::rows::Point;
use crate::error::Result;

/// Points from which a grid is taken rather than all pairs.
const MANY: usize = 20_000;

/// On a graphics card; on the processor from where the card fails.
pub struct GpuGradient<'a> {
    affinities: &'a Affinities,
    card: Option<Card>,
    field: Option<Field>,
    note: Option<String>,
}

impl<'a> GpuGradient<'a> {
    /// On the best card there is, or on the processor with a note why.
    pub fn new(affinities: &'a Affinities) -> Self {
        let by_grid = affinities.count() >= MANY;
        Self::with(affinities, by_grid, Card::open(Need::new(affinities, by_grid)))
    }

    /// On this card, all pairs or by a grid.
    pub fn with(affinities: &'a Affinities, by_grid: bool, card: Result<Card, String>) -> Self {
        let loaded = card.and_then(|mut card| {
            card.load(affinities)?;
            Ok(card)
        });
        match loaded {
            Ok(card) => {
                let field = by_grid.then(|| Field::new(&card));
                Self { affinities, card: Some(card), field, note: None }
            }
            Err(problem) => {
                Self { affinities, card: None, field: None, note: Some(on_the_processor(&problem)) }
            }
        }
    }

    /// Is it on a card?
    pub fn is_on_card(&self) -> bool {
        self.card.is_some()
    }

    /// Pulls and pushes of all points, or None once the card has failed.
    fn forces(&mut self, map: &[Point]) -> Option<Forces> {
        let card = self.card.as_ref()?;
        let (middle, extent) = bounds(map);
        let places: Vec<[f32; 2]> =
            map.iter().map(|p| [(p[0] - middle[0]) as f32, (p[1] - middle[1]) as f32]).collect();
        let found = match &mut self.field {
            Some(field) => field.forces(card, &places, extent),
            None => card.forces_of_pairs(&places),
        };
        match found {
            Ok(forces) => Some(forces),
            Err(problem) => {
                (self.card, self.field) = (None, None);
                self.note = Some(on_the_processor(&problem));
                None
            }
        }
    }
}

fn on_the_processor(problem: &str) -> String {
    format!("the layout is made on the processor: {problem}")
}

/// Σ over points of what each adds to Z.
fn sum(pushes: &[[f32; 4]]) -> f64 {
    pushes.iter().map(|push| f64::from(push[2])).sum()
}

impl Gradient for GpuGradient<'_> {
    fn slopes(&mut self, map: &[Point], exaggeration: f64, slopes: &mut [Point]) -> Result<()> {
        let Some((pulls, pushes)) = self.forces(map) else {
            return Host::new(self.affinities, Spline::default()).slopes(map, exaggeration, slopes);
        };
        let sum = sum(&pushes);
        slopes.par_iter_mut().zip(pulls).zip(pushes).for_each(|((slope, pull), push)| {
            for axis in 0..2 {
                slope[axis] = 4.0 * (exaggeration * f64::from(pull[axis]) - f64::from(push[axis]) / sum);
            }
        });
        Ok(())
    }

    fn divergence(&mut self, map: &[Point]) -> Result<f64> {
        match self.forces(map) {
            Some((_, pushes)) => Ok(divergence(self.affinities, map, sum(&pushes))),
            None => Host::new(self.affinities, Spline::default()).divergence(map),
        }
    }

    fn note(&mut self) -> Option<String> {
        self.note.take()
    }
}

#[cfg(test)]
mod tests {
    use super::super::neighbours;
    use super::super::repulsion::Plain;
    use super::*;
    use crate::progress::Unobserved;

    fn affinities(count: usize) -> Affinities {
        let x: Vec<f32> = (0..count * 3).map(|i| ((i * 7919) % 1009) as f32 / 101.0).collect();
        let near = neighbours::exact(&x, 3, 15, &Unobserved).unwrap();
        Affinities::new(&near, 5.0).unwrap()
    }

    fn map(count: usize, extent: f64) -> Vec<Point> {
        let at = |i: usize, factor: usize| ((i * factor) % 997) as f64 / 997.0 * extent + 3.0;
        (0..count).map(|i| [at(i, 31), at(i, 577)]).collect()
    }

    fn slopes(gradient: &mut dyn Gradient, map: &[Point]) -> Vec<Point> {
        let mut slopes = vec![[0.0; 2]; map.len()];
        gradient.slopes(map, 4.0, &mut slopes).unwrap();
        slopes
    }

    fn error(found: &[Point], exact: &[Point]) -> f64 {
        let square = |points: &mut dyn Iterator<Item = f64>| points.map(|v| v * v).sum::<f64>();
        let off = square(&mut found.iter().zip(exact).flat_map(|(a, b)| [a[0] - b[0], a[1] - b[1]]));
        (off / square(&mut exact.iter().flatten().copied())).sqrt()
    }

    fn on_card(affinities: &Affinities, by_grid: bool) -> GpuGradient<'_> {
        let mut gpu = GpuGradient::with(affinities, by_grid, Card::open(Need::new(affinities, by_grid)));
        assert!(gpu.is_on_card(), "{:?}", gpu.note());
        gpu
    }

    #[test]
    fn slopes_are_those_of_the_processor() {
        let affinities = affinities(700);
        for by_grid in [false, true] {
            let mut gpu = on_card(&affinities, by_grid);
            for extent in [1e-3, 8.0, 60.0] {
                let map = map(700, extent);
                let mut host = Host::new(&affinities, Plain);
                let off = error(&slopes(&mut gpu, &map), &slopes(&mut host, &map));
                assert!(off < 1e-4, "grid {by_grid}, extent {extent}: {off:.1e}");
                let (found, exact) = (gpu.divergence(&map).unwrap(), host.divergence(&map).unwrap());
                assert!((found / exact - 1.0).abs() < 1e-4, "{found} {exact}");
            }
            assert!(gpu.is_on_card());
        }
    }

    #[test]
    fn without_a_card_the_processor_does_it_and_that_is_said() {
        let (affinities, map) = (affinities(300), map(300, 20.0));
        let exact = slopes(&mut Host::new(&affinities, Plain), &map);
        let mut none = GpuGradient::with(&affinities, false, Err("there is no graphics device".to_owned()));
        assert_eq!(none.note().unwrap(), "the layout is made on the processor: there is no graphics device");
        assert_eq!(none.note(), None);
        assert!(error(&slopes(&mut none, &map), &exact) < 1e-4);
        let mut lost = on_card(&affinities, false);
        lost.card.as_ref().unwrap().device.destroy();
        assert!(error(&slopes(&mut lost, &map), &exact) < 1e-4);
        assert!(!lost.is_on_card() && lost.note().unwrap().contains("graphics device was lost"));
    }
}
