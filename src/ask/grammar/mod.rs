//! The text of statements, and back.
//!
//! ```text
//! statement = tokens "=" value [ "@" site ]
//!           | ("block" | "allow") tokens "->" tokens [ " @" layers ]
//!           | "head " l.h { "," l.h } " x " factor [ " of " tokens ]
//!           | "path " tokens ": " sender " -> " receiver [ " for " tokens ] " = " value
//! value     = name [ ":" item { "," item } ]      item = number | file | key "=" number or file
//! site      = ("embedding" | "after-" n | "into-" n) [ ".." [ n ] ] | "norm" | "pixels" | "features"
//! ```
//!
//! Canonical: numbers ascending and joined to ranges, defaults left out, shortest decimals, items in the order numbers, mean,
//! sd, seed, file. A file's name that has `,` `@` `"` `=` or blanks is quoted as a JSON string.

#[cfg(test)]
mod tests;
mod write;

use std::str::FromStr;

use super::edit::{
    CacheDonor, DonorFile, Edge, Edit, EditSite, EditValue, HeadPart, Held, NoiseSource, PathValue, Receiver,
    Sender, SequenceChange, Until,
};
use super::tokens::{Tokens, number};

type Parsed<T> = Result<T, String>;

impl FromStr for Edit {
    type Err = String;

    fn from_str(text: &str) -> Parsed<Self> {
        let text = text.trim();
        let after = |word: &str| text.strip_prefix(word).filter(|rest| rest.starts_with(char::is_whitespace));
        if let Some(rest) = after("block") {
            return edge(rest).map(Self::Block);
        }
        if let Some(rest) = after("allow") {
            return edge(rest).map(Self::Allow);
        }
        if let Some(rest) = after("head") {
            return head(rest);
        }
        if let Some(rest) = after("path") {
            return path(rest);
        }
        let Some((tokens, rest)) = text.split_once('=') else {
            return Err(format!("expected TOKENS=VALUE@SITE, block, allow, head or path, found {text}"));
        };
        assignment(tokens.parse()?, rest.trim())
    }
}

fn edge(text: &str) -> Parsed<Edge> {
    let wrong = || format!("expected tokens -> tokens, found {}", text.trim());
    let (from, rest) = text.split_once("->").ok_or_else(wrong)?;
    let (to, layers) = match rest.split_once('@') {
        Some((to, layers)) => (to, Some(layers.trim().parse()?)),
        None => (rest, None),
    };
    Ok(Edge { from: from.parse()?, to: to.parse()?, layers })
}

/// `5.3` -> layer 5, head 3.
fn layer_and_head(text: &str) -> Option<(usize, usize)> {
    let (layer, head) = text.split_once('.')?;
    Some((number(layer)?, number(head)?))
}

fn head(text: &str) -> Parsed<Edit> {
    let text = text.trim();
    let wrong = || format!("expected heads like 5.3,6.0 x 0.5, found {text}");
    let (named, rest) = text.split_once(" x ").ok_or_else(wrong)?;
    let heads: Option<Vec<_>> = named.trim().split(',').map(layer_and_head).collect();
    let (factor, tokens) = match rest.split_once(" of ") {
        Some((factor, tokens)) => (factor, Some(tokens.parse()?)),
        None => (rest, None),
    };
    Ok(Edit::Head { heads: heads.ok_or_else(wrong)?, factor: decimal(factor.trim())?, tokens })
}

