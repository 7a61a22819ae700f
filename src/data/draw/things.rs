//! Things to count and to find.

use crate::random::Stream;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::color::{Rgb, hsv, vivid};
use super::sprite::{Sprite, wavering};

/// A kind of thing.
#[derive(Debug, Clone, Copy)]
pub struct ThingKind {
    /// One of it.
    pub name: &'static str,
    /// Several of it.
    pub plural: &'static str,
    draw: fn(&mut Stream) -> Sprite,
}

/// Every kind.
pub const KINDS: [ThingKind; 14] = [
    ThingKind { name: "apple", plural: "apples", draw: apple },
    ThingKind { name: "pear", plural: "pears", draw: pear },
    ThingKind { name: "banana", plural: "bananas", draw: banana },
    ThingKind { name: "mushroom", plural: "mushrooms", draw: mushroom },
    ThingKind { name: "flower", plural: "flowers", draw: flower },
    ThingKind { name: "leaf", plural: "leaves", draw: leaf },
    ThingKind { name: "fish", plural: "fish", draw: fish },
    ThingKind { name: "star", plural: "stars", draw: star },
    ThingKind { name: "cup", plural: "cups", draw: cup },
    ThingKind { name: "button", plural: "buttons", draw: button },
    ThingKind { name: "key", plural: "keys", draw: key },
    ThingKind { name: "house", plural: "houses", draw: house },
    ThingKind { name: "balloon", plural: "balloons", draw: balloon },
    ThingKind { name: "stone", plural: "stones", draw: stone },
];

impl ThingKind {
    /// One of it, in its own units.
    pub fn sprite(&self, rng: &mut Stream) -> Sprite {
        (self.draw)(rng)
    }
}

/// `count` different kinds, in any order.
pub fn kinds(rng: &mut Stream, count: usize) -> Vec<ThingKind> {
    let mut all = KINDS;
    all.shuffle(rng);
    all[..count].to_vec()
}

const STALK: Rgb = Rgb([0.35, 0.24, 0.12]);

fn green(rng: &mut Stream) -> Rgb {
    hsv(rng.random_range(0.25..0.38), rng.random_range(0.5..0.8), rng.random_range(0.4..0.7))
}

fn apple(rng: &mut Stream) -> Sprite {
    let skin = hsv(rng.random_range(-0.04..0.06), rng.random_range(0.7..0.95), rng.random_range(0.65..0.9));
    let leaf = green(rng);
    Sprite::new()
        .line(&[[0.0, -0.6], [0.12, -1.15]], 0.12, STALK)
        .blob(
            &[
                [0.0, -0.7],
                [0.6, -0.85],
                [1.0, -0.2],
                [0.7, 0.75],
                [0.0, 0.85],
                [-0.7, 0.75],
                [-1.0, -0.2],
                [-0.6, -0.85],
            ],
            skin,
        )
        .tilted(0.42, -1.0, 0.32, 0.14, -25.0, leaf)
        .tilted(-0.45, -0.25, 0.14, 0.28, 25.0, skin.mix(Rgb::grey(1.0), 0.6))
}

fn pear(rng: &mut Stream) -> Sprite {
    let skin = hsv(rng.random_range(0.13..0.24), rng.random_range(0.5..0.8), rng.random_range(0.65..0.85));
    Sprite::new()
        .line(&[[0.0, -1.0], [-0.1, -1.5]], 0.12, STALK)
        .blob(
            &[
                [0.0, -1.15],
                [0.38, -0.75],
                [0.5, -0.2],
                [0.95, 0.5],
                [0.5, 1.15],
                [-0.5, 1.15],
                [-0.95, 0.5],
                [-0.5, -0.2],
                [-0.38, -0.75],
            ],
            skin,
        )
        .tilted(-0.4, 0.4, 0.14, 0.3, 15.0, skin.mix(Rgb::grey(1.0), 0.5))
}

