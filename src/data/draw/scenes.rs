//! Places to photograph: what stands in for photographs where the user gives none.

use crate::random::Stream;
use image::RgbImage;
use rand::RngExt;

use super::canvas::Canvas;
use super::color::{Rgb, hsv, muted, vivid};
use super::noise::Noise;
use super::sprite::{polygon, wavering};
use super::texture::Texture;
use super::things;

/// A scene of any kind.
pub fn any(rng: &mut Stream, width: u32, height: u32) -> RgbImage {
    let mut canvas = match rng.random_range(0..4) {
        0 => mountains(rng, width, height),
        1 => street(rng, width, height),
        2 => table(rng, width, height),
        _ => meadow(rng, width, height),
    };
    canvas.develop(rng);
    canvas.into_image()
}

/// Sky with clouds, lighter towards the horizon at a share of the height.
fn sky(rng: &mut Stream, width: u32, height: u32, horizon: f32) -> Canvas {
    let (high, low) = (
        hsv(rng.random_range(0.52..0.66), rng.random_range(0.3..0.7), rng.random_range(0.5..0.9)),
        hsv(rng.random_range(-0.05..0.15), rng.random_range(0.1..0.5), rng.random_range(0.8..1.0)),
    );
    let noise = Noise(rng.random());
    let (cover, scale) = (rng.random_range(0.35..0.6), 5.0 / width.max(height) as f32);
    let bottom = height as f32 * horizon;
    Canvas::from_fn(width, height, |x, y| {
        let share = (y / bottom).clamp(0.0, 1.0);
        let cloud = ((noise.fractal(x * scale, y * scale * 2.0, 5) - cover) * 4.0).clamp(0.0, 0.85);
        high.mix(low, share).mix(Rgb::grey(0.97), cloud * (1.0 - 0.5 * share))
    })
}

fn mountains(rng: &mut Stream, width: u32, height: u32) -> Canvas {
    let mut canvas = sky(rng, width, height, 0.7);
    let (w, h) = (width as f32, height as f32);
    sun(rng, &mut canvas, w, h);
    let tint = hsv(rng.random_range(0.5..0.8), rng.random_range(0.15..0.4), 0.6);
    for layer in 0..3 {
        let noise = Noise(rng.random());
        let (base, rough) = (0.42 + 0.13 * layer as f32, rng.random_range(0.2..0.4));
        let color = tint.mix(hsv(rng.random_range(0.2..0.4), 0.5, 0.35), layer as f32 * 0.4);
        let scale = (3.0 + layer as f32) / w;
        let snow = layer == 0 && rng.random_bool(0.6);
        let ridge = |x: f32| h * (base - rough * (noise.fractal(x * scale, 3.7, 5) - 0.4));
        canvas.each(|x, y, below| {
            let depth = y - ridge(x);
            if depth < 0.0 {
                return below;
            }
            let rock = noise.fractal(x * scale * 6.0, y * scale * 6.0, 4);
            let slope = ridge(x + 2.0) - ridge(x - 2.0);
            let lit = color.times(0.65 + 0.6 * rock + 0.015 * slope.clamp(-6.0, 6.0));
            if snow && depth < h * 0.1 * (0.4 + rock) { lit.mix(Rgb::grey(0.97), 0.8) } else { lit }
        });
    }
    if rng.random_bool(0.6) {
        let (noise, water) = (Noise(rng.random()), hsv(rng.random_range(0.5..0.62), 0.5, 0.5));
        let shore = h * rng.random_range(0.78..0.88);
        canvas.each(|x, y, below| {
            if y < shore {
                return below;
            }
            let wave = noise.fractal(x / w * 6.0, y / h * 60.0, 3);
            water.times(0.75 + 0.6 * wave)
        });
    }
    let trees = rng.random_range(5..14);
    for _ in 0..trees {
        let size = h * rng.random_range(0.1..0.26);
        let x = rng_in(rng, w);
        conifer(rng, &mut canvas, [x, h * 0.98], size);
    }
    canvas
}

fn rng_in(rng: &mut Stream, extent: f32) -> f32 {
    rng.random_range(0.0..extent)
}