fn path(text: &str) -> Parsed<Edit> {
    let wrong =
        || format!("expected a path like latents: head 0.1 -> head 2.0 k = donor, found {}", text.trim());
    let (tokens, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (from, rest) = rest.split_once("->").ok_or_else(wrong)?;
    let (to, value) = rest.split_once('=').ok_or_else(wrong)?;
    let (to, readers) = match to.split_once(" for ") {
        Some((to, readers)) => (to, Some(readers.parse()?)),
        None => (to, None),
    };
    let value = match value_of(value.trim())? {
        Word::State(EditValue::Donor(file)) => PathValue::Donor(file),
        Word::State(EditValue::Itself) => PathValue::Itself,
        _ => return Err("a path carries what a donor has there: expected donor or self".to_owned()),
    };
    Ok(Edit::Path {
        tokens: tokens.parse()?,
        from: sender(from.trim())?,
        to: receiver(to.trim())?,
        readers,
        value,
    })
}

fn sender(text: &str) -> Parsed<Sender> {
    let wrong = || format!("expected a path from embedding, after-4 or head 0.1, found {text}");
    if let Some(head) = text.strip_prefix("head ") {
        let head = layer_and_head(head.trim()).ok_or_else(wrong)?;
        return Ok(Sender::Head { head });
    }
    match text.parse() {
        Ok(EditSite::Embedding(Held { held: None })) => Ok(Sender::Embedding),
        Ok(EditSite::After { layer, held: Held { held: None } }) => Ok(Sender::After { layer }),
        _ => Err(wrong()),
    }
}

fn receiver(text: &str) -> Parsed<Receiver> {
    let wrong = || format!("expected a path to logits, or to head 2.0 q, k or v, found {text}");
    if text == "logits" {
        return Ok(Receiver::Logits);
    }
    let mut words = text.split_whitespace();
    let (Some("head"), Some(head), Some(part), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let part = match part {
        "q" => HeadPart::Q,
        "k" => HeadPart::K,
        "v" => HeadPart::V,
        _ => return Err(wrong()),
    };
    Ok(Receiver::Head { head: layer_and_head(head).ok_or_else(wrong)?, part })
}

/// What is behind the `=`.
fn assignment(tokens: Tokens, text: &str) -> Parsed<Edit> {
    let (value, site) = match outside_quotes(text, '@').next() {
        Some(at) => (text[..at].trim(), Some(text[at + 1..].trim())),
        None => (text, None),
    };
    let name = value.split(':').next().unwrap_or_default();
    match (value_of(value)?, site) {
        (Word::Sequence(change), None) => Ok(Edit::Sequence { tokens, change }),
        (Word::Sequence(_), Some(_)) => Err(format!("{name} has no site")),
        (Word::Cache(donor), layers) => {
            Ok(Edit::Cache { tokens, donor, layers: layers.map(str::parse).transpose()? })
        }
        (Word::State(value), Some(site)) => Ok(Edit::Replace { tokens, value, place: site.parse()? }),
        (Word::State(_), None) => Err(format!("{name} wants a site, as in @embedding")),
    }
}

/// Where a character stands outside quotes, from left to right.
fn outside_quotes(text: &str, wanted: char) -> impl Iterator<Item = usize> + '_ {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter_map(move |(i, c)| {
        let is_escape = quoted && c == '\\' && !escaped;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        let found = c == wanted && !quoted;
        escaped = is_escape;
        found.then_some(i)
    })
}

enum Word {
    State(EditValue),
    Sequence(SequenceChange),
    Cache(CacheDonor),
}

/// The items of a value, each to be taken once.
struct Items<'a> {
    name: &'a str,
    plain: Vec<String>,
    keyed: Vec<(&'a str, String)>,
}

const KEYS: [&str; 4] = ["mean", "sd", "seed", "file"];

impl<'a> Items<'a> {
    fn of(text: &'a str) -> Parsed<Self> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name.trim(), Some(rest)),
            None => (text, None),
        };
        let (mut plain, mut keyed) = (Vec::new(), Vec::new());
        for item in rest.map(split_items).unwrap_or_default() {
            match item.split_once('=').filter(|(key, _)| KEYS.contains(key)) {
                Some((key, value)) => keyed.push((key, unquoted(value)?)),
                None => plain.push(unquoted(item)?),
            }
        }
        Ok(Self { name, plain, keyed })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let place = self.keyed.iter().position(|(own, _)| *own == key)?;
        Some(self.keyed.remove(place).1)
    }

    /// A file named alone, or by its key.
    fn file(&mut self) -> DonorFile {
        let alone = (!self.plain.is_empty()).then(|| self.plain.remove(0));
        DonorFile { file: alone.or_else(|| self.take("file")) }
    }

    fn noise(&mut self) -> Parsed<NoiseSource> {
        let seed = self.take("seed");
        let whole = |text: String| {
            text.parse().map_err(|e| format!("expected a whole number as seed, found {text} ({e})"))
        };
        Ok(NoiseSource { seed: seed.map(whole).transpose()?, file: self.take("file") })
    }

    fn decimal(&mut self, key: &str) -> Parsed<Option<f64>> {
        self.take(key).map(|text| decimal(&text)).transpose()
    }

    /// Nothing is left.
    fn end(self) -> Parsed<()> {
        let left =
            self.plain.into_iter().chain(self.keyed.into_iter().map(|(key, value)| format!("{key}={value}")));
        match left.into_iter().next() {
            None => Ok(()),
            Some(item) => Err(format!("{} takes no {item}", self.name)),
        }
    }
}

fn split_items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut start = 0;
    for comma in outside_quotes(text, ',') {
        items.push(text[start..comma].trim());
        start = comma + 1;
    }
    items.push(text[start..].trim());
    items
}

