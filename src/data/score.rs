//! Is an answer right? As the paper scores: exact match for counting, the letter for the rest, read robustly.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::record::Record;

/// What an answer says, in the form that is compared: a letter, a number, or the text itself.
pub fn prediction(record: &Record, answer: &str) -> String {
    let said = final_part(answer);
    if offers_letters(record) {
        return letter(said, record.choices.len(), &record.options)
            .map_or_else(|| said.trim().to_owned(), String::from);
    }
    if number(&record.target).is_some()
        && let Some(found) = number(said)
    {
        return found.to_string();
    }
    said.trim().to_owned()
}

/// Does an answer say what the record's target says?
pub fn is_correct(record: &Record, answer: &str) -> bool {
    let (found, wanted) = (prediction(record, answer), prediction(record, &record.target));
    !wanted.is_empty() && normalised(&found) == normalised(&wanted)
}

/// Chance of guessing right; `None` where the answer is free. Of counting, one of the numbers 2 to 10.
pub fn chance(record: &Record) -> Option<f64> {
    match record.choices.len() {
        0 if number(&record.target).is_some() => Some(1.0 / 9.0),
        0 => None,
        count => Some(1.0 / count as f64),
    }
}

fn offers_letters(record: &Record) -> bool {
    record.choices.len() >= 2
        && record.choices.iter().zip('A'..='Z').all(|(choice, letter)| {
            choice.trim_matches(|c: char| !c.is_alphanumeric()) == letter.to_string().as_str()
        })
}

fn normalised(text: &str) -> String {
    text.trim().trim_end_matches('.').trim_matches('"').to_lowercase()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file")
}

/// What follows the last announcement of an answer; all of it where there is none.
fn final_part(answer: &str) -> &str {
    static TAGGED: LazyLock<Regex> = LazyLock::new(|| regex(r"(?is)<answer>(.*?)(?:</answer>|$)"));
    static BOXED: LazyLock<Regex> = LazyLock::new(|| regex(r"(?s)\\boxed\{(.*?)\}"));
    static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?i)\b(?:the\s+)?(?:final\s+|correct\s+|right\s+)?(?:answer|choice|option)\s*(?:is|would be|:|=)+\s*",
        )
    });
    let inner = [&TAGGED, &BOXED].into_iter().find_map(|pattern| {
        let found = pattern.captures_iter(answer).filter_map(Result::ok).last()?;
        Some(found.get(1)?.as_str())
    });
    let answer = inner.unwrap_or(answer);
    let announced = ANNOUNCED.find_iter(answer).filter_map(Result::ok).last();
    announced.map_or(answer, |found| &answer[found.end()..])
}

/// The letter an answer chooses among the first `count`.
///
/// In order of trust: the answer is the letter; it starts with it and punctuation; a letter in brackets; a letter
/// after "point", "box", "option" or "image"; the text of one option alone; a capital that stands alone. Where a
/// rule finds two different letters, the answer has not chosen.
pub fn letter(answer: &str, count: usize, options: &[String]) -> Option<char> {
    static BARE: LazyLock<Regex> =
        LazyLock::new(|| regex(r#"^[\s*_"'`(\[{]*([A-Za-z])[\s*_"'`)\]}.,:;!]*$"#));
    static LEADING: LazyLock<Regex> =
        LazyLock::new(|| regex(r#"^[\s*_"'`]*(?:[(\[]([A-Za-z])[)\]]|([A-Z])[).:,;]|([A-Z])\s*\n)"#));
    static BRACKETED: LazyLock<Regex> = LazyLock::new(|| regex(r"[(\[]([A-Z])[)\]]"));
    static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"(?i:\b(?:point|box|option|choice|image|candidate|letter)\s+)[(\[*]*([A-Z])\b")
    });
    static ALONE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?<![A-Za-z0-9'’])([A-Z])(?![A-Za-z0-9'’])"));
    let within = |c: char| {
        let upper = c.to_ascii_uppercase();
        ((upper as u32).wrapping_sub('A' as u32) < count as u32).then_some(upper)
    };
    let chosen = |pattern: &Regex| -> Option<Option<char>> {
        let mut found: Vec<char> = pattern
            .captures_iter(answer)
            .filter_map(Result::ok)
            .filter_map(|groups| {
                let letter = groups.iter().skip(1).flatten().next()?.as_str().chars().next()?;
                within(letter)
            })
            .collect();
        found.dedup();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [] => None,
            [letter] => Some(Some(letter)),
            _ => Some(None),
        }
    };
    for pattern in [&*BARE, &*LEADING, &*BRACKETED, &*NAMED] {
        if let Some(decided) = chosen(pattern) {
            return decided;
        }
    }
    if let Some(option) = option_said(answer, options) {
        return within(option);
    }
    // "A" that starts a sentence with more words in it is an article.
    let words = answer.split_whitespace().count();
    if words > 1 && answer.trim_start().starts_with("A ") {
        let rest = answer.trim_start().trim_start_matches("A ");
        return letter_after_article(rest, count, &ALONE);
    }
    chosen(&ALONE).flatten()
}

