//! Is an answer right? As the paper scores: exact match for counting, the letter for the rest, read robustly.

mod letter;
mod number;

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use fancy_regex::Regex;

pub use self::letter::letter;
pub use self::number::number;

use self::letter::announcements;
use self::number::whole_number;
use super::record::Record;

/// What an answer says, in the form that is compared: a letter, a number, or the text itself.
pub fn prediction(record: &Record, answer: &str) -> String {
    let said = inner(answer);
    let count = record.choices.len();
    if offers_letters(record) {
        let options = if record.options.is_empty() {
            options_in(&record.prompt, count)
        } else {
            record.options.clone()
        };
        return letter(said, count, &options).map_or_else(|| said.trim().to_owned(), String::from);
    }
    let said = announcements(said).next().unwrap_or(said);
    if whole_number(&record.target).is_some()
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

/// Chance of guessing right; `None` where the answer is free. Of counting, one of the numbers 2 to 10, which the paper's
/// data has.
pub fn chance(record: &Record) -> Option<f64> {
    const COUNTED: RangeInclusive<i64> = 2..=10;
    let is_counting = record.task.eq_ignore_ascii_case("counting");
    match record.choices.len() {
        0 if is_counting && whole_number(&record.target).is_some_and(|n| COUNTED.contains(&n)) => {
            Some(1.0 / COUNTED.count() as f64)
        }
        0 => None,
        count => Some(1.0 / count as f64),
    }
}

/// Are the choices the first letters, in whatever case and brackets?
fn offers_letters(record: &Record) -> bool {
    record.choices.len() >= 2
        && record.choices.iter().zip('A'..='Z').all(|(choice, letter)| {
            choice.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case(&letter.to_string())
        })
}

/// The texts that a question offers behind letters in brackets, as "(A) the second image (B) the third image"; none where
/// it does not offer all of them so.
fn options_in(prompt: &str, count: usize) -> Vec<String> {
    let marks: Option<Vec<(usize, usize)>> = ('A'..='Z')
        .take(count)
        .map(|letter| {
            let (upper, lower) = (format!("({letter})"), format!("({})", letter.to_ascii_lowercase()));
            let start = prompt.rfind(&upper).or_else(|| prompt.rfind(&lower))?;
            Some((start, start + upper.len()))
        })
        .collect();
    let Some(marks) = marks.filter(|marks| marks.is_sorted()) else { return Vec::new() };
    let ends = marks.iter().skip(1).map(|(start, _)| *start).chain([prompt.len()]);
    marks
        .iter()
        .zip(ends)
        .map(|((_, start), end)| prompt[*start..end].lines().next().unwrap_or_default().trim().to_owned())
        .collect()
}

fn normalised(text: &str) -> String {
    text.trim().trim_end_matches('.').trim_matches('"').trim_end_matches('.').trim().to_lowercase()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file")
}

/// What stands in the last `<answer>` or `\boxed{}`; all of it where there is none.
fn inner(answer: &str) -> &str {
    static TAGGED: LazyLock<Regex> = LazyLock::new(|| regex(r"(?is)<answer>(.*?)(?:</answer>|$)"));
    static BOXED: LazyLock<Regex> = LazyLock::new(|| regex(r"(?s)\\boxed\{(.*?)\}"));
    let last = |pattern: &LazyLock<Regex>| {
        let found = pattern.captures_iter(answer).filter_map(Result::ok).last()?;
        Some(found.get(1)?.as_str())
    };
    last(&TAGGED).or_else(|| last(&BOXED)).unwrap_or(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::letters;

    /// What asks for one of so many choices.
    pub(super) fn record(target: &str, choices: usize, options: &[&str]) -> Record {
        Record {
            target: target.to_owned(),
            choices: letters(choices),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn other_answers_are_compared_as_texts() {
        let free = Record { target: "Red".to_owned(), ..Record::default() };
        for said in [" red. ", "\"Red.\"", "\"Red\"."] {
            assert!(is_correct(&free, said), "{said}");
        }
        assert!(!is_correct(&free, "dark red"));
        assert!(!is_correct(&Record::default(), ""));
    }

    #[test]
    fn chance_of_guessing() {
        assert_eq!(chance(&record("A", 4, &[])), Some(0.25));
        let free = |task: &str, target: &str| {
            chance(&Record { task: task.to_owned(), target: target.to_owned(), ..Record::default() })
        };
        for counting in ["counting", "Counting"] {
            assert_eq!(free(counting, "5"), Some(1.0 / 9.0));
        }
        for (task, target) in [("counting", "1999"), ("counting", "red"), ("", "5"), ("ocr", "7")] {
            assert_eq!(free(task, target), None, "{task} {target}");
        }
    }
}
