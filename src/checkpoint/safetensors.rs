//! Safetensors files under the names one layout gives them, whatever layout the file was saved in.
//!
//! Opening reads headers only. A tensor's bytes are read once, when it is taken, and looked at for NaN on the
//! way: a damaged weight found now is one sentence, found later it is a blank answer.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::folder::{FileAt, Folder};
use super::names::canonical_name;
use super::source::{StoredTensor, WeightSource};
use crate::digest;
use crate::error::{Error, Result};
use crate::progress::Observer;

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
    range: std::ops::Range<u64>,
}

impl TensorEntry {
    /// Values it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    fn size_bytes(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }
}

struct File {
    name: String,
    content: FileAt,
}

/// All tensors of a folder, by canonical name.
pub struct Safetensors {
    folder: Folder,
    files: Vec<File>,
    entries: BTreeMap<String, TensorEntry>,
}

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

impl Safetensors {
    /// Opens the one file, or every shard the index names.
    ///
    /// # Errors
    /// No weights, or only pickled ones; an index that is wrong; a shard that is not there; a file that is cut off.
    pub fn open(folder: &Folder) -> Result<Self> {
        let names = weight_files(folder)?;
        Self::open_files(folder, &names)
    }

    /// Opens the named files of a folder.
    ///
    /// # Errors
    /// A file that is not there, is cut off or is of another format.
    pub fn open_files(folder: &Folder, names: &[String]) -> Result<Self> {
        let mut all = Self { folder: folder.clone(), files: Vec::new(), entries: BTreeMap::new() };
        for name in names {
            let content = folder.open_file(name)?;
            for (key, entry) in read_header(folder, name, &content, all.files.len())? {
                all.entries.insert(canonical_name(&key), entry);
            }
            all.files.push(File { name: name.clone(), content });
        }
        Ok(all)
    }

    /// Canonical names with what is known before reading.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &TensorEntry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The entry of a tensor, its shape checked against what the config implies.
    fn entry(&self, name: &str, shape: &[usize]) -> Result<&TensorEntry> {
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

    /// Bytes and type of any tensor of the files, for the few that are not weights.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn raw(&self, name: &str) -> Result<Option<(Vec<u8>, &TensorEntry)>> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let mut bytes = vec![0; entry.size_bytes()];
        self.files[entry.file].content.read_at(entry.range.start, &mut bytes)?;
        Ok(Some((bytes, entry)))
    }

    /// The file a tensor is in, for messages.
    pub fn path_of(&self, entry: &TensorEntry) -> std::path::PathBuf {
        self.folder.path(&self.files[entry.file].name)
    }
}

impl WeightSource for Safetensors {
    fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn has_values(&self) -> bool {
        true
    }

    fn tensors(&self) -> Vec<StoredTensor<'_>> {
        self.entries
            .iter()
            .map(|(name, entry)| StoredTensor { name, shape: &entry.shape, dtype: entry.dtype.to_string() })
            .collect()
    }

    fn stored_dtype(&self) -> DType {
        let count =
            |dtype| self.entries.values().filter(|e| e.dtype == dtype).map(TensorEntry::count).sum::<usize>();
        let types = [(Dtype::F32, DType::F32), (Dtype::BF16, DType::BF16), (Dtype::F16, DType::F16)];
        types.into_iter().max_by_key(|(stored, _)| count(*stored)).map_or(DType::F32, |(_, dtype)| dtype)
    }

    fn digests(&self, observer: &dyn Observer) -> Result<Vec<String>> {
        let names: Vec<&String> = self.entries.keys().collect();
        let one = |name: &&String| {
            let (bytes, _) = self.raw(name)?.expect("one of its entries");
            Ok(digest::of_bytes(&bytes))
        };
        let mut all = Vec::with_capacity(names.len());
        for some in names.chunks(rayon::current_num_threads()) {
            observer.check()?;
            all.extend(some.par_iter().map(one).collect::<Result<Vec<_>>>()?);
        }
        Ok(all)
    }

    fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.entry(name, shape).map(|_| ())
    }

    /// NaN or infinity in a tensor is an error.
    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let entry = self.entry(name, shape)?;
        let (tensor, finite) = decode(&self.files[entry.file].content, entry, dtype)?;
        if !finite {
            return Err(Error::field(self.path_of(entry), &entry.key, "finite numbers", "NaN or infinity"));
        }
        Ok(tensor.to_device(device)?.to_dtype(dtype)?)
    }

    fn size_bytes(&self) -> usize {
        self.entries.values().map(TensorEntry::size_bytes).sum()
    }

    fn size_of(&self, name: &str) -> usize {
        self.entries.get(name).map_or(0, TensorEntry::size_bytes)
    }
}