fn unquoted(text: &str) -> Parsed<String> {
    let wrong = || format!("cannot read {text}");
    if text.starts_with('"') {
        return serde_json::from_str(text).ok().ok_or_else(wrong);
    }
    if is_plain(text) { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// Does a name need no quotes?
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || ",@\"=".contains(c))
}

fn decimal(text: &str) -> Parsed<f64> {
    let found: Option<f64> = text.parse().ok().filter(|x: &f64| x.is_finite());
    found.ok_or_else(|| format!("expected a number, found {text}"))
}

fn value_of(text: &str) -> Parsed<Word> {
    const NAMES: &str = "self, zero, first, mean, donor, vectors, shuffle, normal, same-dist, norm-matched, jitter, \
                         image-mean, fill, cache, remove, markers, gap, truncate";
    let mut items = Items::of(text)?;
    let word = match items.name {
        "self" => Word::State(EditValue::Itself),
        "zero" => Word::State(EditValue::Zero),
        "first" => Word::State(EditValue::First),
        "image-mean" => Word::State(EditValue::ImageMean),
        "mean" => Word::State(EditValue::Mean(items.file())),
        "donor" => Word::State(EditValue::Donor(items.file())),
        "vectors" => Word::State(EditValue::Vectors(items.file())),
        "cache" => Word::Cache(CacheDonor::Cache(items.file())),
        "shuffle" => {
            let order: Option<Vec<usize>> = items.plain.drain(..).map(|text| number(&text)).collect();
            let order = order.filter(|order| !order.is_empty());
            Word::State(EditValue::Shuffle {
                order: order.ok_or("shuffle wants an order, as in shuffle:1,0")?,
            })
        }
        "normal" => Word::State(EditValue::Normal {
            mean: items.decimal("mean")?,
            sd: items.decimal("sd")?,
            noise: items.noise()?,
        }),
        "same-dist" => Word::State(EditValue::SameDist(items.noise()?)),
        "norm-matched" => Word::State(EditValue::NormMatched(items.noise()?)),
        "jitter" => {
            let sigma = if items.plain.is_empty() { None } else { Some(items.plain.remove(0)) };
            let sigma = sigma.ok_or("jitter wants a number of deviations, as in jitter:0.3")?;
            Word::State(EditValue::Jitter { sigma: decimal(&sigma)?, noise: items.noise()? })
        }
        "fill" => {
            let rgb: Vec<f64> = items.plain.drain(..).map(|text| decimal(&text)).collect::<Parsed<_>>()?;
            let rgb = match rgb[..] {
                [] => None,
                [r, g, b] => Some([r, g, b]),
                _ => return Err("fill takes three numbers".to_owned()),
            };
            Word::State(EditValue::Fill { rgb })
        }
        "remove" => Word::Sequence(SequenceChange::Remove),
        "markers" => Word::Sequence(SequenceChange::Markers),
        "gap" => Word::Sequence(SequenceChange::Gap),
        "truncate" => {
            let keep = if items.plain.is_empty() { None } else { number(&items.plain.remove(0)) };
            let keep = keep.ok_or("truncate wants a number of latents, as in truncate:2")?;
            Word::Sequence(SequenceChange::Truncate { keep })
        }
        other => return Err(format!("expected one of {NAMES}, found {other}")),
    };
    items.end()?;
    Ok(word)
}

impl FromStr for EditSite {
    type Err = String;

    fn from_str(text: &str) -> Parsed<Self> {
        let wrong = || {
            format!(
                "expected a site like embedding, after-4, after-4.., into-2..5, norm, pixels or features, found {text}"
            )
        };
        let (site, held) = match text.split_once("..") {
            None => (text, None),
            Some((site, "")) => (site, Some(Until::End)),
            Some((site, last)) => (site, Some(Until::Layer(number(last).ok_or_else(wrong)?))),
        };
        let layer = |prefix: &str| site.strip_prefix(prefix).and_then(number);
        let ends_early = |first: usize| matches!(held, Some(Until::Layer(last)) if last < first);
        let held_from = |first: usize| {
            if ends_early(first) { Err(format!("{text} ends before it begins")) } else { Ok(Held { held }) }
        };
        match (site, held) {
            ("pixels", None) => Ok(Self::Pixels),
            ("features", None) => Ok(Self::Features),
            ("norm", None) => Ok(Self::Norm),
            ("embedding", _) => Ok(Self::Embedding(Held { held })),
            _ => match (layer("after-"), layer("into-")) {
                (Some(layer), _) => Ok(Self::After { layer, held: held_from(layer)? }),
                (_, Some(layer)) => Ok(Self::Into { layer, held: held_from(layer)? }),
                _ => Err(wrong()),
            },
        }
    }
}
