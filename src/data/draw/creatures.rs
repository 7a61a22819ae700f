//! Creatures and vehicles with key points: two of one class differ in shape, colour and pose, and agree in what
//! their points are called.

use crate::random::Stream;
use rand::RngExt;

use super::color::{Rgb, hsv, vivid};
use super::sprite::Sprite;

/// A class of creatures or vehicles.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// What one is called.
    pub name: &'static str,
    draw: fn(&mut Stream) -> Sprite,
}

/// Every class.
pub const CLASSES: [Class; 8] = [
    Class { name: "bird", draw: bird },
    Class { name: "cat", draw: cat },
    Class { name: "fish", draw: fish },
    Class { name: "beetle", draw: beetle },
    Class { name: "car", draw: car },
    Class { name: "sailing boat", draw: boat },
    Class { name: "aeroplane", draw: aeroplane },
    Class { name: "bicycle", draw: bicycle },
];

impl Class {
    /// One of it, facing right, in its own units.
    pub fn sprite(&self, rng: &mut Stream) -> Sprite {
        (self.draw)(rng)
    }
}

const DARK: Rgb = Rgb([0.12, 0.12, 0.14]);

fn vary(rng: &mut Stream, around: f32) -> f32 {
    around * rng.random_range(0.8..1.25)
}

fn eye(sprite: Sprite, x: f32, y: f32, radius: f32) -> Sprite {
    sprite.oval(x, y, radius, radius, Rgb::grey(0.95)).oval(x, y, radius * 0.5, radius * 0.5, DARK)
}

fn bird(rng: &mut Stream) -> Sprite {
    let (body, wing, beak) = (vivid(rng), vivid(rng), hsv(rng.random_range(0.05..0.14), 0.85, 0.9));
    let (long, tall, leg, tail) = (vary(rng, 1.1), vary(rng, 0.65), vary(rng, 0.7), vary(rng, 0.9));
    let (hx, hy, head) = (long * 0.95, -tall * 1.05, vary(rng, 0.42));
    let bill = vary(rng, 0.5);
    let sprite = Sprite::new()
        .line(&[[-0.1, tall * 0.8], [-0.15, tall + leg], [0.12, tall + leg]], 0.09, beak)
        .line(&[[0.3, tall * 0.8], [0.32, tall + leg], [0.6, tall + leg]], 0.09, beak)
        .polygon(&[[-long * 0.7, -0.1], [-long - tail, -0.45], [-long - tail * 0.85, 0.1]], wing)
        .oval(0.0, 0.0, long, tall, body)
        .polygon(
            &[[hx + head * 0.8, hy - 0.16], [hx + head + bill, hy + 0.05], [hx + head * 0.8, hy + 0.2]],
            beak,
        )
        .oval(hx, hy, head, head, body)
        .tilted(-0.15, -0.05, long * 0.62, tall * 0.48, 14.0, wing);
    eye(sprite, hx + head * 0.3, hy - head * 0.15, 0.12)
        .point("beak", hx + head + bill, hy + 0.05)
        .point("eye", hx + head * 0.3, hy - head * 0.15)
        .point("tail", -long - tail * 0.95, -0.2)
        .point("wing", -long * 0.55, tall * 0.05)
        .point("back foot", -0.1, tall + leg)
        .point("breast", long * 0.75, tall * 0.35)
}

