//! The K trained embedding rows, from safetensors or from a `torch.save` dictionary.

use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::pickle::{Object, Stack, TensorInfo};
use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use super::folder::Folder;
use super::safetensors::Safetensors;
use super::source::WeightSource;
use crate::error::{Error, Result};
use crate::settings::MAX_LATENTS;

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

    /// Is it a matrix of as many rows as ids, and a number of them that makes sense?
    pub fn check(&self, path: &Path, field: &str) -> Result<()> {
        let dims = self.rows.dims();
        let k = self.token_ids.len();
        if !(1..=MAX_LATENTS).contains(&k) {
            return Err(Error::field(path, field, format!("1 to {MAX_LATENTS} token ids"), k.to_string()));
        }
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
    // Storages lie beside data.pkl in a folder data.
    let dir = Path::new(&pickle_name).with_extension("");
    let mut stack = Stack::empty();
    {
        let file = archive.by_name(&pickle_name).map_err(|e| bad(e.to_string()))?;
        stack.read_loop(&mut BufReader::new(file)).map_err(|e| bad(e.to_string()))?;
    }
    let object = stack.finalize().map_err(|e| bad(e.to_string()))?;
    let entries = object.dict().map_err(|_other| bad("expected a dictionary".to_owned()))?;
    let (mut rows, mut ids) = (None, None);
    for (key, value) in entries {
        let Ok(name) = key.clone().unicode() else { continue };
        match name.as_str() {
            "latent_rows" => rows = Some(read_storage(&mut archive, key, value, &dir, &path)?),
            "token_ids" => {
                let list = match value {
                    Object::List(items) | Object::Tuple(items) => items
                        .into_iter()
                        .map(|item| {
                            item.int_or_long().map_err(|_other| {
                                bad("token_ids holds something other than numbers".to_owned())
                            })
                        })
                        .collect::<Result<Vec<i64>>>()?,
                    tensor => read_storage(&mut archive, key, tensor, &dir, &path)?
                        .to_dtype(DType::I64)?
                        .to_vec1()?,
                };
                ids = Some(to_ids(&list, &path)?);
            }
            _ => {}
        }
    }
    let missing = |what: &str| Error::Missing { what: format!("entry {what}"), path: path.clone() };
    let rows = rows.ok_or_else(|| missing("latent_rows"))?.to_dtype(DType::F32)?;
    let finite = rows.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite());
    if !finite {
        return Err(Error::field(&path, "latent_rows", "finite numbers", "NaN or infinity"));
    }
    Ok(LatentRows { rows, token_ids: ids.ok_or_else(|| missing("token_ids"))? })
}

fn read_storage(
    archive: &mut zip::ZipArchive<std::io::Cursor<&[u8]>>,
    key: Object,
    value: Object,
    dir: &Path,
    path: &Path,
) -> Result<Tensor> {
    let bad = |problem: &str| Error::format(path, "an entry is not a plain tensor", problem);
    let info: TensorInfo =
        value.into_tensor_info(key, dir)?.ok_or_else(|| bad("expected a tensor saved by torch.save"))?;
    if !info.layout.is_contiguous() || info.layout.start_offset() != 0 {
        return Err(bad("expected a contiguous tensor"));
    }
    let mut data = Vec::new();
    let wanted = info.layout.shape().elem_count() * info.dtype.size_in_bytes();
    let file = archive.by_name(&info.path).map_err(|e| bad(&e.to_string()))?;
    file.take(wanted as u64).read_to_end(&mut data).map_err(|e| Error::io("read the archive", path, e))?;
    if data.len() < wanted {
        return Err(bad(&format!("expected {wanted} bytes, found {}", data.len())));
    }
    Ok(Tensor::from_raw_buffer(&data, info.dtype, info.layout.dims(), &Device::Cpu)?)
}