fn letter_after_article(rest: &str, count: usize, alone: &Regex) -> Option<char> {
    static VERB: LazyLock<Regex> =
        LazyLock::new(|| regex(r"^(?:is|has|was|looks|seems|fits|matches|corresponds)\b"));
    // "A is darker" chooses A.
    if VERB.is_match(rest).unwrap_or(false) {
        return Some('A');
    }
    let mut found = alone.captures_iter(rest).filter_map(Result::ok).filter_map(|groups| {
        let letter = groups.get(1)?.as_str().chars().next()?;
        ((letter as u32).wrapping_sub('A' as u32) < count as u32).then_some(letter)
    });
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The letter of the one option whose text an answer holds.
fn option_said(answer: &str, options: &[String]) -> Option<char> {
    let answer = answer.to_lowercase();
    let said = |(_, option): &(char, &String)| {
        let option = option.trim().to_lowercase();
        option.chars().count() > 1 && answer.contains(&option)
    };
    let mut found: Vec<(char, &String)> = ('A'..='Z').zip(options).filter(said).collect();
    // "not the same" beside "the same": the longest that holds the others.
    found.sort_by_key(|(_, option)| std::cmp::Reverse(option.len()));
    let (letter, longest) = found.first()?;
    let longest = longest.to_lowercase();
    found[1..].iter().all(|(_, other)| longest.contains(&other.to_lowercase())).then_some(*letter)
}

const WORDS: [&str; 21] = [
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
    "twenty",
];

/// The whole number a text says, in digits or in words: the only one, or the last where several are said.
pub fn number(text: &str) -> Option<i64> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"-?\d[\d,]*(?:\.\d+)?|[A-Za-z]+"));
    let said = |word: &str| -> Option<i64> {
        if let Some(place) = WORDS.iter().position(|known| known.eq_ignore_ascii_case(word)) {
            return Some(place as i64);
        }
        let digits = word.trim_end_matches(',').replace(',', "");
        let value: f64 =
            if digits.ends_with(|c: char| c.is_ascii_digit()) { digits.parse().ok()? } else { return None };
        (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
    };
    let found = NUMBER.find_iter(text).filter_map(Result::ok).filter_map(|word| said(word.as_str()));
    let numbers: Vec<i64> = found.collect();
    // "One of the 5 apples": digits before words.
    let in_digits = NUMBER
        .find_iter(text)
        .filter_map(Result::ok)
        .filter(|word| word.as_str().starts_with(|c: char| c.is_ascii_digit() || c == '-'))
        .filter_map(|word| said(word.as_str()))
        .last();
    in_digits.or_else(|| numbers.last().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::letters;

    fn record(target: &str, choices: usize, options: &[&str]) -> Record {
        Record {
            target: target.to_owned(),
            choices: letters(choices),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn letters_are_read_however_they_are_said() {
        let record = record("B", 4, &[]);
        for right in [
            "B",
            "(B)",
            "b",
            "B.",
            "B)",
            "[B]",
            "**B**",
            " B\n",
            "(B) Point B",
            "Answer: B",
            "The answer is (B).",
            "The correct answer is B",
            "Option B",
            "Point B corresponds to REF.",
            "It is B.",
            "B: the second",
            "<think>Perhaps (A) or (C)</think><answer>B</answer>",
            "Final answer: \\boxed{B}",
            "First I looked at (A), but the answer is (B)",
            "A clear case of B",
            "I choose B",
        ] {
            assert!(is_correct(&record, right), "{right}: {}", prediction(&record, right));
        }
        for wrong in
            ["", "A", "(A) or (B)", "A bird", "E", "Beta", "Both A and B", "C.", "none", "(C) not (B)"]
        {
            assert!(!is_correct(&record, wrong), "{wrong}: {}", prediction(&record, wrong));
        }
    }

    #[test]
    fn targets_in_brackets_and_option_texts() {
        assert!(is_correct(&record("(B)", 2, &["the second image", "the third image"]), "The third image"));
        assert!(!is_correct(&record("(A)", 2, &["the second image", "the third image"]), "the third image."));
        let darker = record("A", 3, &["A is darker", "B is darker", "About the same"]);
        assert!(is_correct(&darker, "A is darker"));
        assert!(is_correct(&darker, "A"));
        assert!(!is_correct(&darker, "about the same"));
        assert!(is_correct(
            &record("C", 3, &["A is darker", "B is darker", "About the same"]),
            "They are about the same."
        ));
        assert!(is_correct(&record("A", 2, &[]), "A is darker"));
    }

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
    fn other_answers_are_compared_as_texts() {
        let free = Record { target: "Red".to_owned(), ..Record::default() };
        assert!(is_correct(&free, " red. "));
        assert!(!is_correct(&free, "dark red"));
        assert!(!is_correct(&Record::default(), ""));
    }

    #[test]
    fn chance_of_guessing() {
        assert_eq!(chance(&record("A", 4, &[])), Some(0.25));
        assert_eq!(chance(&Record { target: "5".to_owned(), ..Record::default() }), Some(1.0 / 9.0));
        assert_eq!(chance(&Record { target: "red".to_owned(), ..Record::default() }), None);
    }
}
