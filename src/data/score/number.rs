//! Which number an answer says.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::regex;

/// Words of numbers that are added up.
const WORDS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// The value of a number word on its own.
fn value_of(word: &str) -> Option<i64> {
    let place = |words: &[&str]| words.iter().position(|known| known.eq_ignore_ascii_case(word));
    place(&WORDS).map(|n| n as i64).or_else(|| place(&TENS).map(|n| (n as i64 + 2) * 10))
}

/// Numbers that neighbouring words say together: "twenty-five" is one, "five six" are two.
fn numbers_of_words(words: &[&str]) -> Vec<i64> {
    let mut numbers = Vec::new();
    // Whole thousands, and what follows them; nothing where no number is under way.
    let mut under_way: Option<(i64, i64)> = None;
    let total = |(thousands, rest): (i64, i64)| thousands + rest;
    for (place, word) in words.iter().enumerate() {
        let lower = word.to_ascii_lowercase();
        let next = words.get(place + 1).and_then(|next| value_of(next));
        match (lower.as_str(), under_way) {
            ("hundred", Some((thousands, n @ 1..=9))) => under_way = Some((thousands, n * 100)),
            ("thousand", Some((0, n @ 1..=999))) => under_way = Some((n * 1000, 0)),
            ("and", Some((_, n))) if n % 100 == 0 && next.is_some() => {}
            (word, now) => match (value_of(word), now) {
                (Some(value), Some((thousands, n)))
                    if n > 0
                        && (n % 100 == 0 || (n % 10 == 0 && n % 100 >= 20 && value < 10))
                        && value > 0
                        || n == 0 && thousands > 0 =>
                {
                    under_way = Some((thousands, n + value));
                }
                (value, now) => {
                    numbers.extend(now.map(total));
                    under_way = value.map(|value| (0, value));
                }
            },
        }
    }
    numbers.extend(under_way.map(total));
    numbers
}

/// Numbers in digits: with commas between thousands, or a decimal point, which makes it no whole one.
fn numbers_of_digits(text: &str) -> Vec<i64> {
    static DIGITS: LazyLock<Regex> =
        LazyLock::new(|| regex(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?![\w])"));
    let whole = |found: fancy_regex::Match<'_>| {
        let value: f64 = found.as_str().replace(',', "").parse().ok()?;
        (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
    };
    DIGITS.find_iter(text).filter_map(Result::ok).filter_map(whole).collect()
}

/// The whole number a text says, in digits or in words: the only one, or the last where several are said. "One of the 5
/// apples" says 5: digits before words.
pub fn number(text: &str) -> Option<i64> {
    let in_words = || {
        let phrases = text.split(|c: char| !c.is_alphabetic() && !matches!(c, ' ' | '-' | '\u{2011}'));
        let numbers = phrases.flat_map(|phrase| {
            let words: Vec<&str> =
                phrase.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
            numbers_of_words(&words)
        });
        numbers.last()
    };
    numbers_of_digits(text).last().copied().or_else(in_words)
}

/// The number a text is, and nothing else.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('.').trim_matches('"').trim();
    if let [only] = numbers_of_digits(text)[..] {
        return text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ',' | '.')).then_some(only);
    }
    let words: Vec<&str> = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
    let is_number = |word: &&str| {
        value_of(word).is_some()
            || ["and", "hundred", "thousand"].contains(&word.to_ascii_lowercase().as_str())
    };
    match numbers_of_words(&words)[..] {
        [only] if words.iter().all(is_number) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::Record;
    use crate::data::score::{is_correct, prediction};

    #[test]
    fn numbers_in_digits_and_words() {
        let seven = Record { target: "7".to_owned(), ..Record::default() };
        for right in [
            "7",
            "seven",
            "Seven.",
            "There are 7 apples",
            "Answer: 7",
            "One of them is red, so 7",
            "07",
            "7.0",
        ] {
            assert!(is_correct(&seven, right), "{right}: {}", prediction(&seven, right));
        }
        for wrong in ["", "70", "six", "7.5", "many", "17"] {
            assert!(!is_correct(&seven, wrong), "{wrong}: {}", prediction(&seven, wrong));
        }
        assert_eq!(number("1,234 and 5"), Some(5));
        assert_eq!(number("twenty"), Some(20));
        assert_eq!(number("-3"), Some(-3));
    }

    #[test]
    fn a_target_is_a_number_only_where_it_is_nothing_else() {
        let with = |target: &str| Record { target: target.to_owned(), ..Record::default() };
        for (target, said) in [
            ("the five on the left of the picture", "5"),
            ("a man with five dogs", "5"),
            ("the one on the left", "the one on the right"),
            ("7 apples", "7"),
        ] {
            assert!(!is_correct(&with(target), said), "{target}: {said}");
            assert!(is_correct(&with(target), target));
        }
        for (target, said) in [
            ("25", "twenty-five"),
            ("35", "thirty five"),
            ("thirty five", "There are 35"),
            ("120", "one hundred and twenty"),
            ("1234", "1,234"),
            ("21", "I see twenty one apples"),
            ("5", "1,2,3,4,5"),
            ("5", "1, 2, 3, 4, 5"),
            ("3", "one, two, three"),
            ("2000", "two thousand"),
        ] {
            assert!(is_correct(&with(target), said), "{target}: {said}: {}", prediction(&with(target), said));
        }
        for (target, said) in
            [("5", "twenty-five"), ("5", "thirty five"), ("12345", "1,2,3,4,5"), ("20", "twenty-five")]
        {
            assert!(!is_correct(&with(target), said), "{target}: {said}");
        }
        assert_eq!((number("5 apples"), number("12.5"), number("no")), (Some(5), None, None));
    }
}
