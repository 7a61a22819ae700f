//! Recordings as safetensors files: what a donor has, facts of all its tokens, states of some.

use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::tensor_file::{self, Entry};
use crate::trace::Recording;
use crate::units::{Role, Span};

/// Writes a recording; `facts` is what was asked, as JSON.
///
/// # Errors
/// A place that cannot be written.
pub fn write(recording: &Recording, facts: &str, path: &Path) -> Result<()> {
    let count = recording.roles.len();
    let axes = (0..3).flat_map(|axis| recording.positions.iter().map(move |own| own[axis]));
    let mut entries = vec![
        Entry::integers("positions", &[3, count], axes),
        Entry::integers("roles", &[count], recording.roles.iter().map(|role| role.code())),
        Entry::integers("image", &[count], recording.image.iter().copied()),
        Entry::integers("latent", &[count], recording.latent.iter().copied()),
        Entry::integers(
            "tokens",
            &[recording.tokens.len()],
            recording.tokens.iter().map(|token| *token as i64),
        ),
    ];
    for (name, array) in [
        ("embedding", &recording.embedding),
        ("norm", &recording.norm),
        ("after", &recording.after),
        ("into", &recording.into),
        ("keys", &recording.keys),
        ("values", &recording.values),
        ("heads", &recording.heads),
    ] {
        if !array.data().is_empty() {
            entries.push(Entry::floats(name, array.shape(), array.data()));
        }
    }
    tensor_file::write(path, entries, [("facts".to_owned(), facts.to_owned())])
}

/// A file of a donor's states, of means, or of vectors and noise.
pub struct RecordingFile {
    path: PathBuf,
    map: Mmap,
    /// Facts of its tokens; nothing in a file of vectors or of noise.
    pub facts: Option<RecordedFacts>,
}

/// What a recording says of all its tokens.
#[derive(Debug, Clone)]
pub struct RecordedFacts {
    /// [N]: temporal, height and width.
    pub positions: Vec<[i64; 3]>,
    /// [N].
    pub roles: Vec<Role>,
    /// Where each image's tokens are.
    pub image_spans: Vec<Span>,
    /// Numbers of its latents, in their order.
    pub latents: Vec<usize>,
    /// Those whose states follow, [n].
    pub tokens: Vec<usize>,
}

/// A tensor of floats, read row by row.
pub struct StoredFloats<'a> {
    dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    bytes: &'a [u8],
}

impl StoredFloats<'_> {
    /// `count` values from the `first` on.
    pub fn values(&self, first: usize, count: usize) -> Vec<f32> {
        let size = self.dtype.bitsize() / 8;
        let bytes = &self.bytes[first * size..][..count * size];
        match self.dtype {
            Dtype::F64 => {
                bytemuck::pod_collect_to_vec::<u8, f64>(bytes).into_iter().map(|v| v as f32).collect()
            }
            Dtype::BF16 => {
                bytemuck::pod_collect_to_vec::<u8, bf16>(bytes).into_iter().map(bf16::to_f32).collect()
            }
            Dtype::F16 => {
                bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f16::to_f32).collect()
            }
            _ => bytemuck::pod_collect_to_vec(bytes),
        }
    }
}

