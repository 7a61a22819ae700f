//! How much of the states' neighbourhoods a map keeps.

use rayon::prelude::*;

use super::neighbours::Neighbours;

/// The share of each point's k nearest states that are among its k nearest on the map, averaged.
pub fn recall(states: &Neighbours, map: &Neighbours) -> f64 {
    let count = states.count();
    let k = states.k.min(map.k);
    let kept = |i: usize| {
        let near = &map.of(i)[..k];
        states.of(i)[..k].iter().filter(|j| near.contains(j)).count()
    };
    (0..count).into_par_iter().map(kept).sum::<usize>() as f64 / (count * k).max(1) as f64
}

/// Trustworthiness (Venna and Kaski 2001): 1 where no stranger is among the k nearest on the map; `ranks` are those of
/// the map's neighbours among the states, from 1, of the points asked.
pub fn trustworthiness(ranks: impl Iterator<Item = Vec<usize>>, count: usize, k: usize) -> f64 {
    let (mut asked, mut sum) = (0usize, 0usize);
    for ranks in ranks {
        asked += 1;
        sum += ranks.iter().map(|rank| rank.saturating_sub(k)).sum::<usize>();
    }
    let (n, k) = (count as f64, k as f64);
    let most = asked as f64 * k * (2.0 * n - 3.0 * k - 1.0) / 2.0;
    if most <= 0.0 { 1.0 } else { 1.0 - sum as f64 / most }
}

/// The ranks of some points among all by squared distance from one, from 1: [width] rows.
pub fn ranks(x: &[f32], width: usize, from: usize, asked: &[u32]) -> Vec<usize> {
    let row = |i: usize| &x[i * width..][..width];
    let square = |i: usize| row(from).iter().zip(row(i)).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let bounds: Vec<f32> = asked.iter().map(|i| square(*i as usize)).collect();
    let mut ranks = vec![1; asked.len()];
    for other in (0..x.len() / width).filter(|other| *other != from) {
        let far = square(other);
        for ((rank, bound), own) in ranks.iter_mut().zip(&bounds).zip(asked) {
            *rank += usize::from(far < *bound || (far == *bound && (other as u32) < *own));
        }
    }
    ranks
}

/// The silhouette of groups on a map (Rousseeuw 1987), averaged over the points asked: 1 where groups are tight and
/// far apart, 0 where they overlap. None where there are fewer than two groups.
pub fn silhouette(map: &[[f64; 2]], groups: &[u32], asked: &[usize]) -> Option<f64> {
    let num_groups = groups.iter().max().map_or(0, |most| *most as usize + 1);
    let mut sizes = vec![0usize; num_groups];
    for group in groups {
        sizes[*group as usize] += 1;
    }
    if sizes.iter().filter(|size| **size > 0).count() < 2 {
        return None;
    }
    let one = |i: &usize| {
        let mut sums = vec![0f64; num_groups];
        for (point, group) in map.iter().zip(groups) {
            sums[*group as usize] += (point[0] - map[*i][0]).hypot(point[1] - map[*i][1]);
        }
        let own = groups[*i] as usize;
        // Alone in its group a point has no silhouette.
        if sizes[own] < 2 {
            return 0.0;
        }
        let within = sums[own] / (sizes[own] - 1) as f64;
        let others = (0..num_groups).filter(|group| *group != own && sizes[*group] > 0);
        let nearest = others.map(|group| sums[group] / sizes[group] as f64).fold(f64::INFINITY, f64::min);
        (nearest - within) / nearest.max(within).max(f64::MIN_POSITIVE)
    };
    let all: Vec<f64> = asked.par_iter().map(one).collect();
    Some(all.iter().sum::<f64>() / all.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::neighbours;
    use super::*;
    use crate::progress::Unobserved;

    /// As scikit-learn has it: `manifold.trustworthiness(x, y, n_neighbors=2)` of five points whose map swaps two.
    #[test]
    fn what_a_map_keeps() {
        let (states, map) = ([0.0, 1.0, 2.5, 4.5, 7.0], [0.0f32, 1.0, 4.5, 2.5, 7.0]);
        let near = |x: &[f32]| neighbours::exact(x, 1, 2, &Unobserved).unwrap();
        let (of_states, of_map) = (near(&states), near(&map));
        assert_eq!(recall(&of_states, &of_states), 1.0);
        let kept = recall(&of_states, &of_map);
        assert!(kept < 1.0 && kept > 0.4, "{kept}");
        let all = (0..5).map(|i| ranks(&states, 1, i, of_map.of(i)));
        let trusted = trustworthiness(all, 5, 2);
        assert!((trusted - 2.0 / 3.0).abs() < 1e-9, "{trusted}");
    }

    #[test]
    fn groups_apart_have_a_silhouette_of_one_and_groups_mixed_of_none() {
        let apart = [[0.0, 0.0], [0.1, 0.0], [50.0, 0.0], [50.1, 0.0]];
        let all = [0, 1, 2, 3];
        assert!(silhouette(&apart, &[0, 0, 1, 1], &all).unwrap() > 0.99);
        assert!(silhouette(&apart, &[0, 1, 0, 1], &all).unwrap() < 0.0);
        assert_eq!(silhouette(&apart, &[2, 2, 2, 2], &all), None);
    }
}
