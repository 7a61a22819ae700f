//! States that are replaced: which vectors go on in the place of those that arrive.

use std::rc::Rc;

use rand::RngExt as _;

use super::donors::{Donors, OfDonor};
use crate::ask::{EditSite, EditValue, NoiseSource, Tokens, Until};
use crate::error::{Error, Result};
use crate::export::recording_file::RecordingFile;
use crate::model::changes::is_changed;
use crate::random::stream;

/// A place of the residual stream at which vectors are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSite {
    /// The input of the first layer.
    Embedding,
    /// What a layer reads.
    Into(usize),
    /// What a layer gives.
    After(usize),
    /// After the final norm.
    Norm,
}

impl StateSite {
    /// The sites of a statement, in order; nothing of images.
    ///
    /// # Errors
    /// A layer that is not there.
    pub fn all(site: EditSite, num_layers: usize) -> std::result::Result<Vec<Self>, String> {
        let until = |held: Option<Until>| match held {
            None => None,
            Some(Until::End) => Some(num_layers - 1),
            Some(Until::Layer(layer)) => Some(layer),
        };
        let (layer, held) = match site {
            EditSite::Embedding(held) => (0, held.held),
            EditSite::After { layer, held } | EditSite::Into { layer, held } => (layer, held.held),
            EditSite::Pixels | EditSite::Features => return Ok(Vec::new()),
            EditSite::Norm => return Ok(vec![Self::Norm]),
        };
        let last = until(held);
        let largest = layer.max(last.unwrap_or(0));
        if largest >= num_layers {
            return Err(format!("layer {largest}: there are {num_layers} layers, counted from 0"));
        }
        Ok(match site {
            EditSite::Embedding(_) => {
                let after = last.into_iter().flat_map(|last| (0..=last).map(Self::After));
                std::iter::once(Self::Embedding).chain(after).collect()
            }
            EditSite::After { .. } => (layer..=last.unwrap_or(layer)).map(Self::After).collect(),
            _ => (layer..=last.unwrap_or(layer)).map(Self::Into).collect(),
        })
    }

    /// The tensor of a recording that has it, and its layer.
    fn stored(self) -> (&'static str, Option<usize>) {
        match self {
            Self::Embedding => ("embedding", None),
            Self::Into(layer) => ("into", Some(layer)),
            Self::After(layer) => ("after", Some(layer)),
            Self::Norm => ("norm", None),
        }
    }
}

/// Whence the vectors of a statement come.
enum Source {
    Itself,
    Zero,
    First,
    Shuffle(Vec<usize>),
    Donor(OfDonor),
    /// Rows of a file's tensor, the same at all sites or each site's own.
    Vectors(Rc<RecordingFile>),
    Normal {
        mean: f64,
        sd: f64,
        noise: Noise,
    },
    SameDist(Noise),
    NormMatched(Noise),
    Jitter {
        sigma: f64,
        noise: Noise,
    },
}

/// Unit normal noise.
enum Noise {
    File(Rc<RecordingFile>),
    /// Of the program's own stream, site by site, token by token, component by component.
    Seed(u64),
}

/// A statement that replaces states.
pub struct Replacement {
    /// Its place among the edits.
    pub statement: usize,
    /// Positions in the prompt, in the order named, [n].
    pub tokens: Vec<usize>,
    /// Where.
    pub sites: Vec<StateSite>,
    source: Source,
    width: usize,
}

/// What became of vectors at a site.
pub struct Replaced {
    /// [n, D].
    pub rows: Vec<f32>,
    /// How many are others.
    pub changed: usize,
    /// Sum of the lengths of their changes.
    pub moved: f64,
}