impl RecordingFile {
    /// Opens one.
    ///
    /// # Errors
    /// No such file, a file of another kind, facts that contradict each other.
    #[expect(unsafe_code, reason = "memory maps")]
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e| Error::io("read the donor", path, e);
        let file = File::open(path).map_err(failed)?;
        // SAFETY: a file that is cut off under its reader ends it or gives zeros, as with every map of a file.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let tensors = SafeTensors::deserialize(&map)
            .map_err(|e| Error::format(path, "the donor is no safetensors", e))?;
        let facts = match tensors.tensor("roles") {
            Ok(_) => Some(facts(&tensors, path)?),
            Err(_) => None,
        };
        Ok(Self { path: path.to_owned(), map, facts })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A tensor of floats; nothing where it has none of that name.
    ///
    /// # Errors
    /// One of another type.
    pub fn floats(&self, name: &str) -> Result<Option<StoredFloats<'_>>> {
        let tensors = SafeTensors::deserialize(&self.map)
            .map_err(|e| Error::format(&self.path, "the donor is no safetensors", e))?;
        let Ok(tensor) = tensors.tensor(name) else { return Ok(None) };
        if !matches!(tensor.dtype(), Dtype::F32 | Dtype::F64 | Dtype::BF16 | Dtype::F16) {
            return Err(Error::field(&self.path, name, "floats", format!("{:?}", tensor.dtype())));
        }
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        let bytes = tensor.data();
        let first = bytes.as_ptr() as usize - self.map.as_ptr() as usize;
        Ok(Some(StoredFloats { dtype, shape, bytes: &self.map[first..][..bytes.len()] }))
    }

    /// Rows of a state `[n, D]`, or of one layer of `[L, n, D]` or `[L, heads, n, d]`: [heads,] rows, width.
    ///
    /// # Errors
    /// No such tensor, another width, a layer that is not there, numbers that are none.
    pub fn rows(&self, name: &str, layer: Option<usize>, rows: &[usize], width: usize) -> Result<Vec<f32>> {
        let count = self.facts.as_ref().map_or(0, |facts| facts.tokens.len());
        let Some(stored) = self.floats(name)? else {
            return Err(Error::field(&self.path, "tensors", format!("{name}, of a recording"), "none"));
        };
        let wrong =
            |expected: String| Err(Error::field(&self.path, name, expected, format!("{:?}", stored.shape)));
        let (lead, heads) = match (layer, &stored.shape[..]) {
            (None, [n, d]) if *n == count && *d == width => (0, 1),
            (Some(layer), [layers, n, d]) if *n == count && *d == width && layer < *layers => {
                (layer * n * d, 1)
            }
            (Some(layer), [layers, heads, n, d]) if *n == count && *d == width && layer < *layers => {
                (layer * heads * n * d, *heads)
            }
            _ => return wrong(format!("{count} rows of {width} in as many layers as the model has")),
        };
        let mut values = Vec::with_capacity(heads * rows.len() * width);
        for head in 0..heads {
            for row in rows {
                values.extend(stored.values(lead + (head * count + row) * width, width));
            }
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::field(&self.path, name, "finite numbers", "others"));
        }
        Ok(values)
    }
}

fn facts(tensors: &SafeTensors<'_>, path: &Path) -> Result<RecordedFacts> {
    let integers = |name: &str| -> Result<Vec<i64>> {
        let tensor = tensors.tensor(name).ok().filter(|own| own.dtype() == Dtype::I64);
        let tensor = tensor.ok_or_else(|| Error::field(path, "tensors", format!("{name}, I64"), "none"))?;
        Ok(bytemuck::pod_collect_to_vec(tensor.data()))
    };
    let codes = integers("roles")?;
    let count = codes.len();
    let roles: Option<Vec<Role>> =
        codes.iter().map(|code| Role::ALL.into_iter().find(|role| role.code() == *code)).collect();
    let roles = roles.ok_or_else(|| Error::field(path, "roles", "numbers from 0 to 3", "others"))?;
    let sized = |name: &str, expected: usize| -> Result<Vec<i64>> {
        let values = integers(name)?;
        let found = values.len().to_string();
        if values.len() == expected {
            Ok(values)
        } else {
            Err(Error::field(path, name, expected.to_string(), found))
        }
    };
    let axes = sized("positions", 3 * count)?;
    let positions = (0..count).map(|i| [axes[i], axes[count + i], axes[2 * count + i]]).collect();
    let image = sized("image", count)?;
    let mut image_spans: Vec<Span> = Vec::new();
    for (token, own) in image.iter().enumerate().filter(|(_, own)| **own >= 0) {
        match image_spans.last_mut() {
            Some(span) if span.end == token && image[token - 1] == *own => span.end = token + 1,
            _ => image_spans.push(Span { start: token, end: token + 1 }),
        }
    }
    let latents = sized("latent", count)?;
    let latents = latents.into_iter().filter_map(|own| usize::try_from(own).ok()).collect();
    let tokens: Option<Vec<usize>> = integers("tokens")?
        .into_iter()
        .map(|token| usize::try_from(token).ok().filter(|token| *token < count))
        .collect();
    let tokens =
        tokens.ok_or_else(|| Error::field(path, "tokens", format!("numbers below {count}"), "others"))?;
    Ok(RecordedFacts { positions, roles, image_spans, latents, tokens })
}
