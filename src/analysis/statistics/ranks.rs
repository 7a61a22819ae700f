//! Tests and correlations of ranks, and of signs.

use super::mean;

/// Ranks from 1, ties with the mean of theirs; and by how many each tie is shared.
fn ranks(values: &[f64]) -> (Vec<f64>, Vec<usize>) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut ranks, mut ties, mut first) = (vec![0.0; values.len()], Vec::new(), 0);
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + f64::midpoint(tied.len() as f64, 1.0);
        for place in tied {
            ranks[*place] = rank;
        }
        first += tied.len();
        ties.push(tied.len());
    }
    (ranks, ties)
}

/// Signed ranks of paired differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// Differences that are not 0.
    pub used: usize,
    /// Sum of the ranks of those above 0.
    pub w_plus: f64,
    /// Of those below.
    pub w_minus: f64,
    /// Two-sided, over all signs of the ranks as they are; of more than 50 differences nothing.
    pub p_exact: Option<f64>,
    /// Nothing where no difference is left.
    pub z: Option<f64>,
    /// Two-sided, without continuity correction.
    pub p_normal: Option<f64>,
}

impl Wilcoxon {
    /// The exact one where it is there.
    pub fn p(&self) -> f64 {
        self.p_exact.or(self.p_normal).unwrap_or(1.0)
    }
}

/// Wilcoxon's signed-rank test (1945): zeros are left out, ties get mean ranks.
pub fn wilcoxon(differences: &[f64]) -> Wilcoxon {
    /// Past it signs are too many to enumerate.
    const MOST: usize = 50;
    let used: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let n = used.len();
    let (ranks, ties) = ranks(&used.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let sum = |above: bool| -> f64 {
        ranks.iter().zip(&used).filter(|(_, d)| (**d > 0.0) == above).map(|(rank, _)| rank).sum()
    };
    let (w_plus, w_minus) = (sum(true), sum(false));
    if n == 0 {
        return Wilcoxon { used: 0, w_plus, w_minus, p_exact: Some(1.0), z: None, p_normal: None };
    }
    let nf = n as f64;
    let tied: f64 = ties.iter().map(|t| (*t as f64).powi(3) - *t as f64).sum();
    let deviation = (nf * (nf + 1.0) * (2.0 * nf + 1.0) / 24.0 - tied / 48.0).sqrt();
    let z = (w_plus.min(w_minus) - nf * (nf + 1.0) / 4.0) / deviation;
    let p_normal = libm::erfc(z.abs() / std::f64::consts::SQRT_2);
    let p_exact = (n <= MOST).then(|| exact(&ranks, w_plus));
    Wilcoxon { used: n, w_plus, w_minus, p_exact, z: Some(z), p_normal: Some(p_normal) }
}

/// Over all signs of ranks: min(1, 2 min of the two tails) of the sum of those above 0.
fn exact(ranks: &[f64], w_plus: f64) -> f64 {
    // Twice each rank is whole, ties too.
    let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank).round() as usize).collect();
    let most: usize = doubled.iter().sum();
    let mut counts = vec![0f64; most + 1];
    counts[0] = 1.0;
    let mut reached = 0;
    for rank in doubled {
        reached += rank;
        for sum in (rank..=reached).rev() {
            counts[sum] += counts[sum - rank];
        }
    }
    let seen = (2.0 * w_plus).round() as usize;
    let all = 2f64.powi(ranks.len() as i32);
    let low: f64 = counts[..=seen].iter().sum();
    let high: f64 = counts[seen..].iter().sum();
    (2.0 * low.min(high) / all).min(1.0)
}

/// A test by flipping signs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignFlip {
    /// Of the differences.
    pub mean: f64,
    /// Two-sided.
    pub p: f64,
}

/// The permutation test of a mean difference: the share of sign patterns whose sum is at least as far from 0. Without `signs`
/// all there are; with them (1 + those as far) / (1 + their number). Nothing without differences.
pub fn sign_flip(differences: &[f64], signs: Option<&[Vec<f64>]>) -> Option<SignFlip> {
    let mean = mean(differences)?;
    let seen: f64 = differences.iter().sum::<f64>().abs();
    let slack = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let is_as_far = |sum: f64| sum.abs() >= seen - slack;
    let p = if let Some(signs) = signs {
        let flipped =
            |row: &&Vec<f64>| is_as_far(row.iter().zip(differences).map(|(sign, d)| sign * d).sum());
        (1 + signs.iter().filter(flipped).count()) as f64 / (1 + signs.len()) as f64
    } else {
        let n = differences.len();
        let all = 1u64 << n.min(63);
        let flipped = |pattern: &u64| {
            let signed = differences.iter().enumerate();
            is_as_far(signed.map(|(i, d)| if pattern >> i & 1 == 1 { -d } else { *d }).sum())
        };
        (0..all).filter(flipped).count() as f64 / all as f64
    };
    Some(SignFlip { mean, p })
}

/// The chance that a positive scores above a negative, ties half; nothing where a class is missing.
pub fn auroc(positive: &[bool], scores: &[f64]) -> Option<f64> {
    let (ranks, _) = ranks(scores);
    let p = positive.iter().filter(|own| **own).count() as f64;
    let n = positive.len() as f64 - p;
    let sum: f64 = ranks.iter().zip(positive).filter(|(_, own)| **own).map(|(rank, _)| rank).sum();
    (p > 0.0 && n > 0.0).then(|| (sum - p * (p + 1.0) / 2.0) / (p * n))
}

/// Pearson's correlation of mean ranks (Spearman 1904); nothing of fewer than two pairs, or where one side is constant.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let (x, y) = (ranks(x).0, ranks(y).0);
    let (mx, my) = (mean(&x)?, mean(&y)?);
    let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
    };
    let (xx, yy) = (product(&x, mx, &x, mx), product(&y, my, &y, my));
    (x.len() > 1 && xx > 0.0 && yy > 0.0).then(|| product(&x, mx, &y, my) / (xx * yy).sqrt())
}

/// Tau-b (Kendall 1945): (concordant - discordant) / sqrt((pairs - ties in x)(pairs - ties in y)); undefined as [`spearman`].
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mut difference, mut untied_x, mut untied_y) = (0i64, 0u64, 0u64);
    for i in 0..x.len() {
        for j in 0..i {
            let sign = |values: &[f64]| (values[i] > values[j]) as i64 - (values[i] < values[j]) as i64;
            let (a, b) = (sign(x), sign(y));
            difference += a * b;
            untied_x += a.unsigned_abs();
            untied_y += b.unsigned_abs();
        }
    }
    let both = untied_x as f64 * untied_y as f64;
    (both > 0.0).then(|| difference as f64 / both.sqrt())
}