impl Replacement {
    /// A statement on tokens of a prompt.
    ///
    /// # Errors
    /// A value that cannot be there, a file that has not what it wants.
    pub fn new(
        statement: usize,
        value: &EditValue,
        (named, tokens): (&Tokens, Vec<usize>),
        sites: Vec<StateSite>,
        width: usize,
        donors: &mut Donors,
    ) -> Result<Self> {
        let count = tokens.len();
        let refused = Error::Request;
        let source = match value {
            EditValue::Itself => Source::Itself,
            EditValue::Zero => Source::Zero,
            EditValue::First => Source::First,
            EditValue::Shuffle { order } => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if !sorted.iter().copied().eq(0..count) {
                    return Err(refused(format!("shuffle wants each of 0 to {} once", count.max(1) - 1)));
                }
                Source::Shuffle(order.clone())
            }
            EditValue::Donor(own) | EditValue::Mean(own) => {
                let name = if matches!(value, EditValue::Donor(_)) { "donor" } else { "mean" };
                let file = donors.file(own.file.as_deref())?;
                let file = file.ok_or_else(|| refused(format!("{name} wants a file, as by --donor FILE")))?;
                Source::Donor(OfDonor::select(file, named, count).map_err(refused)?)
            }
            EditValue::Vectors(own) => {
                let file = donors.file(own.file.as_deref())?.filter(|file| has(file, "vectors"));
                let wants = || refused("vectors wants a file with the tensor vectors".to_owned());
                Source::Vectors(file.ok_or_else(wants)?)
            }
            EditValue::Normal { mean, sd, noise } => Source::Normal {
                mean: mean.unwrap_or(0.0),
                sd: sd.unwrap_or(1.0),
                noise: Noise::of(noise, "normal", donors)?,
            },
            EditValue::SameDist(noise) => Source::SameDist(Noise::of(noise, "same-dist", donors)?),
            EditValue::NormMatched(noise) => Source::NormMatched(Noise::of(noise, "norm-matched", donors)?),
            EditValue::Jitter { sigma, noise } => {
                Source::Jitter { sigma: *sigma, noise: Noise::of(noise, "jitter", donors)? }
            }
            EditValue::ImageMean | EditValue::Fill { .. } => {
                return Err(refused("it is for pixels or features of images".to_owned()));
            }
        };
        let own = Self { statement, tokens, sites, source, width };
        // What a file has not is known before minutes of work.
        for (i, site) in own.sites.iter().enumerate() {
            own.given(i, *site)?;
        }
        Ok(own)
    }

    /// The same with what was there.
    #[must_use]
    pub fn into_sham(self) -> Self {
        Self { source: Source::Itself, ..self }
    }

    /// What arrives at a site, [n, D] -> what goes on.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn at(&self, site: usize, z: &[f32]) -> Result<Replaced> {
        let width = self.width;
        let given = self.given(site, self.sites[site])?;
        let row = |values: &[f32], i: usize| values[i * width..][..width].to_vec();
        let rows: Vec<f32> = match (&self.source, given) {
            (Source::Itself, _) => z.to_vec(),
            (Source::Zero, _) => vec![0.0; z.len()],
            (Source::First, _) => (0..self.tokens.len()).flat_map(|_| row(z, 0)).collect(),
            (Source::Shuffle(order), _) => order.iter().flat_map(|i| row(z, *i)).collect(),
            (Source::Donor(_) | Source::Vectors(_), Some(given)) => given,
            (source, Some(e)) => {
                let mixed = |i: usize| mixed(source, &z[i * width..][..width], &e[i * width..][..width]);
                (0..self.tokens.len()).map(mixed).collect::<Result<Vec<_>>>()?.concat()
            }
            (_, None) => unreachable!("what a source needs is given"),
        };
        let (mut changed, mut moved) = (0, 0.0);
        for (before, after) in z.chunks_exact(width).zip(rows.chunks_exact(width)) {
            if is_changed(before, after) {
                changed += 1;
                moved += length(before.iter().zip(after).map(|(a, b)| b - a));
            }
        }
        Ok(Replaced { rows, changed, moved })
    }

    /// What a file or a stream gives for a site, [n, D].
    fn given(&self, site: usize, at: StateSite) -> Result<Option<Vec<f32>>> {
        let noise = match &self.source {
            Source::Donor(donor) => {
                let (name, layer) = at.stored();
                return donor.file.rows(name, layer, &donor.rows, self.width).map(Some);
            }
            Source::Vectors(file) => return self.of_file(file, "vectors", site).map(Some),
            Source::Normal { noise, .. }
            | Source::SameDist(noise)
            | Source::NormMatched(noise)
            | Source::Jitter { noise, .. } => noise,
            _ => return Ok(None),
        };
        let count = self.tokens.len() * self.width;
        match noise {
            Noise::File(file) => self.of_file(file, "eps", site).map(Some),
            Noise::Seed(seed) => Ok(Some(normal(*seed, site, count))),
        }
    }

    /// Of a tensor [n, D] or [sites, n, D].
    fn of_file(&self, file: &RecordingFile, name: &str, site: usize) -> Result<Vec<f32>> {
        let (count, width) = (self.tokens.len(), self.width);
        let wrong = |expected: String, found: String| Err(Error::field(file.path(), name, expected, found));
        let expected = format!("[{count}, {width}] or [{}, {count}, {width}]", self.sites.len());
        let Some(stored) = file.floats(name)? else { return wrong(expected, "none".to_owned()) };
        let first = match stored.shape[..] {
            [n, d] if (n, d) == (count, width) => 0,
            [sites, n, d] if (sites, n, d) == (self.sites.len(), count, width) => site * count * width,
            _ => return wrong(expected, format!("{:?}", stored.shape)),
        };
        let values = stored.values(first, count * width);
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            wrong("finite numbers".to_owned(), "others".to_owned())
        }
    }
}

