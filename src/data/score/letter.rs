//! Which letter an answer chooses.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use fancy_regex::Regex;

use super::regex;

/// What follows "the answer is", "Answer:" and the like, the last first.
pub(super) fn announcements(answer: &str) -> impl Iterator<Item = &str> {
    static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?i)\b(?:the\s+)?(?:final\s+|correct\s+|right\s+)?(?:answer|choice|option)\s*(?:is|would be|:|=)+\s*",
        )
    });
    let ends: Vec<usize> =
        ANNOUNCED.find_iter(answer).filter_map(Result::ok).map(|found| found.end()).collect();
    ends.into_iter().rev().map(|end| &answer[end..])
}

/// What a rule makes of an answer: nothing, a letter, or that it has not chosen.
type Decided = Option<Option<char>>;

/// The letter an answer chooses among the first `count`.
///
/// In order of trust: the answer is the letter; it starts with it and punctuation; the last "the answer is" that a letter
/// follows, or the text of an option; it starts with the letter and goes on about it; a letter in brackets; a letter after
/// "point", "box", "option" or "image"; the text of one option alone; a capital that stands alone. Every letter is read by
/// the same rules, but that "A" may be an article. Where a rule finds two different letters, the answer has not chosen.
pub fn letter(answer: &str, count: usize, options: &[String]) -> Option<char> {
    let rules = Rules { count, options };
    let outright = |text: &str| rules.bare(text).or_else(|| rules.leading(text));
    let announced = |text: &str| outright(text).or_else(|| rules.starting(text));
    let decided = outright(answer)
        .or_else(|| announcements(answer).find_map(announced))
        .or_else(|| announcements(answer).find_map(|text| rules.option(text)))
        .or_else(|| rules.starting(answer))
        .or_else(|| rules.bracketed(answer))
        .or_else(|| rules.named(answer))
        .or_else(|| rules.option(answer))
        .or_else(|| rules.alone(answer));
    decided.flatten()
}

/// The rules for one question.
struct Rules<'a> {
    count: usize,
    options: &'a [String],
}