fn sun(rng: &mut Stream, canvas: &mut Canvas, w: f32, h: f32) {
    let (x, y, r) = (rng_in(rng, w), h * rng.random_range(0.08..0.35), h * rng.random_range(0.03..0.07));
    canvas.each(|px, py, sky| {
        let far = ((px - x).powi(2) + (py - y).powi(2)).sqrt() / r;
        sky.mix(Rgb([1.0, 0.95, 0.75]), (1.6 - far).clamp(0.0, 1.0).max(0.35 / (1.0 + far * far * 0.2)))
    });
}

fn conifer(rng: &mut Stream, canvas: &mut Canvas, [x, y]: [f32; 2], size: f32) {
    let color = hsv(rng.random_range(0.25..0.42), rng.random_range(0.4..0.7), rng.random_range(0.2..0.45));
    for tier in 0..3 {
        let (low, half) = (y - size * 0.27 * tier as f32, size * (0.26 - 0.06 * tier as f32));
        let tree = polygon(&[[x - half, low], [x + half, low], [x, low - size * 0.45]]);
        if let Some(path) = tree {
            canvas.fill_gradient(
                &path,
                ([x - half, low], color.times(1.3)),
                ([x + half, low], color.times(0.7)),
            );
        }
    }
}

fn street(rng: &mut Stream, width: u32, height: u32) -> Canvas {
    let mut canvas = sky(rng, width, height, 0.8);
    let (w, h) = (width as f32, height as f32);
    let ground = h * rng.random_range(0.78..0.88);
    let road = Texture::of_colors(rng, [Rgb::grey(0.4), Rgb::grey(0.28)]);
    let longer = w.max(h);
    canvas.each(|x, y, above| if y > ground { road.at(x / longer, y / longer) } else { above });
    let mut x = -w * 0.05;
    while x < w {
        let (wide, tall) = (w * rng.random_range(0.14..0.3), h * rng.random_range(0.3..0.72));
        building(rng, &mut canvas, [x, ground - tall, x + wide, ground]);
        x += wide * rng.random_range(0.95..1.12);
    }
    let kinds = ["balloon", "house", "stone", "flower"];
    for _ in 0..rng.random_range(2..5) {
        let kind = things::KINDS.iter().find(|kind| kind.name == kinds[rng.random_range(0..4)]);
        if let Some(kind) = kind {
            let size = h * rng.random_range(0.08..0.2);
            let at = [rng_in(rng, w), ground + rng.random_range(-0.02..0.1) * h - size * 0.4];
            kind.sprite(rng).placed(at[0], at[1], size).draw(&mut canvas, Some([0.06, 0.04]));
        }
    }
    canvas
}

fn building(rng: &mut Stream, canvas: &mut Canvas, [l, t, r, b]: [f32; 4]) {
    let wall = muted(rng);
    if let Some(path) = polygon(&[[l, t], [r, t], [r, b], [l, b]]) {
        canvas.fill_gradient(&path, ([l, t], wall.times(1.15)), ([r, b], wall.times(0.75)));
    }
    if rng.random_bool(0.5) {
        let peak = (b - t) * rng.random_range(0.12..0.3);
        let roof = hsv(rng.random_range(0.0..0.08), rng.random_range(0.3..0.7), rng.random_range(0.3..0.6));
        if let Some(path) = polygon(&[[l - 2.0, t], [r + 2.0, t], [l.midpoint(r), t - peak]]) {
            canvas.fill(&path, roof.opaque());
        }
    }
    let (cols, rows) = (rng.random_range(2..5), rng.random_range(3..7));
    let (lit, dark) = (hsv(0.13, 0.5, 0.95), hsv(0.6, 0.4, 0.3));
    let (cw, rh) = ((r - l) / cols as f32, (b - t) / rows as f32);
    for row in 0..rows {
        for col in 0..cols {
            let (x, y) = (l + cw * (col as f32 + 0.25), t + rh * (row as f32 + 0.2));
            let color = if rng.random_bool(0.3) { lit } else { dark.times(rng.random_range(0.8..1.6)) };
            if let Some(path) =
                polygon(&[[x, y], [x + cw * 0.5, y], [x + cw * 0.5, y + rh * 0.6], [x, y + rh * 0.6]])
            {
                canvas.fill(&path, color.opaque());
            }
        }
    }
}

