//! Statements as text.

use std::fmt;

use super::is_plain;
use crate::ask::edit::{
    CacheDonor, DonorFile, Edge, Edit, EditSite, EditValue, HeadPart, NoiseSource, PathValue, Receiver,
    Sender, SequenceChange, Until,
};

impl fmt::Display for EditSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = match self {
            Self::Pixels => return f.write_str("pixels"),
            Self::Features => return f.write_str("features"),
            Self::Norm => return f.write_str("norm"),
            Self::Embedding(held) => {
                f.write_str("embedding")?;
                held
            }
            Self::After { layer, held } => {
                write!(f, "after-{layer}")?;
                held
            }
            Self::Into { layer, held } => {
                write!(f, "into-{layer}")?;
                held
            }
        };
        match held.held {
            None => Ok(()),
            Some(Until::End) => f.write_str(".."),
            Some(Until::Layer(last)) => write!(f, "..{last}"),
        }
    }
}

/// A file's name as a statement has it.
fn quoted(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

/// `name:item,item`.
fn with_items(name: &str, items: impl IntoIterator<Item = Option<String>>) -> String {
    let items: Vec<String> = items.into_iter().flatten().collect();
    if items.is_empty() { name.to_owned() } else { format!("{name}:{}", items.join(",")) }
}

fn keyed<T: fmt::Display>(key: &str, value: Option<T>) -> Option<String> {
    value.map(|value| format!("{key}={value}"))
}

fn joined<T: fmt::Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl NoiseSource {
    fn items(&self) -> [Option<String>; 2] {
        [keyed("seed", self.seed), keyed("file", self.file.as_deref().map(quoted))]
    }
}

impl DonorFile {
    /// A value that is told by a file alone.
    fn named(&self, name: &str) -> String {
        // A name that would be taken for a key with its value is quoted by its `=`.
        with_items(name, [self.file.as_deref().map(quoted)])
    }
}

impl fmt::Display for EditValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Itself => "self".to_owned(),
            Self::Zero => "zero".to_owned(),
            Self::First => "first".to_owned(),
            Self::ImageMean => "image-mean".to_owned(),
            Self::Shuffle { order } => with_items("shuffle", [Some(joined(order))]),
            Self::Vectors(file) => file.named("vectors"),
            Self::Donor(file) => file.named("donor"),
            Self::Mean(file) => file.named("mean"),
            Self::Normal { mean, sd, noise } => with_items(
                "normal",
                [keyed("mean", *mean), keyed("sd", *sd)].into_iter().chain(noise.items()),
            ),
            Self::SameDist(noise) => with_items("same-dist", noise.items()),
            Self::NormMatched(noise) => with_items("norm-matched", noise.items()),
            Self::Jitter { sigma, noise } => {
                with_items("jitter", [Some(sigma.to_string())].into_iter().chain(noise.items()))
            }
            Self::Fill { rgb } => with_items("fill", [rgb.map(|rgb| joined(&rgb))]),
        };
        f.write_str(&text)
    }
}

impl fmt::Display for SequenceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove => f.write_str("remove"),
            Self::Markers => f.write_str("markers"),
            Self::Gap => f.write_str("gap"),
            Self::Truncate { keep } => write!(f, "truncate:{keep}"),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("embedding"),
            Self::After { layer } => write!(f, "after-{layer}"),
            Self::Head { head: (layer, head) } => write!(f, "head {layer}.{head}"),
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logits => f.write_str("logits"),
            Self::Head { head: (layer, head), part } => {
                let part = match part {
                    HeadPart::Q => "q",
                    HeadPart::K => "k",
                    HeadPart::V => "v",
                };
                write!(f, "head {layer}.{head} {part}")
            }
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)?;
        self.layers.map_or(Ok(()), |layers| write!(f, " @{layers}"))
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(edge) => write!(f, "block {edge}"),
            Self::Allow(edge) => write!(f, "allow {edge}"),
            Self::Head { heads, factor, tokens } => {
                let heads: Vec<String> =
                    heads.iter().map(|(layer, head)| format!("{layer}.{head}")).collect();
                write!(f, "head {} x {factor}", heads.join(","))?;
                tokens.as_ref().map_or(Ok(()), |tokens| write!(f, " of {tokens}"))
            }
            Self::Replace { tokens, value, place } => write!(f, "{tokens}={value}@{place}"),
            Self::Sequence { tokens, change } => write!(f, "{tokens}={change}"),
            Self::Cache { tokens, donor: CacheDonor::Cache(file), layers } => {
                write!(f, "{tokens}={}", file.named("cache"))?;
                layers.map_or(Ok(()), |layers| write!(f, "@{layers}"))
            }
            Self::Path { tokens, from, to, readers, value } => {
                write!(f, "path {tokens}: {from} -> {to}")?;
                if let Some(readers) = readers {
                    write!(f, " for {readers}")?;
                }
                match value {
                    PathValue::Donor(file) => write!(f, " = {}", file.named("donor")),
                    PathValue::Itself => f.write_str(" = self"),
                }
            }
        }
    }
}
