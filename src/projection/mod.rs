//! From states of thousands of dimensions to a layout of two: principal components, neighbours, affinities, t-SNE.

pub mod affinities;
pub mod align;
pub mod geometry;
pub mod gpu;
pub mod gradient;
pub mod neighbours;
pub mod pca;
pub mod pick;
pub mod probe;
pub mod products;
pub mod quality;
pub mod repulsion;
pub mod rows;
pub mod tsne;

use std::time::Instant;

use rand::RngExt;
use serde::{Deserialize, Deserializer, Serialize};

use self::affinities::Affinities;
use self::gpu::GpuGradient;
use self::gradient::{Gradient, Host};
use self::neighbours::Neighbours;
use self::pca::Components;
use self::repulsion::{Plain, Spline};
use self::rows::{Point, Rows, Scaled};
use self::tsne::{DescentSchedule, Tsne};
use crate::error::{Error, Result};
use crate::progress::Observer;
use crate::random::stream;

/// What makes the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutEngine {
    /// On the processor: all pairs of few points, of many at a cost that grows with their number.
    #[default]
    Cpu,
    /// On a graphics card, or where there is none that can, on the processor.
    Wgpu,
    /// On the processor, all pairs.
    Exact,
}

/// Where the points of a layout begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Along the first two principal components.
    #[default]
    Pca,
    /// Anywhere.
    Random,
}

/// How states become a layout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// How many neighbours count, about.
    pub perplexity: f64,
    /// Principal components that distances are taken in; all dimensions where none are asked for.
    pub components: Option<usize>,
    /// Where points begin.
    pub init: Init,
    /// What makes the layout.
    pub engine: LayoutEngine,
    /// One seed, one layout.
    pub seed: u64,
    /// How the layout is moved.
    pub schedule: DescentSchedule,
}

impl Default for Options {
    fn default() -> Self {
        let schedule = DescentSchedule::default();
        Self {
            perplexity: 30.0,
            components: Some(50),
            init: Init::Pca,
            engine: LayoutEngine::Cpu,
            seed: 0,
            schedule,
        }
    }
}

/// Seconds by stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Principal components.
    pub components: f64,
    /// Neighbours.
    pub neighbours: f64,
    /// Affinities.
    pub affinities: f64,
    /// All steps of the layout.
    pub map: f64,
}

/// A layout that is made.
#[derive(Debug, Clone)]
pub struct LaidOut {
    /// [N].
    pub places: Vec<[f32; 2]>,
    /// KL(P || Q).
    pub divergence: f64,
    /// By stage.
    pub seconds: Seconds,
}

/// The nearest of some states among all, by the states as they are: what layouts are judged by, whatever components they were
/// made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Yardstick {
    /// Numbers of the states asked, ascending; all of few.
    pub asked: Vec<usize>,
    /// Of each, nearest first.
    pub near: Vec<Vec<u32>>,
}

/// Reads a number that is not known, which JSON has no word for, as it was written: as null.
pub(crate) fn nan_where_null<'de, D: Deserializer<'de>>(file: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(file)?.unwrap_or(f64::NAN))
}

/// How much of the states' neighbourhoods a layout keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Neighbours that were compared.
    pub neighbours: usize,
    /// Points it was asked of, evenly among all.
    pub asked: usize,
    /// Share of each point's nearest states that are among its nearest on the layout.
    pub recall: f64,
    /// 1 where no stranger is near on the layout.
    pub trustworthiness: f64,
    /// Of groups, from -1 to 1; None where there is only one.
    pub silhouette: Option<f64>,
    /// Share of the states' nearest that the layout was made with; None where all were compared with all.
    pub found: Option<f64>,
}

/// What a layout is made of: done once, whatever layout is made of it.
pub struct Prepared {
    /// The states along their components, [N, C], or as they are.
    pub points: Components,
    /// Along the first two, where they are as they are.
    axes: Option<Components>,
    /// Of each state.
    pub neighbours: Neighbours,
    /// Who is near whom.
    pub affinities: Affinities,
    /// Seconds so far.
    pub seconds: Seconds,
}

