//! The K trained embedding rows, from safetensors or from a `torch.save` dictionary.

use std::io::Read;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;

use super::folder::Folder;
use super::pickle::{MOST_BYTES, Pickle, TensorLayout, Value};
use super::safetensors::Safetensors;
use super::source::WeightSource;
use crate::array::Array;
use crate::ask::MAX_LATENTS;
use crate::error::{Error, Result};

/// One embedding row per latent.
#[derive(Debug, Clone)]
pub struct LatentRows {
    /// [K, D], f32 on the CPU.
    pub rows: Tensor,
    /// The vocabulary ids they stand for, K of them.
    pub token_ids: Vec<u32>,
}

const SAFETENSORS: &str = "latent_rows.safetensors";
const TORCH: &str = "latent_rows.pt";

impl LatentRows {
    /// K.
    pub fn len(&self) -> usize {
        self.token_ids.len()
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.token_ids.is_empty()
    }

    /// The rows of some of the ids; `None` where there is none of them.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub fn of(&self, is_wanted: impl Fn(u32) -> bool) -> Result<Option<Self>> {
        let places: Vec<u32> =
            (0..self.token_ids.len() as u32).filter(|i| is_wanted(self.token_ids[*i as usize])).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let token_ids = places.iter().map(|i| self.token_ids[*i as usize]).collect();
        let rows = self.rows.index_select(&Tensor::new(places, self.rows.device())?, 0)?;
        Ok(Some(Self { rows, token_ids }))
    }

    /// These rows and those of other ids behind them.
    ///
    /// # Errors
    /// Rows of another width.
    pub fn and(&self, others: &Self) -> Result<Self> {
        let rows = Tensor::cat(&[&self.rows, &others.rows], 0)?;
        Ok(Self { rows, token_ids: [&self.token_ids[..], &others.token_ids].concat() })
    }

    /// Is it a matrix of as many rows as ids, and a number of them that makes sense?
    ///
    /// # Errors
    /// No ids or too many, an id twice, rows of another shape.
    pub fn check(&self, path: &Path, field: &str) -> Result<()> {
        let k = self.token_ids.len();
        if !(1..=MAX_LATENTS).contains(&k) {
            return Err(Error::field(path, field, format!("1 to {MAX_LATENTS} token ids"), k.to_string()));
        }
        self.check_shape(path, field)
    }

    /// Is it a matrix of as many rows as ids, each of a token of its own?
    ///
    /// # Errors
    /// Another shape, an id twice.
    pub fn check_shape(&self, path: &Path, field: &str) -> Result<()> {
        let (dims, k) = (self.rows.dims(), self.token_ids.len());
        if dims.len() != 2 || dims[0] != k {
            return Err(Error::field(
                path,
                "latent_rows",
                format!("shape [{k}, hidden_size]"),
                format!("{dims:?}"),
            ));
        }
        let mut sorted = self.token_ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != k {
            return Err(Error::field(path, field, "distinct token ids", format!("{:?}", self.token_ids)));
        }
        Ok(())
    }
}

/// Reads the rows of a folder, safetensors first, if it has any.
///
/// # Errors
/// A file that is damaged or lacks rows or ids, values that are not finite, rows and ids that do not fit each other.
pub fn read(folder: &Folder) -> Result<Option<LatentRows>> {
    let (rows, path) = if folder.has(SAFETENSORS) {
        (read_safetensors(folder)?, folder.path(SAFETENSORS))
    } else if folder.has(TORCH) {
        (read_torch(folder)?, folder.path(TORCH))
    } else {
        return Ok(None);
    };
    rows.check(&path, "token_ids")?;
    Ok(Some(rows))
}

fn read_safetensors(folder: &Folder) -> Result<LatentRows> {
    let file = Safetensors::open_files(folder, &[SAFETENSORS.to_owned()])?;
    let path = folder.path(SAFETENSORS);
    let missing = |what: &str| Error::Missing { what: format!("tensor {what}"), path: path.clone() };
    let (_, entry) = file.raw("latent_rows")?.ok_or_else(|| missing("latent_rows"))?;
    let rows = file.read("latent_rows", &entry.shape, DType::F32, &Device::Cpu)?;
    let (bytes, entry) = file.raw("token_ids")?.ok_or_else(|| missing("token_ids"))?;
    let ids: Vec<i64> = match entry.dtype {
        Dtype::I64 => bytes.as_chunks().0.iter().map(|raw| i64::from_le_bytes(*raw)).collect(),
        Dtype::I32 => bytes.as_chunks().0.iter().map(|raw| i32::from_le_bytes(*raw).into()).collect(),
        dtype => {
            let found = format!("{dtype:?} {:?}", entry.shape);
            return Err(Error::field(&path, "token_ids", "i64 numbers", found));
        }
    };
    Ok(LatentRows { rows, token_ids: to_ids(&ids, &path)? })
}

fn to_ids(ids: &[i64], path: &Path) -> Result<Vec<u32>> {
    ids.iter()
        .map(|&id| {
            u32::try_from(id)
                .ok()
                .ok_or_else(|| Error::field(path, "token_ids", "ids from 0", id.to_string()))
        })
        .collect()
}

