//! Which points of a layout are under the pointer, in a box, inside a line drawn around them.

/// Points sorted into squares, so that the nearest of a million is found at once.
#[derive(Debug, Clone)]
pub struct Picker {
    places: Vec<[f32; 2]>,
    low: [f32; 2],
    side: f32,
    columns: usize,
    rows: usize,
    /// Where each square's points begin, squares + 1 of them.
    starts: Vec<u32>,
    /// Numbers of points, square by square.
    order: Vec<u32>,
}

/// Points to a square, about.
const TO_A_SQUARE: usize = 4;

impl Picker {
    /// Of these places.
    pub fn new(places: &[[f32; 2]]) -> Self {
        let bound = |axis: usize| {
            let values = places.iter().map(|place| place[axis]).filter(|v| v.is_finite());
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((left, right), (top, bottom)) = (bound(0), bound(1));
        let (width, height) = ((right - left).max(1e-6), (bottom - top).max(1e-6));
        let squares = (places.len() / TO_A_SQUARE).max(1) as f32;
        let side = (width * height / squares).sqrt().max(width.max(height) / 4096.0);
        let count = |extent: f32| if extent.is_finite() { (extent / side) as usize + 1 } else { 1 };
        let (columns, rows) = (count(width), count(height));
        let low = [left, top].map(|v| if v.is_finite() { v } else { 0.0 });
        let mut picker = Self {
            places: places.to_vec(),
            low,
            side,
            columns,
            rows,
            starts: vec![0; columns * rows + 1],
            order: Vec::new(),
        };
        let squares: Vec<usize> = places.iter().map(|place| picker.square(*place)).collect();
        for square in &squares {
            picker.starts[square + 1] += 1;
        }
        for i in 1..picker.starts.len() {
            picker.starts[i] += picker.starts[i - 1];
        }
        let mut next = picker.starts.clone();
        picker.order = vec![0; places.len()];
        for (point, square) in squares.iter().enumerate() {
            picker.order[next[*square] as usize] = point as u32;
            next[*square] += 1;
        }
        picker
    }

    fn column(&self, x: f32) -> usize {
        (((x - self.low[0]) / self.side).max(0.0) as usize).min(self.columns - 1)
    }

    fn row(&self, y: f32) -> usize {
        (((y - self.low[1]) / self.side).max(0.0) as usize).min(self.rows - 1)
    }

    fn square(&self, place: [f32; 2]) -> usize {
        self.row(place[1]) * self.columns + self.column(place[0])
    }

    /// Points of the squares that a box reaches into.
    fn near(&self, low: [f32; 2], high: [f32; 2]) -> impl Iterator<Item = u32> + '_ {
        let columns = self.column(low[0])..=self.column(high[0]);
        (self.row(low[1])..=self.row(high[1])).flat_map(move |row| {
            let first = self.starts[row * self.columns + columns.start()] as usize;
            let last = self.starts[row * self.columns + columns.end() + 1] as usize;
            self.order[first..last].iter().copied()
        })
    }

    /// The nearest point within `reach` that `is_shown`; of equal ones the one drawn last.
    pub fn nearest(&self, at: [f32; 2], reach: f32, is_shown: impl Fn(u32) -> bool) -> Option<u32> {
        let square = |point: u32| {
            let place = self.places[point as usize];
            (place[0] - at[0]).powi(2) + (place[1] - at[1]).powi(2)
        };
        let (low, high) = (at.map(|v| v - reach), at.map(|v| v + reach));
        self.near(low, high)
            .filter(|point| square(*point) <= reach * reach && is_shown(*point))
            .min_by(|a, b| square(*a).total_cmp(&square(*b)).then(b.cmp(a)))
    }

    /// Those inside a closed line, ascending; where it crosses itself, inside is where it has gone around an odd number
    /// of times.
    pub fn inside(&self, line: &[[f32; 2]]) -> Vec<u32> {
        let bound =
            |axis: usize, of: fn(f32, f32) -> f32, start| line.iter().map(|p| p[axis]).fold(start, of);
        let low = [0, 1].map(|axis| bound(axis, f32::min, f32::INFINITY));
        let high = [0, 1].map(|axis| bound(axis, f32::max, f32::NEG_INFINITY));
        if line.len() < 3 {
            return Vec::new();
        }
        let mut found: Vec<u32> =
            self.near(low, high).filter(|point| is_inside(self.places[*point as usize], line)).collect();
        found.sort_unstable();
        found
    }
}

/// Does a ray to the right cross the line an odd number of times?
fn is_inside([x, y]: [f32; 2], line: &[[f32; 2]]) -> bool {
    let mut inside = false;
    for (i, a) in line.iter().enumerate() {
        let b = line[(i + 1) % line.len()];
        if (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0] {
            inside = !inside;
        }
    }
    inside
}

/// The corners of a box, as a line around it.
pub fn around(a: [f32; 2], b: [f32; 2]) -> [[f32; 2]; 4] {
    [a, [b[0], a[1]], b, [a[0], b[1]]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<[f32; 2]> {
        (0..5000).map(|i| [((i * 7919) % 5003) as f32 / 50.0, ((i * 104_729) % 4999) as f32 / 90.0]).collect()
    }

    #[test]
    fn the_nearest_is_that_of_a_search_through_all() {
        let places = places();
        let picker = Picker::new(&places);
        for (at, reach) in
            [([50.0, 20.0], 3.0), ([-1.0, -1.0], 2.0), ([99.0, 55.0], 30.0), ([200.0, 3.0], 1.0)]
        {
            let square = |p: &[f32; 2]| (p[0] - at[0]).powi(2) + (p[1] - at[1]).powi(2);
            let shown = |i: u32| !i.is_multiple_of(3);
            let all = (0..5000u32).filter(|i| shown(*i) && square(&places[*i as usize]) <= reach * reach);
            let best =
                all.min_by(|a, b| square(&places[*a as usize]).total_cmp(&square(&places[*b as usize])));
            assert_eq!(picker.nearest(at, reach, shown), best);
        }
    }

    #[test]
    fn a_line_holds_what_is_inside() {
        let places = places();
        let picker = Picker::new(&places);
        let in_box = picker.inside(&around([70.0, 10.0], [20.0, 30.0]));
        let expected: Vec<u32> = (0..5000)
            .filter(|i| {
                let [x, y] = places[*i as usize];
                (20.0..70.0).contains(&x) && (10.0..30.0).contains(&y)
            })
            .collect();
        assert!(in_box == expected && in_box.len() > 100);
        // A line that goes around its middle twice, as a pentagram does, leaves it out.
        let star: Vec<[f32; 2]> = (0..5)
            .map(|i| {
                let angle = (i * 2) as f32 * std::f32::consts::TAU / 5.0;
                [50.0 + 20.0 * angle.cos(), 28.0 + 20.0 * angle.sin()]
            })
            .collect();
        let found = picker.inside(&star);
        let near = |i: &u32| (places[*i as usize][0] - 50.0).hypot(places[*i as usize][1] - 28.0) < 5.0;
        assert!(!found.is_empty() && !found.iter().any(near));
        assert!(picker.inside(&[[0.0, 0.0], [1.0, 1.0]]).is_empty());
    }

    #[test]
    fn no_points_and_points_on_one_another() {
        assert_eq!(Picker::new(&[]).nearest([0.0; 2], 1.0, |_| true), None);
        let same = Picker::new(&[[2.0, 2.0]; 9]);
        assert_eq!(same.nearest([2.0, 2.5], 1.0, |_| true), Some(8));
        assert_eq!(same.inside(&around([1.0, 1.0], [3.0, 3.0])).len(), 9);
    }
}