/// The files that hold the weights, all known to exist.
fn weight_files(folder: &Folder) -> Result<Vec<String>> {
    // As the reference: a single file is taken even where an index lies beside it.
    if folder.has(SINGLE) {
        return Ok(vec![SINGLE.to_owned()]);
    }
    if !folder.has(INDEX) {
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

/// Names, types and shapes of all tensors take no more, as in the format's own reader.
const MAX_HEADER: u64 = 100_000_000;

fn read_header(
    folder: &Folder,
    name: &str,
    content: &FileAt,
    file: usize,
) -> Result<Vec<(String, TensorEntry)>> {
    let path = folder.path(name);
    let bad =
        |problem: String| Error::format(&path, format!("{name} is not a complete safetensors file"), problem);
    let mut start = vec![0; content.len().min(64) as usize];
    content.read_at(0, &mut start)?;
    let Some(declared) = start.first_chunk::<8>().map(|raw| u64::from_le_bytes(*raw)) else {
        return Err(bad(format!("expected at least 8 bytes, found {}", start.len())));
    };
    let rest = content.len() - 8;
    if declared > rest {
        return Err(bad(format!("its header says {declared} bytes, the file has {rest}")));
    }
    if declared > MAX_HEADER {
        return Err(bad(format!("its header says {declared} bytes of names, expected at most {MAX_HEADER}")));
    }
    let mut header = vec![0; declared as usize];
    content.read_at(8, &mut header)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))?;
    let first = 8 + declared;
    let end = first + metadata.data_len() as u64;
    if end != content.len() {
        return Err(bad(format!("its header describes {end} bytes, the file has {}", content.len())));
    }
    Ok(metadata
        .tensors()
        .into_iter()
        .map(|(key, info)| {
            let range = first + info.data_offsets.0 as u64..first + info.data_offsets.1 as u64;
            let entry =
                TensorEntry { file, key: key.clone(), dtype: info.dtype, shape: info.shape.clone(), range };
            (key, entry)
        })
        .collect())
}

/// Values read and converted at once by one thread.
const CHUNK: usize = 1 << 16;

/// Reads values of `N` bytes each, and says whether all are finite. Reading, conversion and the look for NaN
/// share one parallel pass: candle's conversion runs on one thread.
fn convert<const N: usize, T: Copy + Default + Send>(
    content: &FileAt,
    entry: &TensorEntry,
    value: impl Fn([u8; N]) -> T + Sync,
    finite: impl Fn(T) -> bool + Sync,
) -> Result<(Vec<T>, bool)> {
    let mut values = vec![T::default(); entry.size_bytes() / N];
    let all_finite = values
        .par_chunks_mut(CHUNK)
        .enumerate()
        .map(|(i, out)| {
            let mut raw = vec![0u8; out.len() * N];
            content.read_at(entry.range.start + (i * CHUNK * N) as u64, &mut raw)?;
            let mut all_finite = true;
            for (out, raw) in out.iter_mut().zip(raw.as_chunks::<N>().0) {
                *out = value(*raw);
                all_finite &= finite(*out);
            }
            Ok::<_, Error>(all_finite)
        })
        .try_reduce(|| true, |a, b| Ok(a && b))?;
    Ok((values, all_finite))
}

/// A tensor of a file on the CPU, kept narrow where `dtype` is what the file holds, and whether all values are
/// finite.
fn decode(content: &FileAt, entry: &TensorEntry, dtype: DType) -> Result<(Tensor, bool)> {
    let (cpu, shape) = (&Device::Cpu, entry.shape.as_slice());
    Ok(match (entry.dtype, dtype) {
        (Dtype::F32, _) => {
            let (values, finite) = convert(content, entry, f32::from_le_bytes, f32::is_finite)?;
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (Dtype::BF16, DType::BF16) => {
            let (values, finite) = convert(content, entry, bf16::from_le_bytes, bf16::is_finite)?;
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (Dtype::BF16, _) => {
            let widen = |raw| bf16::from_le_bytes(raw).to_f32();
            let (values, finite) = convert(content, entry, widen, f32::is_finite)?;
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (Dtype::F16, DType::F16) => {
            let (values, finite) = convert(content, entry, f16::from_le_bytes, f16::is_finite)?;
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
        (_, _) => {
            let widen = |raw| f16::from_le_bytes(raw).to_f32();
            let (values, finite) = convert(content, entry, widen, f32::is_finite)?;
            (Tensor::from_vec(values, shape, cpu)?, finite)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>, dtype: Dtype) -> (Vec<f32>, bool) {
        let bytes: &'static [u8] = bytes.leak();
        let count = bytes.len() / if dtype == Dtype::F32 { 4 } else { 2 };
        let entry = TensorEntry {
            file: 0,
            key: "t".to_owned(),
            dtype,
            shape: vec![count],
            range: 0..bytes.len() as u64,
        };
        let (tensor, finite) = decode(&FileAt::Static(bytes), &entry, DType::F32).unwrap();
        (tensor.to_vec1().unwrap(), finite)
    }

    #[test]
    fn half_precision_is_widened_and_nan_is_seen() {
        let bytes = [1.5f32, -2.0].iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        assert_eq!(read(bytes, Dtype::BF16), (vec![1.5, -2.0], true));
        let bytes = [1.0, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(!read(bytes, Dtype::F32).1);
    }

    #[test]
    fn pieces_join_where_they_should() {
        let values: Vec<f32> = (0..2 * CHUNK + 3).map(|i| i as f32).collect();
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read(bytes, Dtype::F32), (values, true));
    }
}
