//! Tools by what is done with them. Tools of one action look unlike each other, yet each has the same five
//! functional points.

use crate::random::Stream;
use rand::RngExt;

use super::color::{Rgb, hsv, vivid};
use super::sprite::Sprite;

/// Something done with tools.
#[derive(Debug, Clone, Copy)]
pub struct ToolAction {
    /// What is done, as in "used to ...".
    pub name: &'static str,
    /// The tools.
    pub tools: [fn(&mut Stream) -> Sprite; 3],
}

/// Every action.
pub const ACTIONS: [ToolAction; 4] = [
    ToolAction { name: "pour", tools: [kettle, jug, watering_can] },
    ToolAction { name: "strike", tools: [hammer, mallet, axe] },
    ToolAction { name: "scoop", tools: [spoon, shovel, ladle] },
    ToolAction { name: "sweep", tools: [broom, brush, rake] },
];

fn wood(rng: &mut Stream) -> Rgb {
    hsv(rng.random_range(0.05..0.1), rng.random_range(0.4..0.7), rng.random_range(0.4..0.75))
}

fn metal(rng: &mut Stream) -> Rgb {
    hsv(rng.random_range(0.5..0.7), rng.random_range(0.02..0.15), rng.random_range(0.5..0.8))
}

fn vary(rng: &mut Stream, around: f32) -> f32 {
    around * rng.random_range(0.82..1.22)
}

/// The five points of pouring.
fn pouring(
    sprite: Sprite,
    spout: [f32; 2],
    grip: [f32; 2],
    base: [f32; 2],
    opening: [f32; 2],
    belly: [f32; 2],
) -> Sprite {
    sprite
        .point("where the liquid leaves", spout[0], spout[1])
        .point("where the hand holds it", grip[0], grip[1])
        .point("what it stands on", base[0], base[1])
        .point("where it is filled", opening[0], opening[1])
        .point("what holds the liquid", belly[0], belly[1])
}

fn kettle(rng: &mut Stream) -> Sprite {
    let color = vivid(rng);
    let (w, h, spout) = (vary(rng, 0.9), vary(rng, 0.75), vary(rng, 0.6));
    let sprite = Sprite::new()
        .line(
            &[[-w * 0.7, -h * 0.6], [-w * 0.5, -h - 0.65], [w * 0.5, -h - 0.65], [w * 0.7, -h * 0.6]],
            0.14,
            Rgb::grey(0.2),
        )
        .polygon(
            &[[w * 0.7, 0.1], [w + spout, -h * 0.75], [w + spout * 1.25, -h * 0.6], [w * 0.85, 0.45]],
            color.times(0.9),
        )
        .blob(&[[-w * 0.6, -h], [w * 0.6, -h], [w, 0.2], [w * 0.8, h], [-w * 0.8, h], [-w, 0.2]], color)
        .oval(0.0, -h * 0.98, w * 0.5, 0.12, color.times(0.7))
        .oval(0.0, -h - 0.14, 0.1, 0.1, Rgb::grey(0.2));
    pouring(
        sprite,
        [w + spout * 1.12, -h * 0.68],
        [0.0, -h - 0.65],
        [0.0, h],
        [0.0, -h],
        [-w * 0.1, h * 0.25],
    )
}

fn jug(rng: &mut Stream) -> Sprite {
    let color = vivid(rng).mix(Rgb::grey(0.9), 0.3);
    let (w, h) = (vary(rng, 0.6), vary(rng, 1.1));
    let ear = vary(rng, 0.6);
    let sprite = Sprite::new()
        .line(
            &[[-w * 0.8, -h * 0.6], [-w - ear, -h * 0.45], [-w - ear * 0.9, h * 0.3], [-w * 0.8, h * 0.4]],
            0.15,
            color.times(0.8),
        )
        .blob(
            &[
                [-w * 0.75, -h],
                [w * 0.7, -h],
                [w * 0.75, -h * 0.4],
                [w * 1.1, h * 0.35],
                [w * 0.8, h],
                [-w * 0.8, h],
                [-w * 1.1, h * 0.35],
                [-w * 0.75, -h * 0.4],
            ],
            color,
        )
        .polygon(&[[w * 0.55, -h * 1.02], [w * 1.3, -h * 1.08], [w * 0.65, -h * 0.65]], color)
        .oval(-0.02, -h, w * 0.72, 0.14, color.times(0.55));
    pouring(sprite, [w * 1.25, -h * 1.06], [-w - ear * 0.95, -0.08], [0.0, h], [-0.05, -h], [0.0, h * 0.4])
}

