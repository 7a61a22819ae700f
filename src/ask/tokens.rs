//! Groups of tokens, and the layers a statement holds in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Kinds of tokens that a statement names. N is the length of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenGroup {
    /// The latents of the prompt; they keep their numbers when others are removed.
    Latents,
    /// Visual tokens, of one image or of all.
    Image,
    /// Tokens of the role prompt.
    Prompt,
    /// Prompt tokens behind the last latent.
    Tail,
    /// The prompt's last token, which says the first of the answer.
    Last,
    /// All tokens behind the prompt.
    Answer,
    /// Tail and answer.
    Readers,
    /// Every token.
    All,
}

impl TokenGroup {
    const NAMES: [(&'static str, Self); 8] = [
        ("latents", Self::Latents),
        ("image", Self::Image),
        ("prompt", Self::Prompt),
        ("tail", Self::Tail),
        ("last", Self::Last),
        ("answer", Self::Answer),
        ("readers", Self::Readers),
        ("all", Self::All),
    ];

    fn named(text: &str) -> Option<Self> {
        let text = match text {
            "latent" => "latents",
            "images" => "image",
            other => other,
        };
        Self::NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, group)| group)
    }

    fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, group)| *group == self).map_or("", |(name, _)| name)
    }

    /// May tokens of it be named by number? Of the others there is one, or nobody knows how many.
    fn is_numbered(self) -> bool {
        !matches!(self, Self::Last | Self::Answer | Self::Readers)
    }
}

/// Some tokens of one group: `latents[0-3]`, `image#1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPart {
    /// Of which kind.
    pub group: TokenGroup,
    /// Of this image, counted from 0; of all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<usize>,
    /// By number within the group, ascending; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Vec<usize>>,
}

/// Tokens as a statement names them: parts in the order written, each ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tokens(pub Vec<TokenPart>);

impl From<TokenGroup> for Tokens {
    fn from(group: TokenGroup) -> Self {
        Self(vec![TokenPart { group, image: None, index: None }])
    }
}

/// More tokens than any prompt has by far: past it a number is a typing mistake, and so many numbers are.
const MOST: usize = 1 << 20;

/// `0-3,7` -> [0, 1, 2, 3, 7], or what is wrong with it.
fn numbers(text: &str) -> Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err("numbers are like 0-3,7".to_owned());
        };
        if last < first {
            return Err(format!("{first} is behind {last}"));
        }
        if last >= MOST || all.len() + (last - first) >= MOST {
            return Err(format!("numbers are below {MOST}"));
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    match all.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(format!("{} is named twice", twice[0])),
        None => Ok(all),
    }
}

/// Digits alone: neither a sign nor a blank.
pub(super) fn number(text: &str) -> Option<usize> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// [0, 1, 2, 3, 7] -> `0-3,7`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| b - a == 1);
    let text = runs.map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    text.collect::<Vec<_>>().join(",")
}

impl FromStr for TokenPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("expected tokens like latents[0-3], image#1 or tail, found {text}");
        let with = |why: String| format!("{}: {why}", wrong());
        let (rest, index) = match text.strip_suffix(']') {
            Some(open) => {
                let (rest, index) = open.split_once('[').ok_or_else(wrong)?;
                (rest, Some(numbers(index).map_err(with)?))
            }
            None => (text, None),
        };
        let (name, image) = match rest.split_once('#') {
            Some((name, image)) => {
                (name, Some(number(image).filter(|n| !image.is_empty() && *n < MOST).ok_or_else(wrong)?))
            }
            None => (rest, None),
        };
        let group = TokenGroup::named(name).ok_or_else(wrong)?;
        if image.is_some() && group != TokenGroup::Image {
            return Err(with("images alone are told apart by #".to_owned()));
        }
        if index.is_some() && !group.is_numbered() {
            return Err(with(format!("tokens of {name} have no numbers")));
        }
        Ok(Self { group, image, index })
    }
}

