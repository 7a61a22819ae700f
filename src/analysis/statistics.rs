//! How sure a share is.

/// The 95 % interval of a share of `successes` among `of` (Wilson 1927): it stays within 0 and 1 and is honest for few.
pub fn wilson(successes: usize, of: usize) -> [f64; 2] {
    const Z: f64 = 1.959_963_985;
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
mod tests {
    use super::*;

    #[test]
    fn intervals_as_published() {
        // statsmodels.stats.proportion.proportion_confint(.., method="wilson").
        for (successes, of, low, high) in [
            (0, 10, 0.0, 0.277_533),
            (5, 10, 0.236_593, 0.763_407),
            (83, 100, 0.744_512, 0.891_064),
            (1, 1, 0.206_549, 1.0),
        ] {
            let [found_low, found_high] = wilson(successes, of);
            assert!(
                (found_low - low).abs() < 1e-5 && (found_high - high).abs() < 1e-5,
                "{found_low} {found_high}"
            );
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }
}
