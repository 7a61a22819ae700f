//! `livr bench points`: how long a frame of a map takes.

use std::time::Instant;

use clap::{Args, value_parser};
use rand::RngExt;
use serde::Serialize;

use super::super::output::{print, print_json};
use crate::random::stream;
use crate::render::frames::Frames;
use crate::render::points::{Instance, PointSet, PointsPaint};

/// Options of `livr bench points`.
#[derive(Debug, Args)]
pub struct PointsArgs {
    /// Points of the map
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    points: u32,
    /// Frames that are drawn
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(2..))]
    frames: u32,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

const SIZE: [u32; 2] = [1280, 800];
/// What the frames of many points stand beside.
const FEW: u32 = 1000;

#[derive(Debug, Serialize)]
struct Measured {
    points: u32,
    /// The first frame of these points: they are uploaded.
    first_ms: f64,
    /// The median of frames that zoom.
    frame_ms: f64,
    /// That of frames whose points move: they are uploaded each time.
    moving_ms: f64,
}

/// Runs it.
pub fn run(args: &PointsArgs) -> anyhow::Result<()> {
    let mut frames = Frames::open(SIZE)?;
    let mut measured = Vec::new();
    for points in [FEW, args.points] {
        measured.push(measure(&mut frames, points, args.frames)?);
    }
    if args.json {
        print_json(&measured);
        return Ok(());
    }
    print(&format!("{}, {} x {}", frames.device_name, SIZE[0], SIZE[1]));
    for Measured { points, first_ms, frame_ms, moving_ms } in measured {
        print(&format!(
            "{points:>9} points: first frame {first_ms:.1} ms, zooming {frame_ms:.1} ms, moving {moving_ms:.1} ms"
        ));
    }
    Ok(())
}

fn measure(frames: &mut Frames, points: u32, count: u32) -> anyhow::Result<Measured> {
    let mut rng = stream(1, &[u64::from(points)]);
    let instances: Vec<Instance> = (0..points)
        .map(|i| {
            let middle = [f64::from(i % 40).cos(), f64::from(i % 40).sin()];
            let place = middle.map(|v| (v * 0.8 + rng.random_range(-0.2..0.2)) as f32);
            Instance { place, colour: [(i % 256) as u8, 120, 200, 255] }
        })
        .collect();
    let set = PointSet::new(instances);
    let paint = |set: &PointSet, scale: f32| PointsPaint {
        points: set.clone(),
        centre: [0.0; 2],
        scale,
        radius: 1.5,
        opacity: 0.4,
        size: SIZE.map(|side| side as f32),
    };
    let mut drawn = |set: &PointSet, scale: f32| -> anyhow::Result<f64> {
        let clock = Instant::now();
        frames.draw(&paint(set, scale))?;
        Ok(1e3 * clock.elapsed().as_secs_f64())
    };
    let first_ms = drawn(&set, 380.0)?;
    let zooming = (0..count).map(|i| drawn(&set, 380.0 + i as f32)).collect::<anyhow::Result<Vec<f64>>>()?;
    let moving = (0..count)
        .map(|_| drawn(&PointSet::new(set.instances.to_vec()), 380.0))
        .collect::<anyhow::Result<Vec<f64>>>()?;
    Ok(Measured { points, first_ms, frame_ms: median(zooming), moving_ms: median(moving) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