fn cat(rng: &mut Stream) -> Sprite {
    let fur = hsv(rng.random_range(0.04..0.12), rng.random_range(0.05..0.7), rng.random_range(0.35..0.85));
    let (long, tall, leg) = (vary(rng, 1.2), vary(rng, 0.5), vary(rng, 0.75));
    let (head, ear, tail) = (vary(rng, 0.48), vary(rng, 0.42), vary(rng, 0.9));
    let (hx, hy) = (long + head * 0.35, -tall - head * 0.45);
    let foot = tall + leg;
    let mut sprite = Sprite::new().line(
        &[[-long * 0.9, -0.1], [-long - 0.45, -0.35], [-long - 0.5, -0.35 - tail]],
        0.2,
        fur.times(0.85),
    );
    for x in [-long * 0.75, -long * 0.45, long * 0.45, long * 0.75] {
        sprite = sprite.line(&[[x, 0.1], [x, foot]], 0.22, fur.times(0.9));
    }
    sprite = sprite
        .oval(0.0, 0.0, long, tall, fur)
        .polygon(
            &[
                [hx - head * 0.85, hy - head * 0.3],
                [hx - head * 0.7, hy - head - ear],
                [hx - head * 0.1, hy - head * 0.85],
            ],
            fur,
        )
        .polygon(
            &[
                [hx + head * 0.85, hy - head * 0.3],
                [hx + head * 0.7, hy - head - ear],
                [hx + head * 0.1, hy - head * 0.85],
            ],
            fur,
        )
        .oval(hx, hy, head, head * 0.9, fur)
        .oval(hx + head * 0.55, hy + head * 0.3, 0.1, 0.07, hsv(0.98, 0.4, 0.8));
    eye(sprite, hx + head * 0.2, hy - head * 0.1, 0.11)
        .point("front ear", hx + head * 0.7, hy - head - ear)
        .point("back ear", hx - head * 0.7, hy - head - ear)
        .point("nose", hx + head * 0.55, hy + head * 0.3)
        .point("tail tip", -long - 0.5, -0.35 - tail)
        .point("front paw", long * 0.75, foot)
        .point("hind paw", -long * 0.75, foot)
}

fn fish(rng: &mut Stream) -> Sprite {
    let (body, fin) = (vivid(rng), vivid(rng));
    let (long, tall, tail) = (vary(rng, 1.2), vary(rng, 0.62), vary(rng, 0.8));
    let crest = vary(rng, 0.5);
    let sprite = Sprite::new()
        .polygon(
            &[
                [-long * 0.8, 0.0],
                [-long - tail, -tail * 0.8],
                [-long - tail * 0.5, 0.0],
                [-long - tail, tail * 0.8],
            ],
            fin,
        )
        .polygon(&[[-long * 0.45, -tall * 0.75], [0.0, -tall - crest], [long * 0.35, -tall * 0.8]], fin)
        .polygon(&[[-long * 0.2, tall * 0.8], [-0.35, tall + crest * 0.8], [long * 0.25, tall * 0.8]], fin)
        .oval(0.0, 0.0, long, tall, body)
        .line(
            &[[long * 0.45, -tall * 0.5], [long * 0.38, 0.0], [long * 0.45, tall * 0.5]],
            0.05,
            body.times(0.5),
        )
        .tilted(long * 0.1, tall * 0.2, 0.36, 0.16, 25.0, fin);
    eye(sprite, long * 0.68, -tall * 0.2, 0.13)
        .point("mouth", long, 0.05)
        .point("eye", long * 0.68, -tall * 0.2)
        .point("upper tail tip", -long - tail, -tail * 0.8)
        .point("lower tail tip", -long - tail, tail * 0.8)
        .point("back fin", 0.0, -tall - crest)
        .point("belly fin", -0.35, tall + crest * 0.8)
}

fn beetle(rng: &mut Stream) -> Sprite {
    let (shell, head) = (vivid(rng), vivid(rng).times(0.6));
    let (long, wide) = (vary(rng, 1.15), vary(rng, 0.8));
    let feeler = vary(rng, 0.75);
    let mut sprite = Sprite::new();
    for (x, reach) in [(-long * 0.6, -0.5), (0.0, 0.0), (long * 0.55, 0.45)] {
        for side in [-1.0, 1.0] {
            let knee = side * (wide + 0.28);
            sprite = sprite.line(
                &[[x, side * wide * 0.7], [x + reach * 0.5, knee], [x + reach, knee + side * 0.35]],
                0.1,
                DARK,
            );
        }
    }
    let front = long + 0.32;
    sprite
        .line(&[[front, -0.2], [front + feeler * 0.6, -0.45], [front + feeler, -0.35]], 0.06, DARK)
        .line(&[[front, 0.2], [front + feeler * 0.6, 0.45], [front + feeler, 0.35]], 0.06, DARK)
        .oval(long * 1.02, 0.0, 0.45, wide * 0.55, head)
        .oval(0.0, 0.0, long, wide, shell)
        .line(&[[-long, 0.0], [long * 0.8, 0.0]], 0.06, shell.times(0.4))
        .oval(-long * 0.35, -wide * 0.45, 0.17, 0.17, DARK)
        .oval(long * 0.3, wide * 0.45, 0.17, 0.17, DARK)
        .point("left feeler", front + feeler, -0.35)
        .point("right feeler", front + feeler, 0.35)
        .point("shell end", -long, 0.0)
        .point("left hind leg", -long * 0.6 - 0.5, -wide - 0.63)
        .point("right hind leg", -long * 0.6 - 0.5, wide + 0.63)
        .point("head", long * 1.15, 0.0)
}

