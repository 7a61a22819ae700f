//! Changes to a run: who looks at whom, states replaced, latents left out. Each is a statement with one canonical text (see
//! the grammar) and one JSON form.

use serde::{Deserialize, Deserializer, Serialize};

use super::tokens::{LayerRange, Tokens};

/// A statement about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Edit {
    /// `block latents->image @8-12`: those tokens cannot look at these.
    Block(Edge),
    /// `allow tail->image#0`: they can, whatever the mask or an earlier statement says.
    Allow(Edge),
    /// `head 5.3,6.0 x 0.5 of readers`: the outputs of heads, before `o_proj`, times a factor.
    Head {
        /// Layer and head of each.
        heads: Vec<(usize, usize)>,
        /// What their outputs are multiplied by.
        factor: f64,
        /// At these tokens; at all where there are none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokens: Option<Tokens>,
    },
    /// `latents[0-3]=zero@embedding`: another vector in the place of each token's.
    Replace {
        /// Whose.
        tokens: Tokens,
        /// What goes on in its place.
        #[serde(flatten)]
        value: EditValue,
        /// Where.
        #[serde(flatten)]
        place: EditSite,
    },
    /// `latents=truncate:2`: another sequence of tokens.
    Sequence {
        /// Whose.
        tokens: Tokens,
        /// What becomes of them.
        #[serde(flatten)]
        change: SequenceChange,
    },
    /// `latents=cache:donor.safetensors@1-`: a donor's keys and values for all that read the tokens later.
    Cache {
        /// Whose.
        tokens: Tokens,
        /// Whence.
        #[serde(flatten)]
        donor: CacheDonor,
        /// In these layers; in all where there are none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layers: Option<LayerRange>,
    },
    /// `path latents: head 0.1 -> head 2.0 k = donor`: one direct path, all else frozen.
    Path {
        /// Of the sender.
        tokens: Tokens,
        /// Where it begins.
        from: Sender,
        /// Where it ends.
        to: Receiver,
        /// Which readers of keys and values; all where there are none.
        #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
        readers: Option<Tokens>,
        /// What the sender says.
        #[serde(flatten)]
        value: PathValue,
    },
}

/// Queries and keys, in some layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The queries.
    pub from: Tokens,
    /// The keys. A token always sees itself.
    pub to: Tokens,
    /// In these layers; in all where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<LayerRange>,
}

/// What a replaced vector becomes. `e` is unit normal noise, of the file's tensor `eps` or of the program's own stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "value", rename_all = "kebab-case")]
pub enum EditValue {
    /// What it was, through the same assignment: the sham of all.
    #[serde(rename = "self")]
    Itself,
    /// Zero.
    Zero,
    /// That of the first of the tokens, at this site.
    First,
    /// Each that of another of them, by number.
    Shuffle {
        /// Each number once.
        order: Vec<usize>,
    },
    /// Rows of the file's tensor `vectors`.
    Vectors(#[serde(default)] DonorFile),
    /// What a donor has at this site, for the same tokens.
    Donor(#[serde(default)] DonorFile),
    /// The mean over samples, from a file.
    Mean(#[serde(default)] DonorFile),
    /// mean + sd e.
    Normal {
        /// 0 where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mean: Option<f64>,
        /// 1 where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sd: Option<f64>,
        /// Whence e.
        #[serde(flatten)]
        noise: NoiseSource,
    },
    /// mean(z) + sd(z) e, of each vector.
    SameDist(NoiseSource),
    /// e of the length of z.
    NormMatched(NoiseSource),
    /// z + sigma sd(z) e.
    Jitter {
        /// In deviations of each vector.
        sigma: f64,
        /// Whence e.
        #[serde(flatten)]
        noise: NoiseSource,
    },
    /// The mean over the visual tokens of the same image.
    ImageMean,
    /// Pixels of one colour.
    Fill {
        /// Red, green and blue from 0 to 255; the processor's mean where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rgb: Option<[f64; 3]>,
    },
}

/// A file that a statement names; the one given with all statements where it names none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DonorFile {
    /// As written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Whence noise comes; refused where neither is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoiseSource {
    /// Of the program's own stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// With the tensor `eps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What becomes of latents of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "value", rename_all = "lowercase")]
pub enum SequenceChange {
    /// Taken out; what is behind closes up.
    Remove,
    /// All taken out, the literal text around them stays.
    Markers,
    /// Taken out; what is behind stays where it was.
    Gap,
    /// Only the first stay.
    Truncate {
        /// So many.
        keep: usize,
    },
}

/// The word a cache statement has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "value", rename_all = "lowercase")]
pub enum CacheDonor {
    /// The donor's recording.
    Cache(#[serde(default)] DonorFile),
}

/// What the sender of a path says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "value", rename_all = "lowercase")]
pub enum PathValue {
    /// What the donor has there.
    Donor(#[serde(default)] DonorFile),
    /// What it says in this run: a sham.
    #[serde(rename = "self")]
    Itself,
}

/// Where vectors are replaced. Layers count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "site", rename_all = "lowercase")]
pub enum EditSite {
    /// What the vision tower reads.
    Pixels,
    /// What the tower gives, every level of it.
    Features,
    /// After the final norm.
    Norm,
    /// The input of the first layer.
    Embedding(Held),
    /// What a layer gives, before features are added to it.
    After {
        /// Which.
        layer: usize,
        /// For how long.
        #[serde(flatten)]
        held: Held,
    },
    /// What a layer reads.
    Into {
        /// Which.
        layer: usize,
        /// For how long.
        #[serde(flatten)]
        held: Held,
    },
}

/// For how long a replacement holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Once, where there is none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub held: Option<Until>,
}

/// How far a replacement is held; as JSON a layer, or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<usize>", into = "Option<usize>")]
pub enum Until {
    /// To the model's last layer.
    End,
    /// To this one.
    Layer(usize),
}

impl From<Option<usize>> for Until {
    fn from(layer: Option<usize>) -> Self {
        layer.map_or(Self::End, Self::Layer)
    }
}

impl From<Until> for Option<usize> {
    fn from(until: Until) -> Self {
        match until {
            Until::End => None,
            Until::Layer(layer) => Some(layer),
        }
    }
}

/// A field that is there, even where it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Until>, D::Error> {
    Until::deserialize(deserializer).map(Some)
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "site", rename_all = "lowercase")]
pub enum Sender {
    /// The input of the first layer.
    Embedding,
    /// What a layer gives.
    After {
        /// Which.
        layer: usize,
    },
    /// What a head adds, through its part of `o_proj`.
    Head {
        /// Layer and head.
        head: (usize, usize),
    },
}

/// Where a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "site", rename_all = "lowercase")]
pub enum Receiver {
    /// The input of the final norm.
    Logits,
    /// What a query head reads.
    Head {
        /// Layer and head.
        head: (usize, usize),
        /// Its queries, keys or values.
        part: HeadPart,
    },
}

/// What a head reads of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadPart {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
}

impl Edit {
    /// The tokens it names.
    pub fn selections(&self) -> Vec<&Tokens> {
        match self {
            Self::Block(edge) | Self::Allow(edge) => vec![&edge.from, &edge.to],
            Self::Head { tokens, .. } => tokens.iter().collect(),
            Self::Replace { tokens, .. } | Self::Sequence { tokens, .. } | Self::Cache { tokens, .. } => {
                vec![tokens]
            }
            Self::Path { tokens, readers, .. } => std::iter::once(tokens).chain(readers).collect(),
        }
    }

