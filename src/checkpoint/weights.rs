//! Safetensors files under the names one layout gives them, whatever layout the file was saved in.
//!
//! Opening reads headers only. A tensor's bytes are touched once, when it is taken, and looked at for
//! NaN on the way: a damaged weight found now is one sentence, found later it is a blank answer.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::folder::{Bytes, Folder};
use crate::error::{Error, Result};

/// Where a tensor lies, without its values.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    /// Which of the files.
    file: usize,
    /// The name in the file.
    pub key: String,
    /// Element type in the file.
    pub dtype: Dtype,
    /// Shape in the file.
    pub shape: Vec<usize>,
    /// Byte range in the file.
    range: std::ops::Range<usize>,
}

struct File {
    name: String,
    bytes: Bytes,
}

/// All tensors of a folder, by canonical name.
pub struct Weights {
    folder: Folder,
    files: Vec<File>,
    entries: BTreeMap<String, TensorEntry>,
}

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

impl Weights {
    /// Opens the one file, or every shard the index names.
    pub fn open(folder: &Folder) -> Result<Self> {
        let names = weight_files(folder)?;
        Self::open_files(folder, &names)
    }

    /// Opens the named files of a folder.
    pub fn open_files(folder: &Folder, names: &[String]) -> Result<Self> {
        let mut weights = Self { folder: folder.clone(), files: Vec::new(), entries: BTreeMap::new() };
        for name in names {
            let bytes = folder.bytes(name)?;
            for (key, entry) in read_header(folder, name, &bytes, weights.files.len())? {
                weights.entries.insert(canonical_name(&key), entry);
            }
            weights.files.push(File { name: name.clone(), bytes });
        }
        Ok(weights)
    }

    /// Is there such a tensor?
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Canonical names with what is known before reading.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &TensorEntry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Bytes of all tensors on disk.
    pub fn size_bytes(&self) -> usize {
        self.entries.values().map(|entry| entry.range.len()).sum()
    }

    /// Bytes of one tensor on disk; 0 where it is not there.
    pub fn size_of(&self, name: &str) -> usize {
        self.entries.get(name).map_or(0, |entry| entry.range.len())
    }

    /// The entry of a tensor, its shape checked against what the config implies.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<&TensorEntry> {
        let Some(entry) = self.entries.get(name) else {
            return Err(Error::Missing {
                what: format!("tensor {name}"),
                path: self.folder.path(self.files.first().map_or(SINGLE, |file| file.name.as_str())),
            });
        };
        if entry.shape != shape {
            return Err(Error::field(
                self.path_of(entry),
                &entry.key,
                format!("shape {shape:?}"),
                format!("{:?}", entry.shape),
            ));
        }
        if !matches!(entry.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            return Err(Error::field(
                self.path_of(entry),
                &entry.key,
                "f32, bf16 or f16",
                format!("{:?}", entry.dtype),
            ));
        }
        Ok(entry)
    }

    /// Reads a tensor as `dtype` on `device`; NaN or infinity in it is an error.
    pub fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let entry = self.expect(name, shape)?;
        let bytes = &self.files[entry.file].bytes[entry.range.clone()];
        let (tensor, finite) = decode(bytes, entry.dtype, shape, dtype)?;
        if !finite {
            return Err(Error::field(self.path_of(entry), &entry.key, "finite numbers", "NaN or infinity"));
        }
        Ok(tensor.to_device(device)?.to_dtype(dtype)?)
    }

    /// Bytes and type of any tensor of the file, for the few that are not weights.
    pub fn raw(&self, name: &str) -> Option<(&[u8], Dtype, &[usize])> {
        let entry = self.entries.get(name)?;
        Some((&self.files[entry.file].bytes[entry.range.clone()], entry.dtype, &entry.shape))
    }

    /// The file a tensor is in, for messages.
    pub fn path_of(&self, entry: &TensorEntry) -> std::path::PathBuf {
        self.folder.path(&self.files[entry.file].name)
    }
}

/// The files that hold the weights, all known to exist.
fn weight_files(folder: &Folder) -> Result<Vec<String>> {
    if !folder.has(INDEX) {
        if folder.has(SINGLE) {
            return Ok(vec![SINGLE.to_owned()]);
        }
        let mut what = "model.safetensors (or model.safetensors.index.json)".to_owned();
        if folder.has("pytorch_model.bin") || folder.has("pytorch_model.bin.index.json") {
            what += "; the folder has pytorch_model.bin, which must be saved as safetensors first:";
            what += " model.safetensors";
        }
        return Err(Error::Missing { what, path: folder.root().to_owned() });
    }
    let index = folder.json(INDEX)?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| index.wrong("weight_map", "an object from tensor name to file"))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let Some(file) = file.as_str() else {
            return Err(Error::field(
                index.path(),
                format!("weight_map.{tensor}"),
                "a file name",
                file.to_string(),
            ));
        };
        if file.contains(['/', '\\']) || file == ".." {
            return Err(Error::field(
                index.path(),
                format!("weight_map.{tensor}"),
                "a file of this folder",
                file,
            ));
        }
        if !folder.has(file) {
            return Err(Error::Missing {
                what: format!("shard {file}, which {INDEX} names for {tensor},"),
                path: folder.path(file),
            });
        }
        names.insert(file.to_owned());
    }
    if names.is_empty() {
        return Err(index.wrong("weight_map", "at least one tensor"));
    }
    Ok(names.into_iter().collect())
}

