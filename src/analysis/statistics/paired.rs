//! Two answers to each sample: which of the two is right more often.

use super::wilson;

/// Samples by who is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct McNemarCells {
    /// Both.
    pub both: usize,
    /// The first alone.
    pub first: usize,
    /// The second alone.
    pub second: usize,
    /// Neither.
    pub neither: usize,
}

impl McNemarCells {
    /// Of samples, first and second of each.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut cells = Self::default();
        for pair in pairs {
            *match pair {
                (true, true) => &mut cells.both,
                (true, false) => &mut cells.first,
                (false, true) => &mut cells.second,
                (false, false) => &mut cells.neither,
            } += 1;
        }
        cells
    }

    /// All.
    pub fn total(&self) -> usize {
        self.both + self.first + self.second + self.neither
    }
}

/// Difference of two paired shares, first minus second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newcombe {
    /// In shares.
    pub difference: f64,
    /// 95 %.
    pub interval: [f64; 2],
    /// How the two go together.
    pub phi: f64,
}

/// The interval of the difference of two paired shares (Newcombe 1998, Statistics in Medicine 17, 2635, method 10); nothing
/// without samples.
pub fn newcombe(cells: McNemarCells) -> Option<Newcombe> {
    let n = cells.total();
    if n == 0 {
        return None;
    }
    let McNemarCells { both, first, second, neither } = cells;
    let share = |count: usize| count as f64 / n as f64;
    let (p1, p2) = (share(both + first), share(both + second));
    let ([l1, u1], [l2, u2]) = (wilson(both + first, n), wilson(both + second, n));
    let [a, b, c, d] = [both, first, second, neither].map(|count| count as f64);
    let margins = (a + b) * (c + d) * (a + c) * (b + d);
    let top = a * d - b * c;
    let top = if top > 0.0 { (top - n as f64 / 2.0).max(0.0) } else { top };
    let phi = if margins == 0.0 { 0.0 } else { top / margins.sqrt() };
    let difference = (b - c) / n as f64;
    let side = |x: f64, y: f64| (x * x - 2.0 * phi * x * y + y * y).max(0.0).sqrt();
    let low = difference - side(p1 - l1, u2 - p2);
    let high = difference + side(u1 - p1, p2 - l2);
    Some(Newcombe { difference, interval: [low.max(-1.0), high.min(1.0)], phi })
}

/// The exact test of samples on which the two differ, two-sided (`McNemar` 1947): min(1, 2 P(X <= min)), X binomial with 1/2.
/// 1 where they never differ.
pub fn mcnemar_exact(first: usize, second: usize) -> f64 {
    let (n, least) = (first + second, first.min(second));
    if n == 0 {
        return 1.0;
    }
    // Terms as logarithms: 2^-n of many samples is no number.
    let log_factorial = |count: usize| libm::lgamma(count as f64 + 1.0);
    let log_term = |k: usize| {
        log_factorial(n) - log_factorial(k) - log_factorial(n - k) - n as f64 * std::f64::consts::LN_2
    };
    let tail: f64 = (0..=least).map(|k| log_term(k).exp()).sum();
    (2.0 * tail).min(1.0)
}

/// p-values such that the chance of any false finding among all is what each says (Holm 1979), in the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0f64;
    for (i, place) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - i) as f64 * p[place]);
        adjusted[place] = largest.min(1.0);
    }
    adjusted
}