fn banana(rng: &mut Stream) -> Sprite {
    let skin = hsv(rng.random_range(0.12..0.16), rng.random_range(0.7..0.95), rng.random_range(0.8..0.95));
    Sprite::new()
        .blob(
            &[
                [-1.2, -0.5],
                [-0.95, -0.55],
                [-0.6, 0.05],
                [0.1, 0.35],
                [0.85, 0.1],
                [1.2, -0.35],
                [1.3, -0.2],
                [1.0, 0.55],
                [0.2, 0.95],
                [-0.7, 0.6],
                [-1.15, 0.0],
            ],
            skin,
        )
        .block(-1.25, -0.72, -0.98, -0.45, STALK)
}

fn mushroom(rng: &mut Stream) -> Sprite {
    let cap = hsv(rng.random_range(-0.03..0.1), rng.random_range(0.5..0.9), rng.random_range(0.45..0.85));
    let stem = hsv(0.1, 0.12, rng.random_range(0.8..0.95));
    let mut sprite =
        Sprite::new().blob(&[[-0.25, -0.2], [0.25, -0.2], [0.32, 0.9], [0.0, 1.0], [-0.32, 0.9]], stem).blob(
            &[[-1.1, 0.0], [-0.8, -0.65], [0.0, -1.0], [0.8, -0.65], [1.1, 0.0], [0.5, 0.1], [-0.5, 0.1]],
            cap,
        );
    for (x, y) in [(-0.55, -0.35), (0.05, -0.6), (0.55, -0.3)] {
        sprite = sprite.oval(x, y, 0.14, 0.1, stem);
    }
    sprite
}

fn flower(rng: &mut Stream) -> Sprite {
    let (petal, heart) = (vivid(rng), hsv(rng.random_range(0.08..0.16), 0.8, 0.9));
    let petals = rng.random_range(5..8);
    let mut sprite = Sprite::new();
    for i in 0..petals {
        let degrees = 360.0 * i as f32 / petals as f32;
        let angle = degrees.to_radians();
        sprite = sprite.tilted(0.62 * angle.cos(), 0.62 * angle.sin(), 0.5, 0.28, degrees, petal);
    }
    sprite.oval(0.0, 0.0, 0.34, 0.34, heart)
}

fn leaf(rng: &mut Stream) -> Sprite {
    let color = hsv(rng.random_range(0.05..0.4), rng.random_range(0.5..0.85), rng.random_range(0.4..0.75));
    let vein = color.times(0.6);
    Sprite::new()
        .blob(&[[-1.2, 0.0], [-0.5, -0.55], [0.3, -0.55], [1.2, 0.0], [0.3, 0.55], [-0.5, 0.55]], color)
        .line(&[[-1.55, 0.05], [1.0, 0.0]], 0.08, vein)
        .line(&[[-0.3, 0.0], [0.2, -0.38]], 0.05, vein)
        .line(&[[-0.3, 0.0], [0.2, 0.38]], 0.05, vein)
}

fn fish(rng: &mut Stream) -> Sprite {
    let (body, fin) = (vivid(rng), vivid(rng));
    Sprite::new()
        .polygon(&[[-0.8, 0.0], [-1.5, -0.55], [-1.35, 0.0], [-1.5, 0.55]], fin)
        .polygon(&[[-0.2, -0.4], [0.2, -0.95], [0.45, -0.4]], fin)
        .oval(0.1, 0.0, 1.05, 0.6, body)
        .tilted(0.0, 0.15, 0.3, 0.14, 20.0, fin)
        .oval(0.72, -0.15, 0.12, 0.12, Rgb::grey(0.95))
        .oval(0.75, -0.15, 0.06, 0.06, Rgb::grey(0.05))
}

