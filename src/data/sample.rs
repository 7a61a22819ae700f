//! One question about some pictures.

use std::sync::Arc;

use super::picture::Picture;

/// Images, prompt and choices: what every run starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// In the order the prompt speaks of them.
    pub images: Vec<Arc<Picture>>,
    /// The question. `<image>` marks where an image goes; without marks all images come first.
    pub prompt: String,
    /// Answers to choose from; empty where the answer is free.
    pub choices: Vec<String>,
}

/// Letters the question offers, as in "(A) … (B) …" or "Select A or B": empty where it offers none.
///
/// Multiple-choice prompts of the nine LIVR tasks name them in one of these two ways.
pub fn choices_in(prompt: &str) -> Vec<String> {
    let bracketed = consecutive(|letter| prompt.contains(&format!("({letter})")));
    if bracketed.len() >= 2 {
        return bracketed;
    }
    let words: Vec<&str> = prompt.split(|c: char| !c.is_alphanumeric()).collect();
    let pairs = words.windows(3).any(|w| matches!(w[1], "or" | "and") && is_letter(w[0]) && is_letter(w[2]))
        || prompt.contains("A, B");
    if !pairs {
        return Vec::new();
    }
    let listed = consecutive(|letter| words.iter().any(|word| word.len() == 1 && word.starts_with(letter)));
    if listed.len() >= 2 { listed } else { Vec::new() }
}

fn is_letter(word: &str) -> bool {
    matches!(word, "A" | "B" | "C" | "D" | "E" | "F")
}

fn consecutive(offered: impl Fn(char) -> bool) -> Vec<String> {
    ('A'..='F').take_while(|letter| offered(*letter)).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_off_the_question() {
        assert_eq!(choices_in("Which? (A) the second image (B) the third image"), ["A", "B"]);
        assert_eq!(choices_in("Select A or B."), ["A", "B"]);
        assert_eq!(choices_in("Answer with A, B, C or D."), ["A", "B", "C", "D"]);
        assert!(choices_in("How many apples are there? A lot or a few?").is_empty());
        assert!(choices_in("").is_empty());
    }
}
