//! How the window says things that several panels say.

use super::canvas::Hovered;
use super::state::State;
use crate::analysis::maps::Query;

/// A token's text with white space in sight.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            '\t' => '→',
            ' ' => '␣',
            c if c.is_control() => '□',
            c => c,
        })
        .collect()
}

/// A query as the user reads it.
pub fn query_name(query: Query) -> String {
    match query {
        Query::Latent(i) => format!("latent {i}"),
        Query::Answer(i) => format!("answer token {i}"),
    }
}

/// A list as in a sentence: "a, b and c".
pub fn listed(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What stands under the pointer, in one line.
pub fn read_out(state: &State) -> Option<String> {
    let pane = &state.panes.map;
    let Hovered { image: place, row, col } = pane.hovered?;
    let picture = state.images.get(place)?;
    let in_sight = pane.in_sight()?;
    let image = in_sight.image_of(place, picture)?;
    let map = &in_sight.maps.maps[in_sight.query][image];
    if row >= map.rows || col >= map.cols {
        return None;
    }
    let value = map.values[row * map.cols + col];
    let (width, height) = picture.size();
    let edge = |i: usize, count: usize, side: u32| (i as f64 * f64::from(side) / count as f64).round() as u32;
    let (left, right) = (edge(col, map.cols, width), edge(col + 1, map.cols, width));
    let (top, bottom) = (edge(row, map.rows, height), edge(row + 1, map.rows, height));
    let looking = in_sight.who_looks_at(image, row, col);
    let lookers: Vec<String> =
        looking.iter().take(3).map(|(latent, p)| format!("{latent} ({:.2} %)", 100.0 * p)).collect();
    let lookers = if lookers.is_empty() {
        String::new()
    } else {
        format!("  ·  most from latents {}", lookers.join(", "))
    };
    Some(format!(
        "image {}, row {row}, column {col}, pixels x {left} to {right}, y {top} to {bottom}: {:.2} %, {:.2} x uniform, \
         above {:.0} % of patches{lookers}",
        place + 1,
        100.0 * value,
        in_sight.times_uniform(in_sight.query, value),
        in_sight.maps.rank(in_sight.query, image, value),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["the mask"]), "the mask");
        assert_eq!(listed(&["the model", "the images", "the mask"]), "the model, the images and the mask");
    }

    #[test]
    fn white_space_is_in_sight() {
        assert_eq!(visible("a b\n\t\u{1}"), "a␣b⏎→□");
    }
}