fn wheel(sprite: Sprite, x: f32, y: f32, radius: f32) -> Sprite {
    sprite.oval(x, y, radius, radius, DARK).oval(x, y, radius * 0.5, radius * 0.5, Rgb::grey(0.7))
}

fn car(rng: &mut Stream) -> Sprite {
    let (paint, glass) = (vivid(rng), hsv(0.55, 0.25, 0.85));
    let (long, tall, cabin) = (vary(rng, 1.6), vary(rng, 0.45), vary(rng, 0.55));
    let (back, front, radius) = (-long * 0.55, long * 0.45, vary(rng, 0.36));
    let lean = rng.random_range(0.2..0.5);
    let sprite = Sprite::new()
        .polygon(
            &[
                [back - 0.1, -tall],
                [back + 0.25, -tall - cabin],
                [front - lean, -tall - cabin],
                [front, -tall],
            ],
            paint.times(0.9),
        )
        .polygon(
            &[
                [back + 0.1, -tall * 1.05],
                [back + 0.32, -tall - cabin * 0.85],
                [front - lean - 0.05, -tall - cabin * 0.85],
                [front - 0.15, -tall * 1.05],
            ],
            glass,
        )
        .blob(
            &[
                [-long, -tall * 0.8],
                [0.0, -tall],
                [long * 0.7, -tall * 0.85],
                [long, -0.1],
                [long * 0.95, tall * 0.6],
                [-long * 0.95, tall * 0.6],
            ],
            paint,
        )
        .oval(long * 0.9, -0.12, 0.12, 0.1, hsv(0.15, 0.4, 1.0))
        .block(-long * 1.0, -0.2, -long * 0.9, 0.05, hsv(0.0, 0.9, 0.8));
    let sprite = wheel(sprite, -long * 0.58, tall * 0.6, radius);
    wheel(sprite, long * 0.58, tall * 0.6, radius)
        .point("front wheel", long * 0.58, tall * 0.6)
        .point("rear wheel", -long * 0.58, tall * 0.6)
        .point("headlight", long * 0.9, -0.12)
        .point("tail light", -long * 0.95, -0.08)
        .point("roof", (back + 0.25 + front - lean) * 0.5, -tall - cabin)
        .point("bonnet", long * 0.65, -tall * 0.85)
}

fn boat(rng: &mut Stream) -> Sprite {
    let (hull, sail, second) =
        (vivid(rng), hsv(0.1, rng.random_range(0.0..0.25), 0.95), vivid(rng).mix(Rgb::grey(1.0), 0.4));
    let (long, mast, deep) = (vary(rng, 1.3), vary(rng, 1.9), vary(rng, 0.5));
    let at = rng.random_range(-0.15..0.25);
    Sprite::new()
        .line(&[[at, 0.0], [at, -mast]], 0.09, Rgb([0.4, 0.28, 0.16]))
        .polygon(&[[at - 0.08, -mast * 0.95], [at - 0.08, -0.2], [-long * 0.85, -0.2]], sail)
        .polygon(&[[at + 0.1, -mast * 0.8], [at + 0.1, -0.2], [long * 0.9, -0.15]], second)
        .polygon(&[[at, -mast], [at - 0.45, -mast - 0.12], [at, -mast - 0.24]], hsv(0.0, 0.85, 0.85))
        .polygon(&[[-long, 0.0], [long * 1.15, 0.0], [long * 0.75, deep], [-long * 0.8, deep]], hull)
        .point("bow", long * 1.15, 0.0)
        .point("stern", -long, 0.0)
        .point("mast top", at, -mast)
        .point("main sail corner", -long * 0.85, -0.2)
        .point("fore sail corner", long * 0.9, -0.15)
        .point("keel", long * 0.1, deep)
}

