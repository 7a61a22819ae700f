//! How sure numbers are: shares and their differences, ranks, what chance does. Each function is pinned against values of
//! `statsmodels`, `SciPy`, `NumPy` or `scikit-learn` in `tests/fixtures/statistics`.

mod paired;
mod ranks;
mod resample;

pub use self::paired::{McNemarCells, Newcombe, holm, mcnemar_exact, newcombe};
pub use self::ranks::{SignFlip, Wilcoxon, auroc, kendall, sign_flip, spearman, wilcoxon};
pub use self::resample::{
    Draws, bootstrap, clustered_bootstrap, clusters_of, mean, percentile_interval, two_groups,
};

/// The 95 % interval of a share of `successes` among `of` (Wilson 1927): it stays within 0 and 1 and is honest for few.
pub fn wilson(successes: usize, of: usize) -> [f64; 2] {
    /// The 0.975 quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (of as f64, successes as f64 / of as f64);
    let (z2, denominator) = (Z * Z, 1.0 + Z * Z / n);
    let middle = (p + z2 / (2.0 * n)) / denominator;
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / denominator;
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

#[cfg(test)]
mod tests;