fn table(rng: &mut Stream, width: u32, height: u32) -> Canvas {
    let (w, h) = (width as f32, height as f32);
    let longer = w.max(h);
    let (wall, top) = (Texture::any(rng), Texture::any(rng));
    let edge = h * rng.random_range(0.3..0.5);
    let mut canvas = Canvas::from_fn(width, height, |x, y| {
        let (u, v) = (x / longer, y / longer);
        if y < edge { wall.at(u, v).times(0.8) } else { top.at(u, v).times(0.85 + 0.25 * (y - edge) / h) }
    });
    let light = super::canvas::direction(rng);
    let mut places: Vec<[f32; 2]> = (0..rng.random_range(6..11))
        .map(|_| [w * rng.random_range(0.06..0.94), edge + (h - edge) * rng.random_range(-0.1..0.85)])
        .collect();
    places.sort_by(|a, b| a[1].total_cmp(&b[1]));
    for [x, y] in places {
        let size = h * rng.random_range(0.14..0.28) * (0.8 + 0.4 * y / h);
        let kind = things::KINDS[rng.random_range(0..things::KINDS.len())];
        kind.sprite(rng).placed(x, y, size).draw(&mut canvas, Some([0.08 * light.0, 0.06]));
    }
    canvas
}

fn meadow(rng: &mut Stream, width: u32, height: u32) -> Canvas {
    let (w, h) = (width as f32, height as f32);
    let horizon = h * rng.random_range(0.3..0.5);
    let mut canvas = sky(rng, width, height, horizon / h);
    let grass = hsv(rng.random_range(0.2..0.36), rng.random_range(0.4..0.7), rng.random_range(0.4..0.65));
    let noise = Noise(rng.random());
    canvas.each(|x, y, above| {
        let hill = horizon + h * 0.08 * (noise.fractal(x / w * 3.0, 1.3, 3) - 0.5);
        if y < hill {
            return above;
        }
        let near = (y - hill) / h;
        let blades = noise.fractal(x / w * 90.0, y / h * 30.0, 2);
        let patches = noise.fractal(x / w * 6.0, y / h * 9.0, 4);
        grass.times(0.55 + 0.35 * blades + 0.5 * patches - 0.15 * near)
    });
    for _ in 0..rng.random_range(3..8) {
        let (x, y, size) =
            (rng_in(rng, w), horizon + h * rng.random_range(0.0..0.3), h * rng.random_range(0.15..0.4));
        tree(rng, &mut canvas, [x, y], size);
    }
    for _ in 0..rng.random_range(8..22) {
        let share: f32 = rng.random_range(0.1..1.0);
        let (x, y) = (rng_in(rng, w), horizon + (h - horizon) * share);
        let kind = things::KINDS[[3, 4, 13][rng.random_range(0..3)]];
        kind.sprite(rng).placed(x, y, h * (0.03 + 0.07 * share)).draw(&mut canvas, Some([0.1, 0.1]));
    }
    canvas
}

fn tree(rng: &mut Stream, canvas: &mut Canvas, [x, y]: [f32; 2], size: f32) {
    let trunk = hsv(0.07, 0.5, rng.random_range(0.25..0.45));
    if let Some(path) = polygon(&[
        [x - size * 0.06, y],
        [x + size * 0.06, y],
        [x + size * 0.03, y - size * 0.6],
        [x - size * 0.03, y - size * 0.6],
    ]) {
        canvas.fill(&path, trunk.opaque());
    }
    let crown = if rng.random_bool(0.2) { vivid(rng) } else { hsv(rng.random_range(0.15..0.4), 0.6, 0.5) };
    for _ in 0..7 {
        let (dx, dy) = (size * rng.random_range(-0.25..0.25), size * rng.random_range(-0.95..-0.5));
        let radius = size * rng.random_range(0.12..0.24);
        let outline: Vec<[f32; 2]> =
            wavering(rng, 9, radius, 0.2).into_iter().map(|[px, py]| [x + dx + px, y + dy + py]).collect();
        if let Some(path) = polygon(&outline) {
            let shade = crown.times(rng.random_range(0.65..1.25));
            canvas.fill_gradient(
                &path,
                ([x + dx - size * 0.2, y + dy - size * 0.2], shade.times(1.25)),
                ([x + dx + size * 0.2, y + dy + size * 0.2], shade.times(0.7)),
            );
        }
    }
}