fn aeroplane(rng: &mut Stream) -> Sprite {
    let (body, wing) = (hsv(rng.random(), rng.random_range(0.05..0.6), 0.9), vivid(rng));
    let (long, thick, span) = (vary(rng, 1.7), vary(rng, 0.27), vary(rng, 1.1));
    let sweep = rng.random_range(0.35..0.8);
    Sprite::new()
        .polygon(
            &[[0.35, -thick * 0.5], [0.0 - sweep, -span], [-0.35 - sweep, -span], [-0.35, -thick * 0.5]],
            wing,
        )
        .polygon(
            &[[0.35, thick * 0.5], [0.0 - sweep, span], [-0.35 - sweep, span], [-0.35, thick * 0.5]],
            wing,
        )
        .polygon(&[[-long * 0.75, 0.0], [-long * 1.02, -0.55], [-long * 1.16, -0.55], [-long, 0.0]], wing)
        .polygon(&[[-long * 0.75, 0.0], [-long * 1.02, 0.55], [-long * 1.16, 0.55], [-long, 0.0]], wing)
        .blob(
            &[
                [-long, 0.0],
                [-long * 0.5, -thick * 0.8],
                [long * 0.5, -thick],
                [long * 0.92, -thick * 0.5],
                [long, 0.0],
                [long * 0.92, thick * 0.5],
                [long * 0.5, thick],
                [-long * 0.5, thick * 0.8],
            ],
            body,
        )
        .oval(long * 0.78, 0.0, 0.16, thick * 0.5, hsv(0.57, 0.5, 0.5))
        .point("nose", long, 0.0)
        .point("left wing tip", -0.17 - sweep, -span)
        .point("right wing tip", -0.17 - sweep, span)
        .point("left tailplane", -long * 1.09, -0.55)
        .point("right tailplane", -long * 1.09, 0.55)
        .point("cockpit", long * 0.78, 0.0)
}

fn bicycle(rng: &mut Stream) -> Sprite {
    let (frame, metal) = (vivid(rng), Rgb::grey(0.3));
    let (base, radius, high) = (vary(rng, 1.05), vary(rng, 0.62), vary(rng, 0.95));
    let lean = rng.random_range(0.1..0.35);
    let mut sprite = Sprite::new();
    for x in [-base, base] {
        let ring: Vec<[f32; 2]> = (0..=24)
            .map(|i| {
                let angle = i as f32 / 24.0 * std::f32::consts::TAU;
                [x + radius * angle.cos(), radius * angle.sin()]
            })
            .collect();
        sprite = sprite.line(&ring, 0.13, DARK);
        for angle in [0.3f32, 1.3, 2.3] {
            let (dx, dy) = (radius * angle.cos(), radius * angle.sin());
            sprite = sprite.line(&[[x - dx, -dy], [x + dx, dy]], 0.03, Rgb::grey(0.6));
        }
    }
    let (seat, bar) = ([-base * 0.42, -high], [base * 0.72 - lean * 0.3, -high * 1.12]);
    sprite
        .line(&[[-base, 0.0], [-0.05, 0.05], seat, [-base, 0.0]], 0.12, frame)
        .line(&[[-0.05, 0.05], bar, [base, 0.0]], 0.12, frame)
        .line(&[[seat[0] + 0.08, seat[1] + 0.15], [bar[0], bar[1] + 0.12]], 0.12, frame)
        .line(&[[seat[0] - 0.25, seat[1] - 0.05], [seat[0] + 0.22, seat[1] - 0.05]], 0.16, metal)
        .line(&[[bar[0] + 0.22, bar[1] - 0.18], [bar[0] - 0.05, bar[1]]], 0.12, metal)
        .oval(-0.05, 0.05, 0.15, 0.15, metal)
        .point("front hub", base, 0.0)
        .point("rear hub", -base, 0.0)
        .point("saddle", seat[0], seat[1] - 0.05)
        .point("handlebar", bar[0] + 0.22, bar[1] - 0.18)
        .point("pedals", -0.05, 0.05)
        .point("front tyre", base + radius, 0.0)
}
