//! How much of the states' neighbourhoods a layout keeps.

use rayon::prelude::*;

use super::neighbours::distance;
use super::rows::Rows;
use crate::error::Result;
use crate::progress::{Observer, Phase, Progress};

/// The share of each point's nearest states that are among its nearest on the layout, averaged over the points asked.
pub fn recall(states: &[Vec<u32>], map: &[&[u32]]) -> f64 {
    let shares = states.iter().zip(map).map(|(states, map)| {
        let kept = states.iter().filter(|j| map.contains(j)).count();
        kept as f64 / states.len().max(1) as f64
    });
    shares.sum::<f64>() / states.len().max(1) as f64
}

/// Trustworthiness (Venna and Kaski 2001): 1 where no stranger is among the k nearest on the layout; `ranks` are those of
/// the layout's neighbours among the states, from 1, of the points asked.
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

/// The ranks of points among all by squared distance from each of those asked, from 1; of equal ones the lower number
/// first. Rows are read block by block.
///
/// # Errors
/// Rows that cannot be read, a stop.
pub fn ranks(
    rows: &dyn Rows,
    asked: &[usize],
    others: &[&[u32]],
    observer: &dyn Observer,
) -> Result<Vec<Vec<usize>>> {
    const BLOCK: usize = 1024;
    let (count, width) = (rows.count(), rows.width());
    let mut row = vec![0f32; width];
    let mut own = vec![0f32; asked.len() * width];
    let mut bounds: Vec<Vec<f32>> = Vec::with_capacity(asked.len());
    for ((place, others), own) in asked.iter().zip(others).zip(own.chunks_exact_mut(width)) {
        rows.read(*place, own)?;
        let mut bound = |other: &u32| {
            rows.read(*other as usize, &mut row)?;
            Ok(distance(own, &row))
        };
        bounds.push(others.iter().map(&mut bound).collect::<Result<_>>()?);
    }
    let mut ranks: Vec<Vec<usize>> = others.iter().map(|others| vec![1; others.len()]).collect();
    let mut block = vec![0f32; BLOCK.min(count) * width];
    for first in (0..count).step_by(BLOCK) {
        observer.progress(Progress { phase: Phase::Neighbours, done: first, total: count })?;
        let block = &mut block[..BLOCK.min(count - first) * width];
        rows.read(first, block)?;
        let block = &*block;
        let each = ranks.par_iter_mut().zip(own.par_chunks_exact(width)).zip(asked.par_iter());
        each.zip(others.par_iter()).zip(bounds.par_iter()).for_each(
            |((((ranks, own), place), others), bounds)| {
                for (i, row) in block.chunks_exact(width).enumerate() {
                    let number = first + i;
                    if number == *place {
                        continue;
                    }
                    let far = distance(own, row);
                    for ((rank, bound), other) in ranks.iter_mut().zip(bounds).zip(*others) {
                        let is_before = far < *bound || (far == *bound && (number as u32) < *other);
                        *rank += usize::from(is_before);
                    }
                }
            },
        );
    }
    Ok(ranks)
}

/// The silhouette of groups on a layout (Rousseeuw 1987), averaged over the points asked: 1 where groups are tight and
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
    use super::super::rows::InMemory;
    use super::*;
    use crate::progress::Unobserved;

    /// As scikit-learn has it: `manifold.trustworthiness(x, y, n_neighbors=2)` of five points whose layout swaps two.
    #[test]
    fn what_a_map_keeps() {
        let (states, map) = ([0.0, 1.0, 2.5, 4.5, 7.0], [0.0f32, 1.0, 4.5, 2.5, 7.0]);
        let near = |x: &[f32]| neighbours::exact(x, 1, 2, &Unobserved).unwrap();
        let (of_states, of_map) = (near(&states), near(&map));
        let lists = |of: &neighbours::Neighbours| (0..5).map(|i| of.of(i).to_vec()).collect::<Vec<_>>();
        let (states_lists, map_lists) = (lists(&of_states), lists(&of_map));
        let slices = |lists: &'static [Vec<u32>]| lists.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let (states_slices, map_slices) = (slices(states_lists.clone().leak()), slices(map_lists.leak()));
        assert_eq!(recall(&states_lists, &states_slices), 1.0);
        let kept = recall(&states_lists, &map_slices);
        assert!(kept < 1.0 && kept > 0.4, "{kept}");
        let rows = InMemory::new(&states, 1);
        let all = ranks(&rows, &[0, 1, 2, 3, 4], &map_slices, &Unobserved).unwrap();
        let trusted = trustworthiness(all.into_iter(), 5, 2);
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