    /// Does it take something from a file?
    pub fn takes_a_file(&self) -> bool {
        match self {
            Self::Replace { value, .. } => match value {
                EditValue::Vectors(_) | EditValue::Donor(_) | EditValue::Mean(_) => true,
                EditValue::Normal { noise, .. }
                | EditValue::SameDist(noise)
                | EditValue::NormMatched(noise)
                | EditValue::Jitter { noise, .. } => noise.seed.is_none(),
                _ => false,
            },
            Self::Cache { .. } | Self::Path { value: PathValue::Donor(_), .. } => true,
            _ => false,
        }
    }

    /// The file it names.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Replace { value, .. } => match value {
                EditValue::Vectors(own) | EditValue::Donor(own) | EditValue::Mean(own) => own.file.as_deref(),
                EditValue::Normal { noise, .. }
                | EditValue::SameDist(noise)
                | EditValue::NormMatched(noise)
                | EditValue::Jitter { noise, .. } => noise.file.as_deref(),
                _ => None,
            },
            Self::Cache { donor: CacheDonor::Cache(own), .. }
            | Self::Path { value: PathValue::Donor(own), .. } => own.file.as_deref(),
            _ => None,
        }
    }

    /// The ranges of layers it names.
    pub fn layer_ranges(&self) -> Vec<LayerRange> {
        match self {
            Self::Block(Edge { layers, .. })
            | Self::Allow(Edge { layers, .. })
            | Self::Cache { layers, .. } => layers.iter().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// The single layers it names.
    pub fn layers(&self) -> Vec<usize> {
        let last = |held: &Held| match held.held {
            Some(Until::Layer(layer)) => Some(layer),
            Some(Until::End) | None => None,
        };
        match self {
            Self::Head { heads, .. } => heads.iter().map(|(layer, _)| *layer).collect(),
            Self::Replace { place: EditSite::Embedding(held), .. } => last(held).into_iter().collect(),
            Self::Replace {
                place: EditSite::After { layer, held } | EditSite::Into { layer, held }, ..
            } => std::iter::once(*layer).chain(last(held)).collect(),
            Self::Path { from, to, .. } => {
                let from = match from {
                    Sender::Embedding => None,
                    Sender::After { layer } | Sender::Head { head: (layer, _) } => Some(*layer),
                };
                let to = match to {
                    Receiver::Logits => None,
                    Receiver::Head { head: (layer, _), .. } => Some(*layer),
                };
                from.into_iter().chain(to).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The edge it opens or closes, and whether it opens it.
    pub fn edge(&self) -> Option<(&Edge, bool)> {
        match self {
            Self::Block(edge) => Some((edge, false)),
            Self::Allow(edge) => Some((edge, true)),
            _ => None,
        }
    }
}

/// Statements as a file has them; each must be one that can be written.
pub(super) fn read_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Edit>, D::Error> {
    let edits: Vec<Edit> = Vec::deserialize(deserializer)?;
    for edit in &edits {
        let again = edit.to_string().parse::<Edit>();
        if again.as_ref() != Ok(edit) {
            let why = again.err().unwrap_or_else(|| format!("expected numbers in order, found {edit}"));
            return Err(serde::de::Error::custom(why));
        }
    }
    Ok(edits)
}
