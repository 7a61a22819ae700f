//! From probabilities to the 0..1 a colour map takes: sinks out, percentiles as the ends.

use serde::{Deserialize, Serialize};

use super::maps::GridMap;

/// How the ends of the colour map are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Values above this percentile take the last colour.
    pub clip_percentile: f32,
    /// Leave out patches that draw attention whatever the query.
    pub remove_sinks: bool,
    /// One scale for all images, instead of one each.
    pub joint: bool,
}

impl Default for Normalisation {
    fn default() -> Self {
        Self { clip_percentile: 99.0, remove_sinks: false, joint: true }
    }
}

/// The values that take the first and the last colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// First colour.
    pub low: f32,
    /// Last colour.
    pub high: f32,
}

/// The value below which `percentile` percent lie, linear between neighbours (as numpy's default).
pub fn percentile(values: &[f32], percentile: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let mut values = values.to_vec();
    let place = (percentile / 100.0).clamp(0.0, 1.0) * (values.len() - 1) as f32;
    // Only two of the values have to be in their place.
    let (_, low, above) = values.select_nth_unstable_by(place.floor() as usize, f32::total_cmp);
    let next = above.iter().copied().reduce(f32::min).unwrap_or(*low);
    *low + (next - *low) * place.fract()
}

/// The ranges of the maps of one query, one per image.
pub fn ranges(maps: &[GridMap], normalisation: Normalisation) -> Vec<Range> {
    let range = |values: &[f32]| Range {
        low: values.iter().copied().fold(f32::INFINITY, f32::min).min(f32::MAX),
        high: percentile(values, normalisation.clip_percentile),
    };
    if normalisation.joint {
        let all: Vec<f32> = maps.iter().flat_map(|m| m.values.iter().copied()).collect();
        vec![range(&all); maps.len()]
    } else {
        maps.iter().map(|m| range(&m.values)).collect()
    }
}

/// How far from the median, in robust standard deviations, a patch must lie to be a sink.
const SINK_DEVIATIONS: f32 = 10.0;

/// Visual tokens whose attention, averaged over all queries, stands far out from the rest: attention sinks
/// (Xiao et al., 2023; for images Darcet et al., 2023). Judged by the median absolute deviation.
pub fn sinks(mean_over_queries: &[f32]) -> Vec<bool> {
    let median = percentile(mean_over_queries, 50.0);
    let deviations: Vec<f32> = mean_over_queries.iter().map(|v| (v - median).abs()).collect();
    // 1.4826 makes the deviation that of a normal distribution.
    let spread = 1.4826 * percentile(&deviations, 50.0);
    mean_over_queries.iter().map(|v| v - median > SINK_DEVIATIONS * spread.max(f32::EPSILON)).collect()
}

/// Puts the median of a map in the place of its sinks.
pub fn without_sinks(map: &GridMap, is_sink: &[bool]) -> GridMap {
    let kept: Vec<f32> =
        map.values.iter().zip(is_sink).filter(|(_, sink)| !**sink).map(|(v, _)| *v).collect();
    let fill = percentile(&kept, 50.0);
    let values = map.values.iter().zip(is_sink).map(|(v, sink)| if *sink { fill } else { *v }).collect();
    GridMap { values, ..*map }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 50.0), 2.5);
        assert_eq!(percentile(&[1.0, 2.0], 100.0), 2.0);
        assert_eq!(percentile(&[], 10.0), 0.0);
    }

    #[test]
    fn a_patch_that_always_draws_attention_is_a_sink() {
        let mut mean: Vec<f32> = (0..40).map(|i| 0.010 + 0.0001 * (i % 7) as f32).collect();
        mean[5] = 0.3;
        let is_sink = sinks(&mean);
        assert_eq!(is_sink.iter().filter(|s| **s).count(), 1);
        assert!(is_sink[5]);
        let map = GridMap { rows: 5, cols: 8, values: mean };
        let clean = without_sinks(&map, &is_sink);
        assert!(clean.values[5] < 0.02);
    }

    #[test]
    fn joint_ranges_are_shared() {
        let map = |v: f32| GridMap { rows: 1, cols: 2, values: vec![0.0, v] };
        let joint = ranges(
            &[map(1.0), map(3.0)],
            Normalisation { clip_percentile: 100.0, ..Normalisation::default() },
        );
        assert_eq!(joint[0], Range { low: 0.0, high: 3.0 });
        assert_eq!(joint[0], joint[1]);
    }
}