fn watering_can(rng: &mut Stream) -> Sprite {
    let color = vivid(rng);
    let (w, h, reach) = (vary(rng, 0.75), vary(rng, 0.6), vary(rng, 1.1));
    let sprite = Sprite::new()
        .line(&[[w * 0.8, h * 0.5], [w + reach, -h - 0.25]], 0.16, color.times(0.8))
        .tilted(w + reach + 0.05, -h - 0.3, 0.12, 0.36, 40.0, color.times(0.65))
        .line(
            &[[-w * 0.9, h * 0.4], [-w - 0.55, -h * 0.3], [-w * 0.6, -h - 0.35], [0.1, -h]],
            0.14,
            color.times(0.7),
        )
        .block(-w, -h, w, h, color)
        .oval(0.0, -h, w, 0.16, color.times(0.6))
        .block(-w, h * 0.2, w, h * 0.4, color.mix(Rgb::grey(1.0), 0.4));
    pouring(sprite, [w + reach + 0.08, -h - 0.32], [-w - 0.4, -h * 0.45], [0.0, h], [0.1, -h], [0.0, 0.05])
}

/// The five points of striking.
fn striking(
    sprite: Sprite,
    face: [f32; 2],
    grip: [f32; 2],
    end: [f32; 2],
    joint: [f32; 2],
    back: [f32; 2],
) -> Sprite {
    sprite
        .point("what meets the target", face[0], face[1])
        .point("where the hand holds it", grip[0], grip[1])
        .point("the far end of the handle", end[0], end[1])
        .point("where head and handle meet", joint[0], joint[1])
        .point("the side away from the target", back[0], back[1])
}

fn hammer(rng: &mut Stream) -> Sprite {
    let (handle, head) = (wood(rng), metal(rng));
    let (long, wide) = (vary(rng, 2.3), vary(rng, 0.55));
    let sprite = Sprite::new()
        .block(-0.12, 0.0, 0.12, long, handle)
        .blob(
            &[
                [-0.1, long * 0.62],
                [0.1, long * 0.62],
                [0.2, long * 0.8],
                [0.17, long],
                [-0.17, long],
                [-0.2, long * 0.8],
            ],
            handle.times(0.75),
        )
        .polygon(&[[-wide, -0.05], [-wide - 0.55, 0.28], [-wide - 0.5, 0.05], [-wide, -0.3]], head)
        .block(-wide, -0.3, wide * 0.9, 0.15, head)
        .block(wide * 0.9, -0.36, wide + 0.3, 0.22, head.times(0.8));
    striking(sprite, [wide + 0.3, -0.07], [0.0, long * 0.8], [0.0, long], [0.0, 0.0], [-wide - 0.5, 0.18])
}

fn mallet(rng: &mut Stream) -> Sprite {
    let (handle, head) = (wood(rng), wood(rng).times(0.85));
    let (long, wide, tall) = (vary(rng, 2.0), vary(rng, 0.85), vary(rng, 0.5));
    let sprite = Sprite::new()
        .polygon(&[[-0.1, 0.0], [0.1, 0.0], [0.16, long], [-0.16, long]], handle)
        .block(-wide, -tall, wide, tall * 0.6, head)
        .oval(wide, -tall * 0.2, 0.16, tall * 0.8, head.mix(Rgb::grey(1.0), 0.2))
        .oval(-wide, -tall * 0.2, 0.16, tall * 0.8, head.times(0.7));
    striking(
        sprite,
        [wide + 0.1, -tall * 0.2],
        [0.0, long * 0.75],
        [0.0, long],
        [0.0, tall * 0.5],
        [-wide - 0.1, -tall * 0.2],
    )
}

