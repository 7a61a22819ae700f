//! Samples made harder, or robbed of what they cannot be answered without: how a model does on them says what it
//! leans on.

use std::sync::Arc;

use image::{Rgb, RgbImage};
use rand::RngExt;

use super::picture::Picture;
use super::sample::Sample;
use crate::ask::Disturbance;
use crate::random::stream_of_name;

const GREY: Rgb<u8> = Rgb([128; 3]);

/// Asked in place of every question.
pub const NO_QUESTION: &str = "Answer.";

impl Disturbance {
    /// The sample, disturbed; what chance decides hangs on the seed and its name.
    pub fn of(self, sample: &Sample, name: &str, seed: u64) -> Sample {
        if self == Self::NoQuestion {
            // The choices are asked for as before: only the model does not read them.
            return Sample { prompt: NO_QUESTION.to_owned(), ..sample.clone() };
        }
        let one = |(i, picture): (usize, &Arc<Picture>)| {
            let pixels = self.on(&picture.pixels, &format!("{name} {i}"), seed);
            Arc::new(Picture::new(picture.name.clone(), pixels))
        };
        Sample { images: sample.images.iter().enumerate().map(one).collect(), ..sample.clone() }
    }

    fn on(self, picture: &RgbImage, name: &str, seed: u64) -> RgbImage {
        let mut rng = stream_of_name(seed, name);
        let (width, height) = picture.dimensions();
        match self {
            Self::Occlusion(share) => {
                let side = |extent: u32| (extent as f32 * share.sqrt()).round() as u32;
                let (w, h) = (side(width), side(height));
                let (x, y) = (rng.random_range(0..=width - w), rng.random_range(0..=height - h));
                let mut out = picture.clone();
                for (px, py, pixel) in out.enumerate_pixels_mut() {
                    if (x..x + w).contains(&px) && (y..y + h).contains(&py) {
                        *pixel = GREY;
                    }
                }
                out
            }
            Self::Noise(deviation) => {
                let mut out = picture.clone();
                for value in out.iter_mut() {
                    // Box and Muller 1958.
                    let (u, v): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
                    let normal = (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos();
                    *value = (f32::from(*value) + 255.0 * deviation * normal).round().clamp(0.0, 255.0) as u8;
                }
                out
            }
            Self::Rotation(degrees) => {
                let turn = if rng.random_bool(0.5) { degrees } else { -degrees };
                let (sin, cos) = turn.to_radians().sin_cos();
                let (cx, cy) = ((width - 1) as f32 / 2.0, (height - 1) as f32 / 2.0);
                RgbImage::from_fn(width, height, |x, y| {
                    let (dx, dy) = (x as f32 - cx, y as f32 - cy);
                    let inside = |v: f32, extent: u32| v.clamp(0.0, (extent - 1) as f32);
                    let (u, v) =
                        (inside(cx + dx * cos + dy * sin, width), inside(cy - dx * sin + dy * cos, height));
                    image::imageops::interpolate_bilinear(picture, u, v).expect("a place inside the picture")
                })
            }
            Self::NoImages => RgbImage::from_pixel(width, height, GREY),
            Self::NoQuestion => picture.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        let pixels = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, 90]));
        let picture = Arc::new(Picture::new("p", pixels));
        Sample { images: vec![picture], prompt: "Which? (A) x (B) y".to_owned(), choices: Vec::new() }
    }

    #[test]
    fn each_does_what_it_says_and_the_same_each_time() {
        let before = sample();
        let changed = |text: &str, name: &str| {
            let after = text.parse::<Disturbance>().unwrap().of(&before, name, 7);
            after.images[0].pixels.clone()
        };
        let pixels = &before.images[0].pixels;
        let differing =
            |other: &RgbImage| pixels.pixels().zip(other.pixels()).filter(|(a, b)| a != b).count();
        assert_eq!(differing(&changed("occlusion=0.25", "a")), 20 * 15);
        assert!(differing(&changed("noise=0.1", "a")) > 1000);
        assert_eq!(changed("noise=0.1", "a"), changed("noise=0.1", "a"));
        assert_ne!(changed("noise=0.1", "a"), changed("noise=0.1", "b"));
        assert_eq!(changed("rotation=0", "a"), *pixels);
        let turned = changed("rotation=180", "a");
        assert_eq!(turned.get_pixel(39, 29), pixels.get_pixel(0, 0));
        assert!(changed("no-images", "a").pixels().all(|p| *p == GREY));
        let unasked = Disturbance::NoQuestion.of(&before, "a", 7);
        assert_eq!((unasked.prompt.as_str(), &unasked.images[0].pixels), (NO_QUESTION, pixels));
    }
}