fn star(rng: &mut Stream) -> Sprite {
    let color = hsv(rng.random_range(0.08..0.18), rng.random_range(0.6..0.95), rng.random_range(0.75..0.95));
    let inner = rng.random_range(0.38..0.5);
    let corners: Vec<[f32; 2]> = (0..10)
        .map(|i| {
            let (angle, radius) =
                (i as f32 * 0.2 * std::f32::consts::PI, if i % 2 == 0 { 1.0 } else { inner });
            [radius * angle.sin(), -radius * angle.cos()]
        })
        .collect();
    Sprite::new().polygon(&corners, color)
}

fn cup(rng: &mut Stream) -> Sprite {
    let color = vivid(rng);
    Sprite::new()
        .line(&[[0.75, -0.4], [1.25, -0.35], [1.25, 0.3], [0.7, 0.4]], 0.16, color.times(0.8))
        .polygon(&[[-0.8, -0.8], [0.8, -0.8], [0.6, 0.9], [-0.6, 0.9]], color)
        .oval(0.0, -0.8, 0.8, 0.22, color.mix(Rgb::grey(1.0), 0.45))
        .oval(0.0, -0.77, 0.62, 0.14, STALK)
}

fn button(rng: &mut Stream) -> Sprite {
    let color = vivid(rng);
    let mut sprite =
        Sprite::new().oval(0.0, 0.0, 1.0, 1.0, color).oval(0.0, 0.0, 0.74, 0.74, color.times(0.85));
    for (x, y) in [(-0.24, -0.24), (0.24, -0.24), (-0.24, 0.24), (0.24, 0.24)] {
        sprite = sprite.oval(x, y, 0.12, 0.12, color.times(0.25));
    }
    sprite
}

fn key(rng: &mut Stream) -> Sprite {
    let metal = hsv(rng.random_range(0.08..0.14), rng.random_range(0.1..0.6), rng.random_range(0.6..0.85));
    Sprite::new()
        .oval(-1.0, 0.0, 0.55, 0.55, metal)
        .oval(-1.1, 0.0, 0.22, 0.22, metal.times(0.3))
        .block(-0.5, -0.12, 1.3, 0.12, metal)
        .block(0.8, 0.1, 0.95, 0.5, metal)
        .block(1.12, 0.1, 1.28, 0.42, metal)
}

fn house(rng: &mut Stream) -> Sprite {
    let (wall, roof) = (vivid(rng).mix(Rgb::grey(0.9), 0.5), hsv(rng.random_range(0.0..0.08), 0.65, 0.6));
    Sprite::new()
        .block(-0.8, -0.2, 0.8, 1.0, wall)
        .polygon(&[[-1.05, -0.15], [0.0, -1.1], [1.05, -0.15]], roof)
        .block(-0.2, 0.35, 0.2, 1.0, STALK)
        .block(-0.62, 0.05, -0.3, 0.4, hsv(0.55, 0.3, 0.9))
        .block(0.3, 0.05, 0.62, 0.4, hsv(0.55, 0.3, 0.9))
}

fn balloon(rng: &mut Stream) -> Sprite {
    let color = vivid(rng);
    Sprite::new()
        .line(&[[0.0, 0.95], [0.1, 1.3], [-0.08, 1.6], [0.04, 1.9]], 0.06, Rgb::grey(0.3))
        .polygon(&[[-0.14, 1.1], [0.0, 0.85], [0.14, 1.1]], color.times(0.8))
        .oval(0.0, 0.0, 0.8, 0.95, color)
        .tilted(-0.3, -0.38, 0.12, 0.26, 25.0, color.mix(Rgb::grey(1.0), 0.7))
}

fn stone(rng: &mut Stream) -> Sprite {
    let color = hsv(rng.random(), rng.random_range(0.03..0.15), rng.random_range(0.4..0.75));
    let outline: Vec<[f32; 2]> =
        wavering(rng, 8, 1.0, 0.16).into_iter().map(|[x, y]| [1.2 * x, 0.85 * y]).collect();
    Sprite::new().blob(&outline, color).tilted(-0.35, -0.3, 0.35, 0.16, -20.0, color.mix(Rgb::grey(1.0), 0.3))
}