fn axe(rng: &mut Stream) -> Sprite {
    let (handle, blade) = (wood(rng), metal(rng));
    let (long, reach) = (vary(rng, 2.5), vary(rng, 0.85));
    let sprite = Sprite::new()
        .blob(
            &[
                [-0.1, -0.35],
                [0.12, -0.35],
                [0.14, long * 0.5],
                [0.3, long],
                [0.02, long],
                [-0.14, long * 0.5],
            ],
            handle,
        )
        .polygon(
            &[
                [-0.25, -0.2],
                [0.2, -0.25],
                [reach, -0.6],
                [reach + 0.12, 0.1],
                [reach, 0.65],
                [0.2, 0.25],
                [-0.25, 0.2],
            ],
            blade,
        )
        .line(&[[reach, -0.55], [reach + 0.1, 0.1], [reach, 0.6]], 0.08, blade.mix(Rgb::grey(1.0), 0.7));
    striking(sprite, [reach + 0.1, 0.1], [0.08, long * 0.75], [0.16, long], [0.0, 0.0], [-0.25, 0.0])
}

/// The five points of scooping.
fn scooping(
    sprite: Sprite,
    tip: [f32; 2],
    hollow: [f32; 2],
    neck: [f32; 2],
    grip: [f32; 2],
    end: [f32; 2],
) -> Sprite {
    sprite
        .point("the edge that digs in", tip[0], tip[1])
        .point("what holds the load", hollow[0], hollow[1])
        .point("where bowl and handle meet", neck[0], neck[1])
        .point("where the hand holds it", grip[0], grip[1])
        .point("the far end of the handle", end[0], end[1])
}

fn spoon(rng: &mut Stream) -> Sprite {
    let color = metal(rng);
    let (long, bowl) = (vary(rng, 2.3), vary(rng, 0.5));
    let sprite = Sprite::new()
        .polygon(&[[-0.07, 0.0], [0.07, 0.0], [0.2, long], [-0.2, long]], color.times(0.9))
        .oval(0.0, long, 0.22, 0.18, color.times(0.9))
        .oval(0.0, -bowl, bowl * 0.75, bowl * 1.2, color)
        .oval(0.03, -bowl * 0.95, bowl * 0.52, bowl * 0.9, color.times(0.75));
    scooping(
        sprite,
        [0.0, -bowl * 2.2],
        [0.0, -bowl],
        [0.0, bowl * 0.2],
        [0.0, long * 0.62],
        [0.0, long + 0.15],
    )
}

fn shovel(rng: &mut Stream) -> Sprite {
    let (handle, blade) = (wood(rng), metal(rng));
    let (long, wide, deep) = (vary(rng, 2.2), vary(rng, 0.55), vary(rng, 1.0));
    let sprite = Sprite::new()
        .block(-0.09, -0.1, 0.09, long, handle)
        .line(&[[-0.35, long], [0.35, long]], 0.2, handle.times(0.7))
        .blob(
            &[[-wide, 0.0], [wide, 0.0], [wide, -deep * 0.6], [0.0, -deep * 1.25], [-wide, -deep * 0.6]],
            blade,
        )
        .line(&[[0.0, -0.05], [0.0, -deep * 0.6]], 0.07, blade.times(0.6));
    scooping(
        sprite,
        [0.0, -deep * 1.25],
        [wide * 0.3, -deep * 0.55],
        [0.0, 0.0],
        [0.0, long * 0.55],
        [0.0, long + 0.08],
    )
}

fn ladle(rng: &mut Stream) -> Sprite {
    let color = vivid(rng).mix(metal(rng), 0.5);
    let (long, bowl) = (vary(rng, 2.2), vary(rng, 0.6));
    let sprite = Sprite::new()
        .line(
            &[[bowl * 0.9, -0.05], [bowl * 0.95, long * 0.9], [bowl * 0.7, long], [bowl * 0.5, long * 0.9]],
            0.13,
            color.times(0.85),
        )
        .blob(
            &[
                [-bowl, -0.05],
                [bowl, -0.05],
                [bowl * 0.8, -bowl * 0.75],
                [0.0, -bowl * 1.05],
                [-bowl * 0.8, -bowl * 0.75],
            ],
            color,
        )
        .oval(0.0, -0.05, bowl, 0.17, color.times(0.55));
    scooping(
        sprite,
        [-bowl, -0.08],
        [0.0, -bowl * 0.55],
        [bowl * 0.9, -0.02],
        [bowl * 0.93, long * 0.55],
        [bowl * 0.7, long],
    )
}