fn has(file: &RecordingFile, name: &str) -> bool {
    file.floats(name).is_ok_and(|found| found.is_some())
}

impl Noise {
    fn of(source: &NoiseSource, name: &str, donors: &mut Donors) -> Result<Self> {
        if let Some(seed) = source.seed {
            return Ok(Self::Seed(seed));
        }
        let file = donors.file(source.file.as_deref())?.filter(|file| has(file, "eps"));
        file.map(Self::File).ok_or_else(|| Error::Request(format!("{name} wants a file or a seed")))
    }
}

/// Unit normal numbers of a seed's stream for a site (Box and Muller 1958).
fn normal(seed: u64, site: usize, count: usize) -> Vec<f32> {
    let mut rng = stream(seed, &[site as u64]);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let (a, b): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        let (radius, angle) = ((-2.0 * a.ln()).sqrt(), std::f64::consts::TAU * b);
        values.extend([radius * angle.cos(), radius * angle.sin()].map(|value| value as f32));
    }
    values.truncate(count);
    values
}

fn length(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// A vector made of what arrives and of noise.
fn mixed(source: &Source, z: &[f32], e: &[f32]) -> Result<Vec<f32>> {
    let count = z.len() as f64;
    let mean = z.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let deviation = (z.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count).sqrt();
    let scale = match source {
        Source::NormMatched(_) => {
            let own = length(e.iter().copied());
            if own == 0.0 {
                return Err(Error::Request("a direction of length 0 has none".to_owned()));
            }
            length(z.iter().copied()) / own
        }
        Source::Normal { sd, .. } => *sd,
        Source::SameDist(_) => deviation,
        Source::Jitter { sigma, .. } => sigma * deviation,
        _ => 0.0,
    };
    let base = |z: f32| match source {
        Source::Normal { mean, .. } => *mean,
        Source::SameDist(_) => mean,
        Source::Jitter { .. } => f64::from(z),
        _ => 0.0,
    };
    Ok(z.iter().zip(e).map(|(z, e)| (base(*z) + scale * f64::from(*e)) as f32).collect())
}
