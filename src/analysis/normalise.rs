//! From probabilities to the 0..1 a colour map takes: sinks out, percentiles as the ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::maps::GridMap;

/// How the ends of the colour map are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Normalisation {
    /// Values above this percentile take the last colour.
    pub clip_percentile: f32,
    /// Leave out patches that draw attention whatever the query.
    pub remove_sinks: bool,
    /// One scale for all images, instead of one each.
    pub joint: bool,
    /// One scale for all latents, and one for all tokens of the answer, instead of one each.
    pub across: bool,
    /// The first colour is no attention, instead of the least there is.
    pub from_zero: bool,
}

impl Default for Normalisation {
    fn default() -> Self {
        Self { clip_percentile: 99.0, remove_sinks: false, joint: true, across: true, from_zero: true }
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

/// What maps hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// Where a query looks.
    Attention,
    /// What reaches it in several steps.
    Indirect,
    /// Attention less another's.
    Difference,
}

/// Differences below this, in times uniform, are none to speak of: they do not fill the scale.
const LEAST_DIFFERENCE: f32 = 0.1;

/// The last colour is at least so many times uniform attention, so that a map without signal looks flat and dim.
const LEAST_HIGH: f32 = 2.0;

/// Ranges of maps `[queries][images]` of one kind of query, in attention. Maps are compared in units of uniform
/// attention, `1 / visible[query]` for a query that may look at so many tokens, so that one scale for all queries
/// is one colour for as many times uniform. Differences have both ends alike, and zero in the middle.
pub fn ranges(
    maps: &[Vec<GridMap>],
    visible: &[usize],
    normalisation: Normalisation,
    kind: MapKind,
) -> Vec<Vec<Range>> {
    let num_images = maps.first().map_or(0, Vec::len);
    let units = |query: usize, image: usize| {
        let scale = visible[query] as f32;
        maps[query][image].values.iter().map(move |value| value * scale)
    };
    let range = |values: Vec<f32>| {
        if kind == MapKind::Difference {
            let high = percentile(
                &values.iter().map(|v| v.abs()).collect::<Vec<_>>(),
                normalisation.clip_percentile,
            );
            let high = high.max(LEAST_DIFFERENCE);
            return Range { low: -high, high };
        }
        let high = percentile(&values, normalisation.clip_percentile);
        if normalisation.from_zero {
            // What comes in several steps is thinner than attention, and no less a signal.
            let least = if kind == MapKind::Indirect { f32::MIN_POSITIVE } else { LEAST_HIGH };
            Range { low: 0.0, high: high.max(least) }
        } else {
            Range { low: values.iter().copied().fold(f32::INFINITY, f32::min).min(f32::MAX), high }
        }
    };
    let queries_like = |query: usize| if normalisation.across { 0..maps.len() } else { query..query + 1 };
    let images_like = |image: usize| if normalisation.joint { 0..num_images } else { image..image + 1 };
    let of = |query: usize, image: usize| {
        let alike = queries_like(query).flat_map(|q| images_like(image).map(move |i| (q, i)));
        range(alike.flat_map(|(q, i)| units(q, i)).collect())
    };
    // What is alike is made once.
    let mut made: BTreeMap<(usize, usize), Range> = BTreeMap::new();
    (0..maps.len())
        .map(|query| {
            (0..num_images)
                .map(|image| {
                    let key = (queries_like(query).start, images_like(image).start);
                    let range = *made.entry(key).or_insert_with(|| of(query, image));
                    let scale = visible[query].max(1) as f32;
                    Range { low: range.low / scale, high: range.high / scale }
                })
                .collect()
        })
        .collect()
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

    fn map(values: [f32; 2]) -> GridMap {
        GridMap { rows: 1, cols: 2, values: values.to_vec() }
    }

    #[test]
    fn one_scale_is_one_colour_for_as_many_times_uniform() {
        // Of 10 and of 20 visible tokens: uniform is 0.1 and 0.05.
        let maps = [vec![map([0.1, 0.4])], vec![map([0.05, 0.1])]];
        let all = Normalisation { clip_percentile: 100.0, ..Normalisation::default() };
        let shared = ranges(&maps, &[10, 20], all, MapKind::Attention);
        assert_eq!(shared[0][0], Range { low: 0.0, high: 0.4 });
        assert_eq!(shared[1][0], Range { low: 0.0, high: 0.2 }, "four times uniform, too");
        let own = ranges(&maps, &[10, 20], Normalisation { across: false, ..all }, MapKind::Attention);
        assert_eq!(own[1][0], Range { low: 0.0, high: 0.1 });
        let least = ranges(
            &maps,
            &[10, 20],
            Normalisation { from_zero: false, across: false, ..all },
            MapKind::Attention,
        );
        assert_eq!(least[0][0], Range { low: 0.1, high: 0.4 });
    }

    #[test]
    fn a_map_without_signal_is_flat_and_dim() {
        let range =
            ranges(&[vec![map([0.1, 0.1])]], &[10], Normalisation::default(), MapKind::Attention)[0][0];
        assert_eq!(range, Range { low: 0.0, high: 0.2 }, "uniform is half of the way");
    }

    #[test]
    fn images_share_a_scale_or_have_one_each() {
        let maps = [vec![map([0.0, 0.5]), map([0.0, 1.0])]];
        let all = Normalisation { clip_percentile: 100.0, ..Normalisation::default() };
        let joint = ranges(&maps, &[10], all, MapKind::Attention);
        assert_eq!(joint[0][0], joint[0][1]);
        let each = ranges(&maps, &[10], Normalisation { joint: false, ..all }, MapKind::Attention);
        assert_eq!((each[0][0].high, each[0][1].high), (0.5, 1.0));
    }

    #[test]
    fn differences_have_zero_in_the_middle() {
        let all = Normalisation { clip_percentile: 100.0, ..Normalisation::default() };
        let range = ranges(&[vec![map([-0.25, 0.125])]], &[8], all, MapKind::Difference)[0][0];
        assert_eq!(range, Range { low: -0.25, high: 0.25 });
        let none = ranges(&[vec![map([0.0, 0.0])]], &[10], all, MapKind::Difference)[0][0];
        assert!(
            none.low < 0.0 && (none.low + none.high).abs() < 1e-9,
            "no difference is in the middle: {none:?}"
        );
    }
}
