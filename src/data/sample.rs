//! One question about some pictures.

use std::sync::Arc;

use super::picture::Picture;

/// Images, prompt and choices: what every run starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// In the order the prompt speaks of them.
    pub images: Vec<Arc<Picture>>,
    /// The question. `<image>` marks where an image goes; without marks all images come first; with some there have to be as many as images.
    pub prompt: String,
    /// Answers to choose from; empty where the answer is free.
    pub choices: Vec<String>,
}

/// Letters or numbers the question offers, as in "(A) … (B) …", "A. … B. …", "a) … b) …", "(1) … (2) …" or "Select A or
/// B": empty where it offers none. In brackets they may stand anywhere, with a dot or one bracket only where a word
/// begins.
///
/// Multiple-choice prompts of the nine LIVR tasks name them in the first or the last of these ways.
pub fn choices_in(prompt: &str) -> Vec<String> {
    let begins = |name: char, ending: char| {
        let item = format!("{name}{ending}");
        prompt.split_whitespace().any(|word| word == item)
    };
    let ways: [&dyn Fn(char) -> bool; 4] = [
        &|name| prompt.contains(&format!("({name})")),
        &|name| begins(name, ')'),
        &|name| begins(name, '.'),
        &|name| begins(name, ':'),
    ];
    for names in ["ABCDEFGH", "abcdefgh", "12345678"] {
        for is_offered in ways {
            let offered = consecutive(names, is_offered);
            if offered.len() >= 2 {
                return offered;
            }
        }
    }
    let words: Vec<&str> = prompt.split(|c: char| !c.is_alphanumeric()).collect();
    let pairs = words.windows(3).any(|w| matches!(w[1], "or" | "and") && is_letter(w[0]) && is_letter(w[2]))
        || prompt.contains("A, B");
    if !pairs {
        return Vec::new();
    }
    let listed =
        consecutive("ABCDEF", |letter| words.iter().any(|word| word.len() == 1 && word.starts_with(letter)));
    if listed.len() >= 2 { listed } else { Vec::new() }
}

/// The choice that each of so many images is, where the question says so: "(A) the second image (B) the third image".
pub fn choices_of_images(prompt: &str, count: usize) -> Vec<Option<String>> {
    const ORDINALS: [&str; 8] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];
    let offered = choices_in(prompt);
    let choice_of = |ordinal: &&str| {
        let names = |choice: &&String| prompt.contains(&format!("({choice}) the {ordinal} image"));
        offered.iter().find(names).cloned()
    };
    let named = ORDINALS.iter().map(choice_of).chain(std::iter::repeat(None));
    named.take(count).collect()
}

/// Choices as they are typed: commas between them, and quotes around one that has a comma of its own ("" within quotes
/// is a quote). The first quote without an end goes to the end.
pub fn choices_of_text(text: &str) -> Vec<String> {
    let mut choices = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let last = choices.last_mut().expect("begins with one");
        match c {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => last.push('"'),
            '"' if quoted || last.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => choices.push(String::new()),
            c => last.push(c),
        }
    }
    choices.into_iter().map(|choice| choice.trim().to_owned()).filter(|choice| !choice.is_empty()).collect()
}

/// Choices as they would be typed: [`choices_of_text`] gives them back.
pub fn text_of_choices(choices: &[String]) -> String {
    let typed = |choice: &String| {
        let has_own = choice.contains([',', '"']);
        if has_own { format!("\"{}\"", choice.replace('"', "\"\"")) } else { choice.clone() }
    };
    choices.iter().map(typed).collect::<Vec<_>>().join(", ")
}

fn is_letter(word: &str) -> bool {
    matches!(word, "A" | "B" | "C" | "D" | "E" | "F")
}

/// The first of some names, for as long as they are offered.
fn consecutive(names: &str, is_offered: impl Fn(char) -> bool) -> Vec<String> {
    names.chars().take_while(|name| is_offered(*name)).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_choices_are_known_by_their_letters() {
        let prompt = "Which fits? (A) the second image (B) the third image";
        let letters = |prompt: &str, count| -> Vec<String> {
            choices_of_images(prompt, count).into_iter().map(Option::unwrap_or_default).collect()
        };
        assert_eq!(letters(prompt, 3), ["", "A", "B"]);
        assert_eq!(letters(prompt, 2), ["", "A"]);
        assert_eq!(letters("Which point? (A) Point A (B) Point B", 2), ["", ""]);
        assert_eq!(letters(prompt, 0), [""; 0]);
    }

    #[test]
    fn choices_are_read_off_the_question() {
        assert_eq!(choices_in("Which? (A) the second image (B) the third image"), ["A", "B"]);
        assert_eq!(choices_in("Select A or B."), ["A", "B"]);
        assert_eq!(choices_in("Answer with A, B, C or D."), ["A", "B", "C", "D"]);
        assert_eq!(choices_in("Which?\nA. a spoon\nB. a cup\nC. a pot"), ["A", "B", "C"]);
        assert_eq!(choices_in("Which? (a) a spoon (b) a cup"), ["a", "b"]);
        assert_eq!(choices_in("Which one? a) a spoon b) a cup"), ["a", "b"]);
        assert_eq!(choices_in("Which? (1) red (2) blue (3) green"), ["1", "2", "3"]);
        assert_eq!(choices_in("A: left\nB: right"), ["A", "B"]);
        assert!(choices_in("Is it plan A. or not? See figure (1).").is_empty());
        assert!(choices_in("How many apples are there? A lot or a few?").is_empty());
        assert!(choices_in("").is_empty());
    }

    #[test]
    fn choices_are_typed_with_commas_and_quotes() {
        assert_eq!(choices_of_text("red, blue ,,green,"), ["red", "blue", "green"]);
        assert_eq!(choices_of_text(r#"red, "pale, blue", "a ""big"" one", 12" tall"#).len(), 4);
        assert_eq!(choices_of_text(r#""pale, blue"#), ["pale, blue"]);
        assert!(choices_of_text(" , \"\" ,").is_empty());
        for choices in [vec!["A", "B"], vec!["pale, blue", "a \"big\" one", "don't", "12\" tall"], vec![]] {
            let choices: Vec<String> = choices.into_iter().map(str::to_owned).collect();
            assert_eq!(choices_of_text(&text_of_choices(&choices)), choices);
        }
    }
}