/// The five points of sweeping.
fn sweeping(
    sprite: Sprite,
    tips: [f32; 2],
    head: [f32; 2],
    neck: [f32; 2],
    grip: [f32; 2],
    end: [f32; 2],
) -> Sprite {
    sprite
        .point("what touches the floor", tips[0], tips[1])
        .point("what the bristles sit in", head[0], head[1])
        .point("where head and handle meet", neck[0], neck[1])
        .point("where the hand holds it", grip[0], grip[1])
        .point("the far end of the handle", end[0], end[1])
}

fn broom(rng: &mut Stream) -> Sprite {
    let (handle, straw, band) = (wood(rng), hsv(0.12, 0.55, 0.8), vivid(rng));
    let (long, deep, wide) = (vary(rng, 2.3), vary(rng, 0.9), vary(rng, 0.6));
    let mut sprite = Sprite::new()
        .block(-0.08, 0.0, 0.08, long, handle)
        .polygon(&[[-0.2, 0.0], [0.2, 0.0], [wide, -deep], [-wide, -deep]], straw);
    for i in 0..7 {
        let share = i as f32 / 3.0 - 1.0;
        sprite = sprite.line(&[[share * 0.18, -0.05], [share * wide * 0.92, -deep]], 0.04, straw.times(0.65));
    }
    let sprite = sprite.block(-0.24, -0.16, 0.24, 0.06, band);
    sweeping(sprite, [0.0, -deep], [0.0, -0.08], [0.0, 0.08], [0.0, long * 0.6], [0.0, long])
}

fn brush(rng: &mut Stream) -> Sprite {
    let (body, hair) = (vivid(rng), hsv(rng.random_range(0.0..0.12), 0.3, rng.random_range(0.2..0.6)));
    let (long, wide, deep) = (vary(rng, 1.3), vary(rng, 0.7), vary(rng, 0.6));
    let mut sprite = Sprite::new()
        .blob(
            &[
                [-0.12, 0.2],
                [0.12, 0.2],
                [0.22, long * 0.6],
                [0.12, long],
                [-0.12, long],
                [-0.22, long * 0.6],
            ],
            body,
        )
        .oval(0.0, long * 0.88, 0.06, 0.06, Rgb::grey(0.1));
    for i in 0..9 {
        let x = wide * (i as f32 / 4.0 - 1.0);
        sprite = sprite.line(&[[x, -0.1], [x * 1.08, -deep - 0.15]], 0.13, hair);
    }
    let sprite = sprite.block(-wide - 0.08, -0.2, wide + 0.08, 0.22, body.times(0.8));
    sweeping(sprite, [0.0, -deep - 0.18], [-wide * 0.5, 0.0], [0.0, 0.25], [0.0, long * 0.62], [0.0, long])
}

fn rake(rng: &mut Stream) -> Sprite {
    let (handle, teeth) = (wood(rng), vivid(rng).times(0.9));
    let (long, wide, deep) = (vary(rng, 2.4), vary(rng, 0.8), vary(rng, 0.5));
    let mut sprite = Sprite::new().block(-0.07, 0.0, 0.07, long, handle);
    for i in 0..6 {
        let x = wide * (i as f32 / 2.5 - 1.0);
        sprite = sprite.line(&[[x, -0.05], [x, -deep]], 0.09, teeth);
    }
    let sprite = sprite.line(&[[-wide, -0.03], [wide, -0.03]], 0.16, teeth.times(0.8));
    sweeping(sprite, [wide * 0.2, -deep], [-wide * 0.6, -0.03], [0.0, 0.02], [0.0, long * 0.6], [0.0, long])
}