/// Fewer have no neighbourhoods to speak of.
const FEWEST: usize = 5;
/// Neighbours of a point for each of the perplexity.
const NEIGHBOURS: f64 = 3.0;

/// Components, neighbours and affinities of states.
///
/// # Errors
/// Too few states, a perplexity that so many cannot have, states that are no numbers, a stop.
pub fn prepare(states: &dyn Rows, options: &Options, observer: &dyn Observer) -> Result<Prepared> {
    let count = states.count();
    if count < FEWEST {
        return Err(Error::Request(format!("a layout: expected at least {FEWEST} points, found {count}")));
    }
    if !(options.perplexity >= 1.0 && options.perplexity < count as f64) {
        return Err(Error::Request(format!(
            "perplexity: expected a number from 1 to less than the {count} points, found {}",
            options.perplexity
        )));
    }
    let mut seconds = Seconds::default();
    let clock = Instant::now();
    let states: &dyn Rows = &Scaled::new(states)?;
    let (points, axes) = match options.components {
        Some(count) => (pca::principal(states, count.max(2), options.seed, observer)?, None),
        None => (pca::whole(states)?, Some(pca::principal(states, 2, options.seed, observer)?)),
    };
    seconds.components = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let k = ((NEIGHBOURS * options.perplexity).ceil() as usize).min(count - 1);
    let neighbours = neighbours::nearest(&points.scores, points.count, k, options.seed, observer)?;
    seconds.neighbours = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let affinities = Affinities::new(&neighbours, options.perplexity)?;
    seconds.affinities = clock.elapsed().as_secs_f64();
    Ok(Prepared { points, axes, neighbours, affinities, seconds })
}

impl Prepared {
    /// A whole layout, begun where the options say, or at the places of another of the same points, which it then is a
    /// variation of: nothing is exaggerated at its beginning. `moved` sees it after each step.
    ///
    /// # Errors
    /// A stop, a device that is lost.
    pub fn map(
        &self,
        options: &Options,
        before: Option<&[[f32; 2]]>,
        observer: &dyn Observer,
        moved: &mut dyn FnMut(&[Point]),
    ) -> Result<LaidOut> {
        let clock = Instant::now();
        let mut tsne = match before {
            Some(places) => {
                let first = places.iter().map(|place| place.map(f64::from)).collect();
                let schedule = DescentSchedule { steps: [0, options.schedule.steps[1]], ..options.schedule };
                Tsne::new(self.gradient(options), first, schedule)
            }
            None => self.begin(options),
        };
        tsne.run(observer, moved)?;
        let divergence = tsne.divergence()?;
        let places = tsne.map().iter().map(|point| point.map(|v| v as f32)).collect();
        let seconds = Seconds { map: clock.elapsed().as_secs_f64(), ..self.seconds };
        Ok(LaidOut { places, divergence, seconds })
    }

    /// The nearest of states among all: of all of few, of many on behalf of the rest.
    ///
    /// # Errors
    /// States that cannot be read, a stop.
    pub fn yardstick(&self, states: &dyn Rows, observer: &dyn Observer) -> Result<Yardstick> {
        const COMPARED: usize = 10;
        const MOST: usize = 2000;
        /// Numbers that are compared: some seconds.
        const PAIRS: usize = 40_000_000_000;
        let count = states.count();
        let affordable = PAIRS / (count * states.width()).max(1);
        let asked: Vec<usize> = (0..count).step_by(count.div_ceil(MOST.min(affordable.max(100)))).collect();
        let k = COMPARED.min(self.neighbours.k).min(count.saturating_sub(1) / 2).max(1);
        let near = neighbours::among(&Scaled::new(states)?, &asked, k, observer)?;
        Ok(Yardstick { asked, near })
    }