/// `torch.save({"token_ids": [...] or tensor, "latent_rows": tensor})`: a zip with a pickle and raw storages.
fn read_torch(folder: &Folder) -> Result<LatentRows> {
    let path = folder.path(TORCH);
    let bad =
        |problem: String| Error::format(&path, format!("{TORCH} is not a torch.save dictionary"), problem);
    let bytes = folder.bytes(TORCH)?;
    let mut archive =
        zip::ZipArchive::new(std::io::Cursor::new(&bytes[..])).map_err(|e| bad(e.to_string()))?;
    let pickle_name = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name.ends_with("data.pkl"))
        .ok_or_else(|| bad("it has no data.pkl".to_owned()))?;
    let mut pickled = Vec::new();
    {
        let file = archive.by_name(&pickle_name).map_err(|e| bad(e.to_string()))?;
        // One more than is read, so that what is too long is said to be.
        let most = (MOST_BYTES + 1) as u64;
        file.take(most).read_to_end(&mut pickled).map_err(|e| bad(e.to_string()))?;
    }
    let pickle = Pickle::read(&pickled).map_err(bad)?;
    let entries = pickle.entries().ok_or_else(|| bad("expected a dictionary".to_owned()))?;
    let missing = |what: &str| Error::Missing { what: format!("entry {what}"), path: path.clone() };
    // Storages lie beside data.pkl in a folder data.
    let dir = pickle_name.trim_end_matches("data.pkl");
    let mut tensor = |layout: &TensorLayout| -> Result<(Vec<f64>, Vec<usize>)> {
        let name = format!("{dir}data/{}", layout.storage.key);
        let file = archive.by_name(&name).map_err(|e| bad(format!("{name}: {e}")))?;
        Ok((values(file, layout).map_err(bad)?, layout.shape.clone()))
    };
    let (rows, shape) = match entries.get("latent_rows") {
        Some(Value::Tensor(layout)) => tensor(layout)?,
        Some(_) => return Err(bad("latent_rows is something other than a plain tensor".to_owned())),
        None => return Err(missing("latent_rows")),
    };
    let ids: Vec<i64> = match entries.get("token_ids") {
        Some(Value::Tensor(layout)) => tensor(layout)?.0.into_iter().map(|id| id as i64).collect(),
        Some(Value::Items(items)) => {
            let number = |id: &usize| if let Value::Int(n) = pickle.value(*id) { Some(*n) } else { None };
            let numbers = items.iter().map(number).collect::<Option<_>>();
            numbers.ok_or_else(|| bad("token_ids holds something other than numbers".to_owned()))?
        }
        Some(_) => return Err(bad("token_ids is something other than numbers".to_owned())),
        None => return Err(missing("token_ids")),
    };
    let rows: Vec<f32> = rows.into_iter().map(|v| v as f32).collect();
    if !rows.iter().all(|v| v.is_finite()) {
        return Err(Error::field(&path, "latent_rows", "finite numbers", "NaN or infinity"));
    }
    Ok(LatentRows { rows: Tensor::from_vec(rows, shape, &Device::Cpu)?, token_ids: to_ids(&ids, &path)? })
}

/// The values of a tensor in its storage, in order; views of a larger one too.
fn values(mut storage: impl Read, layout: &TensorLayout) -> Result<Vec<f64>, String> {
    /// Far more than any rows of latents.
    const MOST: usize = 64 << 20;
    let width = match layout.storage.kind.as_str() {
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "DoubleStorage" | "LongStorage" => 8,
        other => return Err(format!("expected numbers of a usual type, found {other}")),
    };
    let (shape, strides) = (&layout.shape, &layout.strides);
    let count = Array::count(shape).filter(|count| *count <= MOST && shape.len() == strides.len());
    let count = count.ok_or_else(|| format!("expected rows of latents, found shape {shape:?}"))?;
    // The last value along every axis.
    let reach = shape.iter().zip(strides).try_fold(0usize, |reach, (size, stride)| {
        reach.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
    });
    let span = if count == 0 { Some(0) } else { reach.and_then(|reach| reach.checked_add(1)) };
    let bytes = span.filter(|span| *span <= MOST).map(|span| span * width);
    let skip = layout.offset.checked_mul(width);
    let (Some(bytes), Some(skip)) = (bytes, skip) else {
        return Err("its values lie too far apart".to_owned());
    };
    let failed = |e: std::io::Error| e.to_string();
    std::io::copy(&mut storage.by_ref().take(skip as u64), &mut std::io::sink()).map_err(failed)?;
    let mut raw = Vec::new();
    storage.take(bytes as u64).read_to_end(&mut raw).map_err(failed)?;
    if raw.len() < bytes {
        return Err(format!("expected {bytes} bytes of values, found {}", raw.len()));
    }
    let value = |place: usize| -> f64 {
        let at = &raw[place * width..][..width];
        match layout.storage.kind.as_str() {
            "FloatStorage" => f64::from(f32::from_le_bytes(at.try_into().expect("four bytes"))),
            "IntStorage" => f64::from(i32::from_le_bytes(at.try_into().expect("four bytes"))),
            "HalfStorage" => f16::from_le_bytes(at.try_into().expect("two bytes")).to_f64(),
            "BFloat16Storage" => bf16::from_le_bytes(at.try_into().expect("two bytes")).to_f64(),
            "ShortStorage" => f64::from(i16::from_le_bytes(at.try_into().expect("two bytes"))),
            "DoubleStorage" => f64::from_le_bytes(at.try_into().expect("eight bytes")),
            _ => i64::from_le_bytes(at.try_into().expect("eight bytes")) as f64,
        }
    };
    let place = |number: usize| {
        let mut rest = number;
        let axes = shape.iter().zip(strides).rev();
        axes.fold(0, |place, (size, stride)| {
            let index = rest % size;
            rest /= size;
            place + index * stride
        })
    };
    Ok((0..count).map(|number| value(place(number))).collect())
}
