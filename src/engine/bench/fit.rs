//! The cost of a prompt by its length.

use serde::Serialize;

/// seconds = `fixed` + `per_token` · N + `per_pair` · N².
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Whatever the length.
    pub fixed: f64,
    /// Of each token.
    pub per_token: f64,
    /// Of each token for each other.
    pub per_pair: f64,
}

impl Cost {
    /// Least squares of relative errors over lengths and seconds; `None` for fewer than three lengths.
    pub fn fit(measured: &[(usize, f64)]) -> Option<Self> {
        let mut lengths: Vec<usize> = measured.iter().map(|(n, _)| *n).collect();
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.len() < 3 {
            return None;
        }
        // Normal equations of three unknowns, in thousands of tokens so that their sizes are alike.
        let mut rows = [[0f64; 4]; 3];
        for (n, seconds) in measured.iter().filter(|(_, seconds)| *seconds > 0.0) {
            let n = *n as f64 / 1000.0;
            let terms = [1.0 / seconds, n / seconds, n * n / seconds];
            for (row, term) in rows.iter_mut().zip(terms) {
                for (sum, other) in row.iter_mut().zip(terms.into_iter().chain([1.0])) {
                    *sum += term * other;
                }
            }
        }
        let [fixed, per_token, per_pair] = solve(rows)?;
        Some(Self { fixed, per_token: per_token / 1e3, per_pair: per_pair / 1e6 })
    }
}

/// Gauss with the largest pivot first.
fn solve(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for i in 0..3 {
        let pivot = (i..3).max_by(|a, b| rows[*a][i].abs().total_cmp(&rows[*b][i].abs()))?;
        rows.swap(i, pivot);
        if rows[i][i].abs() < 1e-12 {
            return None;
        }
        for j in (0..3).filter(|j| *j != i) {
            let factor = rows[j][i] / rows[i][i];
            let from = rows[i];
            rows[j].iter_mut().zip(from).for_each(|(value, from)| *value -= factor * from);
        }
    }
    Some([0, 1, 2].map(|i| rows[i][3] / rows[i][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_found_again() {
        let seconds = |n: usize| 0.5 + 2e-3 * n as f64 + 3e-7 * (n * n) as f64;
        let measured: Vec<(usize, f64)> = [256, 1024, 2048, 8192].map(|n| (n, seconds(n))).to_vec();
        let cost = Cost::fit(&measured).unwrap();
        assert!((cost.fixed - 0.5).abs() < 1e-6 && (cost.per_token - 2e-3).abs() < 1e-8);
        assert!((cost.per_pair - 3e-7).abs() < 1e-11);
        assert_eq!(Cost::fit(&measured[..2]), None);
        assert_eq!(Cost::fit(&[(256, 1.0), (256, 1.0), (256, 1.1)]), None);
    }
}