    /// How good a layout is, by the states as they are.
    ///
    /// # Errors
    /// States that cannot be read, a stop.
    pub fn quality(
        &self,
        states: &dyn Rows,
        yardstick: &Yardstick,
        places: &[[f32; 2]],
        groups: &[u32],
        observer: &dyn Observer,
    ) -> Result<Quality> {
        let Yardstick { asked, near: of_states } = yardstick;
        let (count, k) = (places.len(), of_states.first().map_or(1, Vec::len));
        let flat: Vec<f32> = places.iter().flatten().copied().collect();
        let near = neighbours::nearest(&flat, 2, k, 0, observer)?;
        let of_map: Vec<&[u32]> = asked.iter().map(|i| near.of(*i)).collect();
        let ranks = quality::ranks(&Scaled::new(states)?, asked, &of_map, observer)?;
        let wide: Vec<Point> = places.iter().map(|place| place.map(f64::from)).collect();
        Ok(Quality {
            neighbours: k,
            asked: asked.len(),
            recall: quality::recall(of_states, &of_map),
            trustworthiness: quality::trustworthiness(ranks.into_iter(), count, k),
            silhouette: quality::silhouette(&wide, groups, asked),
            found: self.neighbours.found,
        })
    }

    /// A layout at its beginning.
    pub fn begin(&self, options: &Options) -> Tsne<'_> {
        Tsne::new(self.gradient(options), self.first(options), options.schedule)
    }

    fn gradient(&self, options: &Options) -> Box<dyn Gradient + '_> {
        // Of 1,800 points all pairs took a third of the time of a grid.
        const FEW: usize = 2500;
        if options.engine == LayoutEngine::Wgpu {
            return Box::new(GpuGradient::new(&self.affinities));
        }
        if options.engine == LayoutEngine::Exact || self.affinities.count() < FEW {
            return Box::new(Host::new(&self.affinities, Plain));
        }
        Box::new(Host::new(&self.affinities, Spline::default()))
    }

    /// Where points begin: close together, for a layout unfolds from its middle.
    fn first(&self, options: &Options) -> Vec<Point> {
        const SPREAD: f64 = 1e-4;
        /// Points on one another could never part.
        const JITTER: f64 = 0.01;
        let mut rng = stream(options.seed, &[1]);
        let mut noise = move || [0, 1].map(|_| rng.random_range(-1.0..1.0) * 3f64.sqrt());
        let axes = self.axes.as_ref().unwrap_or(&self.points);
        let rows = axes.scores.chunks_exact(axes.count);
        let squares: f64 = rows.clone().map(|row| f64::from(row[0]).powi(2)).sum();
        let deviation = (squares / rows.len() as f64).sqrt();
        if options.init == Init::Random || deviation == 0.0 {
            return rows.map(|_| noise().map(|v| SPREAD * v)).collect();
        }
        let scale = SPREAD / deviation;
        let at = |row: &[f32]| {
            let noise = noise();
            [0, 1].map(|axis| {
                let along = row.get(axis).map_or(0.0, |v| scale * f64::from(*v));
                along + JITTER * SPREAD * noise[axis]
            })
        };
        rows.map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::rows::InMemory;
    use super::*;
    use crate::progress::Unobserved;

    /// Groups of points around corners of a cube.
    fn groups(count: usize, width: usize) -> Vec<f32> {
        let mut rng = stream(9, &[]);
        let mut row = |i: usize| -> Vec<f32> {
            (0..width).map(|axis| f32::from(i % 4 == axis % 4) * 6.0 + rng.random_range(-1.0..1.0)).collect()
        };
        (0..count).flat_map(&mut row).collect()
    }

    fn short(engine: LayoutEngine) -> Options {
        let schedule = DescentSchedule { steps: [100, 150], ..DescentSchedule::default() };
        Options { perplexity: 10.0, components: Some(8), engine, schedule, ..Options::default() }
    }

    fn mapped(x: &[f32], width: usize, options: &Options) -> (Vec<Point>, f64) {
        let prepared = prepare(&InMemory::new(x, width), options, &Unobserved).unwrap();
        let mut map = prepared.begin(options);
        map.run(&Unobserved, &mut |_| ()).unwrap();
        (map.map().to_vec(), map.divergence().unwrap())
    }

    #[test]
    fn groups_stay_together_by_either_engine_and_begin() {
        let x = groups(300, 12);
        let of = |i: usize| (i % 4) as u32;
        let (labels, asked): (Vec<u32>, Vec<usize>) = ((0..300).map(of).collect(), (0..300).collect());
        let mut divergences = Vec::new();
        for engine in [LayoutEngine::Cpu, LayoutEngine::Exact] {
            for init in [Init::Pca, Init::Random] {
                let (map, divergence) = mapped(&x, 12, &Options { init, ..short(engine) });
                assert!(quality::silhouette(&map, &labels, &asked).unwrap() > 0.6);
                divergences.push(divergence);
            }
        }
        assert!((divergences[0] / divergences[2] - 1.0).abs() < 0.02, "{divergences:?}");
    }

    #[test]
    fn a_seed_is_a_map_on_any_number_of_threads() {
        let x = groups(200, 12);
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| mapped(&x, 12, &Options { seed, ..short(LayoutEngine::Cpu) }).0)
        };
        assert_eq!(on(1, 4), on(3, 4));
        assert_ne!(on(1, 4), on(1, 5));
    }

    #[test]
    fn points_on_one_another_still_make_a_map() {
        let (map, divergence) =
            mapped(&[1.0; 60], 3, &Options { perplexity: 4.0, ..short(LayoutEngine::Cpu) });
        assert!(divergence.is_finite() && map.iter().flatten().all(|v| v.is_finite()));
    }

    #[test]
    fn a_map_is_judged_by_the_states_and_not_by_the_components_it_was_made_of() {
        let mut rng = stream(4, &[]);
        let x: Vec<f32> = (0..400 * 60).map(|_| rng.random_range(-1.0..1.0)).collect();
        let recall = |components| {
            let options = Options { components, ..short(LayoutEngine::Cpu) };
            let states = InMemory::new(&x, 60);
            let prepared = prepare(&states, &options, &Unobserved).unwrap();
            let map = prepared.map(&options, None, &Unobserved, &mut |_| ()).unwrap();
            let yardstick = prepared.yardstick(&states, &Unobserved).unwrap();
            prepared.quality(&states, &yardstick, &map.places, &[0; 400], &Unobserved).unwrap().recall
        };
        // Noise has no plane: two components of sixty keep little, and less than all sixty.
        let [two, all] = [Some(2), None].map(recall);
        assert!(two < 0.25 && two < all, "{two} {all}");
    }

    #[test]
    fn states_of_any_magnitude_make_the_same_map() {
        let x = groups(200, 12);
        let map = |factor: f32| {
            let x: Vec<f32> = x.iter().map(|v| v * factor).collect();
            mapped(&x, 12, &short(LayoutEngine::Cpu)).0
        };
        let plain = map(1.0);
        // Powers of two lose no bit on the way.
        assert_eq!(map(2f32.powi(66)), plain);
        assert_eq!(map(2f32.powi(-83)), plain);
        let (far, _) = mapped(&x.iter().map(|v| v * 1e20).collect::<Vec<_>>(), 12, &short(LayoutEngine::Cpu));
        assert!(far.iter().flatten().all(|v| v.is_finite()));
    }

    #[test]
    fn what_cannot_be_mapped_is_said_in_a_sentence() {
        let said = |x: &[f32], perplexity| {
            let options = Options { perplexity, ..Options::default() };
            prepare(&InMemory::new(x, 2), &options, &Unobserved).err().map(|e| e.to_string())
        };
        assert_eq!(said(&[1.0; 6], 1.0).unwrap(), "a layout: expected at least 5 points, found 3");
        assert_eq!(
            said(&[1.0; 40], 20.0).unwrap(),
            "perplexity: expected a number from 1 to less than the 20 points, found 20"
        );
        assert!(said(&[1.0; 40], f64::NAN).unwrap().starts_with("perplexity"));
        let mut x = [1.0; 40];
        x[15] = f32::NAN;
        assert_eq!(said(&x, 5.0).unwrap(), "states: expected finite numbers, found NaN in row 7");
        x[15] = f32::NEG_INFINITY;
        assert_eq!(said(&x, 5.0).unwrap(), "states: expected finite numbers, found -inf in row 7");
    }
}
