//! How the window says things that several panels say.

use crate::analysis::query::Query;

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

/// A number with its sign; what rounds to nothing has none.
pub fn signed(value: f32, decimals: usize) -> String {
    let text = format!("{value:+.decimals$}");
    if text.bytes().all(|c| matches!(c, b'+' | b'-' | b'0' | b'.')) { text[1..].to_owned() } else { text }
}

/// A list as in a sentence: "a, b and c".
pub fn listed(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
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
    fn nothing_has_no_sign() {
        assert_eq!(
            [-0.04, 0.0, 0.04, -0.06, 12.0].map(|x| signed(x, 1)),
            ["0.0", "0.0", "0.0", "-0.1", "+12.0"]
        );
    }

    #[test]
    fn white_space_is_in_sight() {
        assert_eq!(visible("a b\n\t\u{1}"), "a␣b⏎→□");
    }
}