impl fmt::Display for TokenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.group.name())?;
        if let Some(image) = self.image {
            write!(f, "#{image}")?;
        }
        match &self.index {
            Some(index) => write!(f, "[{}]", ranges(index)),
            None => Ok(()),
        }
    }
}

impl FromStr for Tokens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts: Vec<TokenPart> = Vec::new();
        let mut named = 0;
        for text in text.split('+') {
            let part: TokenPart = text.parse()?;
            named += 1 + part.index.as_ref().map_or(0, Vec::len);
            if named > MOST {
                return Err(format!("expected at most {MOST} tokens by number, found more from {part} on"));
            }
            parts.push(part);
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join("+"))
    }
}

/// Decoder layers from a first to a last, both counted from 0: `8-12`, or `8-` to the end. As JSON `[8, 12]`, `[8, null]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(usize, Option<usize>)", into = "(usize, Option<usize>)")]
pub struct LayerRange {
    /// The first.
    pub first: usize,
    /// The last; that of the model where there is none.
    pub last: Option<usize>,
}

impl LayerRange {
    /// Are they layers of a model of so many?
    ///
    /// # Errors
    /// One that is not there.
    pub fn check(self, num_layers: usize) -> Result<(), String> {
        if self.first.max(self.last.unwrap_or(0)) < num_layers {
            return Ok(());
        }
        Err(format!("layers {self}: there are {num_layers}, counted from 0"))
    }

    /// Is a layer one of them?
    pub fn contains(self, layer: usize) -> bool {
        layer >= self.first && self.last.is_none_or(|last| layer <= last)
    }
}

impl From<(usize, Option<usize>)> for LayerRange {
    fn from((first, last): (usize, Option<usize>)) -> Self {
        Self { first, last }
    }
}

impl From<LayerRange> for (usize, Option<usize>) {
    fn from(range: LayerRange) -> Self {
        (range.first, range.last)
    }
}

impl FromStr for LayerRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = || {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let first = number(first).filter(|_| !first.is_empty())?;
            let last = if last.is_empty() { None } else { Some(number(last)?) };
            last.is_none_or(|last| last >= first).then_some(Self { first, last })
        };
        range().ok_or_else(|| format!("expected layers like 8, 8-12 or 8-, found {text}"))
    }
}

impl fmt::Display for LayerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            None => write!(f, "{}-", self.first),
            Some(last) if last == self.first => write!(f, "{last}"),
            Some(last) => write!(f, "{}-{last}", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_joined_to_ranges() {
        for (text, canonical) in [
            ("latent[3,0-1]+images#1[2-2]", "latents[0-1,3]+image#1[2]"),
            (" tail + last", "tail+last"),
            ("image#0[5,6,9]", "image#0[5-6,9]"),
            ("all[0]", "all[0]"),
        ] {
            let tokens: Tokens = text.parse().unwrap();
            assert_eq!(tokens.to_string(), canonical);
            assert_eq!(canonical.parse::<Tokens>().unwrap(), tokens);
        }
    }

    #[test]
    fn what_names_no_tokens_is_said() {
        for text in [
            "",
            "latent s",
            "latents[",
            "latents[]",
            "latents[2-1]",
            "latents[1,1]",
            "latents[+1]",
            "prompt#0",
            "image#",
            "image#x",
            "last[0]",
            "answer[1]",
            "readers[0]",
            "latents++tail",
            "latents[0-99999999999]",
            "latents[0-9999999999999999999999]",
        ] {
            let problem = text.parse::<Tokens>().unwrap_err();
            assert!(problem.starts_with("expected tokens like"), "{text}: {problem}");
        }
        for text in ["", "-3", "3-2", "a", "1-2-3", "+1"] {
            assert!(text.parse::<LayerRange>().is_err(), "{text}");
        }
        assert!("8-".parse::<LayerRange>().unwrap().contains(99));
        assert!(!"8-9".parse::<LayerRange>().unwrap().contains(10));
    }
}