fn read_header(folder: &Folder, name: &str, bytes: &[u8], file: usize) -> Result<Vec<(String, TensorEntry)>> {
    let path = folder.path(name);
    let bad =
        |problem: String| Error::format(&path, format!("{name} is not a complete safetensors file"), problem);
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(bad("it is a Git LFS pointer: fetch the file itself with git lfs pull".to_owned()));
    }
    if bytes.len() < 8 {
        return Err(bad(format!("expected at least 8 bytes, found {}", bytes.len())));
    }
    let declared = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    if declared > bytes.len() as u64 - 8 {
        return Err(bad(format!("its header says {declared} bytes, the file has {}", bytes.len() - 8)));
    }
    let start = 8 + declared as usize;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| bad(e.to_string()))?;
    let end = metadata.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
    if start + end != bytes.len() {
        return Err(bad(format!("its header describes {} bytes, the file has {}", start + end, bytes.len())));
    }
    Ok(metadata
        .tensors()
        .into_iter()
        .map(|(key, info)| {
            let range = start + info.data_offsets.0..start + info.data_offsets.1;
            let entry =
                TensorEntry { file, key: key.clone(), dtype: info.dtype, shape: info.shape.clone(), range };
            (key, entry)
        })
        .collect())
}

/// Bytes of a file to a CPU tensor, in `dtype` where that is f32, and whether all values are finite.
fn decode(bytes: &[u8], stored: Dtype, shape: &[usize], dtype: DType) -> Result<(Tensor, bool)> {
    // Conversion and the look for NaN share one parallel pass: candle's conversion runs on one thread.
    fn convert<const N: usize, T: Send + Copy>(
        bytes: &[u8],
        value: impl Fn([u8; N]) -> T + Sync,
        finite: impl Fn(T) -> bool + Sync,
    ) -> (Vec<T>, bool) {
        const CHUNK: usize = 1 << 16;
        let parts: Vec<(Vec<T>, bool)> = bytes
            .par_chunks(CHUNK * N)
            .map(|chunk| {
                let values: Vec<T> = chunk.as_chunks::<N>().0.iter().map(|raw| value(*raw)).collect();
                let all_finite = values.iter().all(|v| finite(*v));
                (values, all_finite)
            })
            .collect();
        let all_finite = parts.iter().all(|(_, finite)| *finite);
        let mut values = Vec::with_capacity(bytes.len() / N);
        for (part, _) in parts {
            values.extend_from_slice(&part);
        }
        (values, all_finite)
    }
    let cpu = &Device::Cpu;
    let shape = shape.to_vec();
    Ok(match (stored, dtype) {
        (Dtype::F32, _) => {
            let (values, finite) = convert(bytes, f32::from_le_bytes, f32::is_finite);
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (Dtype::BF16, DType::BF16) => {
            let (values, finite) = convert(bytes, bf16::from_le_bytes, bf16::is_finite);
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (Dtype::BF16, _) => {
            let (values, finite) = convert(bytes, |raw| bf16::from_le_bytes(raw).to_f32(), f32::is_finite);
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (Dtype::F16, DType::F16) => {
            let (values, finite) = convert(bytes, f16::from_le_bytes, f16::is_finite);
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (_, _) => {
            let (values, finite) = convert(bytes, |raw| f16::from_le_bytes(raw).to_f32(), f32::is_finite);
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
    })
}

/// The name a tensor or module has here, from either hub layout.
///
/// Old: `model.layers.*`, `model.embed_tokens`, `visual.*`. New: `model.language_model.layers.*`,
/// `model.visual.*`. Adapters may also leave out every prefix.
pub fn canonical_name(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("model.visual.").or_else(|| key.strip_prefix("visual.")) {
        return format!("visual.{rest}");
    }
    if key.starts_with("lm_head.") {
        return key.to_owned();
    }
    if let Some(rest) = key.strip_prefix("language_model.lm_head.") {
        return format!("lm_head.{rest}");
    }
    for prefix in ["model.language_model.", "language_model.model.", "language_model.", "model."] {
        if let Some(rest) = key.strip_prefix(prefix) {
            return format!("language_model.{rest}");
        }
    }
    if key.starts_with("layers.") || key.starts_with("embed_tokens.") || key.starts_with("norm.") {
        return format!("language_model.{key}");
    }
    key.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_key_layouts_have_one_name() {
        for (key, name) in [
            ("model.layers.0.mlp.up_proj.weight", "language_model.layers.0.mlp.up_proj.weight"),
            (
                "model.language_model.layers.0.mlp.up_proj.weight",
                "language_model.layers.0.mlp.up_proj.weight",
            ),
            ("visual.merger.mlp.0.weight", "visual.merger.mlp.0.weight"),
            ("model.visual.merger.mlp.0.weight", "visual.merger.mlp.0.weight"),
            ("lm_head.weight", "lm_head.weight"),
            ("layers.3.self_attn.q_proj", "language_model.layers.3.self_attn.q_proj"),
        ] {
            assert_eq!(canonical_name(key), name);
        }
    }

    #[test]
    fn half_precision_is_widened_and_nan_is_seen() {
        let bytes: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let (tensor, finite) = decode(&bytes, Dtype::BF16, &[2], DType::F32).unwrap();
        assert_eq!(tensor.to_vec1::<f32>().unwrap(), [1.5, -2.0]);
        assert!(finite);
        let bytes: Vec<u8> = [1.0, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(!decode(&bytes, Dtype::F32, &[2], DType::F32).unwrap().1);
    }
}
