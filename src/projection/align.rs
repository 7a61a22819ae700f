//! Turns one layout onto another of the same points: a layout means the same turned or mirrored.

/// Turns, mirrors and moves a layout to where the squared distances to another's points are least (orthogonal Procrustes,
/// Schönemann 1966). Sizes stay.
///
/// # Panics
/// Where the layouts are not of as many points.
pub fn onto(map: &mut [[f32; 2]], other: &[[f32; 2]]) {
    assert_eq!(map.len(), other.len(), "layouts of the same points");
    let middle = |points: &[[f32; 2]]| {
        [0, 1].map(|axis| points.iter().map(|p| f64::from(p[axis])).sum::<f64>() / points.len().max(1) as f64)
    };
    let (from, to) = (middle(map), middle(other));
    let mut products = [[0f64; 2]; 2];
    for (a, b) in map.iter().zip(other) {
        for (i, row) in products.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                *sum += (f64::from(a[i]) - from[i]) * (f64::from(b[j]) - to[j]);
            }
        }
    }
    let [[xx, xy], [yx, yy]] = products;
    // In two dimensions the best turn and the best turned mirror image have closed forms; the larger trace wins.
    let (turn, mirror) = ((xy - yx).atan2(xx + yy), (xy + yx).atan2(xx - yy));
    let is_turn = (xx + yy).hypot(xy - yx) >= (xx - yy).hypot(xy + yx);
    let (angle, sign) = if is_turn { (turn, 1.0) } else { (mirror, -1.0) };
    let (sin, cos) = angle.sin_cos();
    for point in map {
        let (x, y) = (f64::from(point[0]) - from[0], sign * (f64::from(point[1]) - from[1]));
        *point = [(cos * x - sin * y + to[0]) as f32, (sin * x + cos * y + to[1]) as f32];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_or_mirrored_map_comes_back() {
        let map: Vec<[f32; 2]> = (0..20).map(|i| [(i * i % 17) as f32, (i * 7 % 11) as f32]).collect();
        for (sign, angle) in [(1.0f32, 2.1f32), (-1.0, 0.4), (1.0, -3.0), (-1.0, 3.0)] {
            let (sin, cos) = angle.sin_cos();
            let turned = |p: &[f32; 2]| {
                let (x, y) = (p[0], sign * p[1]);
                [cos * x - sin * y + 5.0, sin * x + cos * y - 3.0]
            };
            let mut back: Vec<[f32; 2]> = map.iter().map(turned).collect();
            onto(&mut back, &map);
            let off = |(a, b): (&[f32; 2], &[f32; 2])| (a[0] - b[0]).hypot(a[1] - b[1]);
            assert!(back.iter().zip(&map).map(off).fold(0.0, f32::max) < 1e-4);
        }
    }
}