impl Rules<'_> {
    fn within(&self, letter: char) -> Option<char> {
        let upper = letter.to_ascii_uppercase();
        ((upper as u32).wrapping_sub('A' as u32) < self.count as u32).then_some(upper)
    }

    /// What a pattern finds all over a text.
    fn found(&self, pattern: &Regex, text: &str) -> Decided {
        let letter = |groups: fancy_regex::Captures<'_>| {
            groups.iter().skip(1).flatten().next()?.as_str().chars().next().and_then(|c| self.within(c))
        };
        let found: BTreeSet<char> =
            pattern.captures_iter(text).filter_map(Result::ok).filter_map(letter).collect();
        match found.len() {
            0 => None,
            1 => Some(found.first().copied()),
            _ => Some(None),
        }
    }

    /// "B", "(b)", "**B**."
    fn bare(&self, text: &str) -> Decided {
        static BARE: LazyLock<Regex> =
            LazyLock::new(|| regex(r#"^[\s*_"'`(\[{]*([A-Za-z])[\s*_"'`)\]}.,:;!]*$"#));
        self.found(&BARE, text)
    }

    /// "(B) Point B", "B. the second"
    fn leading(&self, text: &str) -> Decided {
        static LEADING: LazyLock<Regex> =
            LazyLock::new(|| regex(r#"^[\s*_"'`]*(?:[(\[]([A-Za-z])[)\]]|([A-Z])[).:,;]|([A-Z])\s*\n)"#));
        self.found(&LEADING, text)
    }

    /// "B because it matches", "B - the left one", but neither "B or C" nor, for A, the beginning of an option's text or
    /// of a phrase that goes on to another letter.
    fn starting(&self, text: &str) -> Decided {
        static STARTING: LazyLock<Regex> =
            LazyLock::new(|| regex(r#"^[\s*_"'`]*([A-Z])[*_"'`]*(?:\s+(.*))?$"#));
        static JOINED: LazyLock<Regex> =
            LazyLock::new(|| regex(r"^(?:and|or|and/or|&|/|,)\s*(?:option\s+|also\s+)?[(\[]?([A-Z])\b"));
        // Words that go on about a choice, and never follow an article.
        static ABOUT: LazyLock<Regex> = LazyLock::new(|| {
            regex(
                r"^(?:(?:is|was|has|had|are|does|did|can|could|will|would|should|must|may|might|looks?|seems?|fits?|matches|\
                corresponds|appears|shows|contains|shares|continues|completes|because|since|as|for|in|on|at|with|from|\
                by|and|but|not|if|when|where|which|that|the|it|its|they|there|this|so|due|than|here)\b|[^\w\s])",
            )
        });
        let first = text.trim_start();
        // Only the first line: what is explained below does not begin with the letter.
        let line = first.lines().next().unwrap_or_default();
        let groups = STARTING.captures(line).ok().flatten()?;
        let letter = self.within(groups.get(1)?.as_str().chars().next()?)?;
        let rest = groups.get(2).map_or("", |rest| rest.as_str());
        if self.found(&JOINED, rest).is_some_and(|other| other != Some(letter)) {
            // "A and B are about the same" may yet be an option.
            return None;
        }
        if letter == 'A' && !ABOUT.is_match(rest).unwrap_or(false) && self.is_article(rest) {
            return None;
        }
        Some(Some(letter))
    }

    /// Is the A before this an article?
    fn is_article(&self, rest: &str) -> bool {
        let word = rest.split_whitespace().next().unwrap_or_default().to_lowercase();
        let begins_option = || {
            let phrase = format!("a {}", word.trim_matches(|c: char| !c.is_alphanumeric()));
            self.options.iter().any(|option| option.to_lowercase().contains(&phrase))
        };
        let goes_on_to_another = || self.alone(rest).is_some_and(|other| other != Some('A'));
        !word.is_empty() && (begins_option() || goes_on_to_another())
    }

    /// "It must be (B)"
    fn bracketed(&self, text: &str) -> Decided {
        static BRACKETED: LazyLock<Regex> = LazyLock::new(|| regex(r"(?<!\w)[(\[]([A-Za-z])[)\]]"));
        self.found(&BRACKETED, text)
    }

    /// "Point B", "option b."
    fn named(&self, text: &str) -> Decided {
        static NAMED: LazyLock<Regex> = LazyLock::new(|| {
            regex(
                r"(?i:\b(?:point|box|option|choice|image|candidate|letter)\s+)[(\[*]*(?:([A-Z])\b|([a-z])(?=\s*(?:[.,;:!]|$)))",
            )
        });
        self.found(&NAMED, text)
    }

    /// "The third image", "They are about the same."
    fn option(&self, text: &str) -> Decided {
        option_said(text, self.options).map(|letter| self.within(letter))
    }

    /// "I choose B"
    fn alone(&self, text: &str) -> Decided {
        static ALONE: LazyLock<Regex> =
            LazyLock::new(|| regex(r"(?<![A-Za-z0-9'’])([A-Z])(?![A-Za-z0-9'’])"));
        // The article at the beginning is no choice: whether it is one has been looked at.
        let rest = text.trim_start();
        let rest = match rest.strip_prefix("A ") {
            Some(rest) if self.is_article(rest) => rest,
            _ => text,
        };
        self.found(&ALONE, rest)
    }
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

#[cfg(test)]
mod tests {
    use crate::data::record::Record;
    use crate::data::score::tests::record;
    use crate::data::score::{is_correct, prediction};

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
    fn every_letter_is_read_by_the_same_rules() {
        for letter in ["A", "B", "C", "D"] {
            let other = if letter == "B" { "C" } else { "B" };
            let record = record(letter, 4, &[]);
            for pattern in [
                "X because it matches",
                "X since it matches",
                "X - the left one",
                "X – the left one",
                "X would be closer",
                "X appears darker",
                "X shows the same part",
                "X contains the missing edge",
                "X (the second image)",
                "X → it fits",
                "X and not the other",
                "X is darker than Y",
                "X because (Y) is too bright",
                "**X** fits best",
                "\"X\" is right",
                "X",
                "(X) The second option is correct because of the edge",
                "X. The correct choice is clear from the shading",
                "Answer: X. The other option is in shadow",
                "I choose X, the other choice is lighter",
                "The answer is X because option Y is in shadow",
                "It is not clear, but the answer would be X",
                "Y is close. The answer is X",
                "The best choice is X\nThe other option is too dark",
            ] {
                let said = pattern.replace('X', letter).replace('Y', other);
                assert!(is_correct(&record, &said), "{said}: {}", prediction(&record, &said));
            }
            for pattern in [
                "X or Y",
                "X and Y",
                "X and Y are about the same",
                "Either X or Y",
                "X/Y",
                "Y is darker than X",
            ] {
                let said = pattern.replace('X', letter).replace('Y', other);
                assert!(!is_correct(&record, &said), "{said}: {}", prediction(&record, &said));
            }
        }
        let animals = record("B", 2, &["a cat", "a bird on a wire"]);
        assert!(is_correct(&animals, "A bird on a wire"));
        assert!(is_correct(&record("A", 2, &["a cat", "a bird"]), "A cat"));
    }

    #[test]
    fn options_that_the_question_names_are_answers() {
        let prompt = "Which is darker? Select from the following choices. (A) A is darker (B) B is darker (C) About the same";
        let offered = |target: &str| Record { prompt: prompt.to_owned(), ..record(target, 3, &[]) };
        for said in ["A and B are about the same", "About the same.", "They look about the same", "(C)", "c"]
        {
            assert!(is_correct(&offered("(C)"), said), "{said}: {}", prediction(&offered("(C)"), said));
            assert!(!is_correct(&offered("(B)"), said), "{said}");
        }
        assert!(is_correct(&offered("B"), "B is darker"));
        let images = "Which? (a) the second image (b) the third image";
        let small = Record {
            prompt: images.to_owned(),
            target: "a".to_owned(),
            choices: vec!["a".to_owned(), "b".to_owned()],
            ..Record::default()
        };
        for said in ["a", "(a)", "A", "(A) the second", "option a.", "The second image", "The answer is (a)"]
        {
            assert!(is_correct(&small, said), "{said}: {}", prediction(&small, said));
        }
        assert!(!is_correct(&small, "(b)") && !is_correct(&small, "the third image"));
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
}
