//! Safetensors files written tensor by tensor: what is written is never held twice.

use std::collections::HashMap;
use std::io::{Result as IoResult, Write};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::atomic;
use crate::error::{Error, Result};

/// What writes the values of a tensor, last axis fastest.
pub type Values<'a> = dyn Fn(&mut dyn Write) -> IoResult<()> + 'a;

/// A tensor of a file, with what writes its values.
pub struct Entry<'a> {
    /// Its name.
    pub name: String,
    /// Of its values.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Writes them, last axis fastest, as many as the shape says.
    pub values: Box<Values<'a>>,
}

impl<'a> Entry<'a> {
    /// Values in single precision.
    pub fn floats(name: impl Into<String>, shape: &[usize], values: &'a [f32]) -> Self {
        let write = move |out: &mut dyn Write| out.write_all(bytemuck::cast_slice(values));
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec(), values: Box::new(write) }
    }

    /// Whole numbers.
    pub fn integers(name: impl Into<String>, shape: &[usize], values: impl IntoIterator<Item = i64>) -> Self {
        let values: Vec<i64> = values.into_iter().collect();
        let write = move |out: &mut dyn Write| out.write_all(bytemuck::cast_slice(&values));
        Self { name: name.into(), dtype: Dtype::I64, shape: shape.to_vec(), values: Box::new(write) }
    }

    /// Bytes of its values.
    fn num_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// A place that cannot be written, metadata that the format does not take.
pub fn write(
    path: &Path,
    entries: Vec<Entry<'_>>,
    metadata: impl IntoIterator<Item = (String, String)>,
) -> Result<()> {
    let (header, entries) = laid_out(entries, metadata.into_iter().collect(), path)?;
    atomic::write(path, |out| stream(&header, &entries, out))
}

/// Writes into anything that takes bytes; `path` is for messages.
///
/// # Errors
/// A reader that has gone, metadata that the format does not take.
pub fn write_to(
    path: &Path,
    entries: Vec<Entry<'_>>,
    metadata: impl IntoIterator<Item = (String, String)>,
    out: &mut dyn Write,
) -> Result<()> {
    let (header, entries) = laid_out(entries, metadata.into_iter().collect(), path)?;
    let written = stream(&header, &entries, out).and_then(|()| out.flush());
    written.map_err(|e| Error::io("write the tensors to", path, e))
}

fn stream(header: &[u8], entries: &[Entry<'_>], out: &mut dyn Write) -> IoResult<()> {
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header)?;
    for entry in entries {
        let mut counted = Counted { out: &mut *out, bytes: 0 };
        (entry.values)(&mut counted)?;
        if counted.bytes != entry.num_bytes() {
            let (name, expected, found) = (&entry.name, entry.num_bytes(), counted.bytes);
            let problem =
                format!("tensor {name}: expected {expected} bytes as its shape says, found {found}");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
        }
    }
    Ok(())
}

/// The header, and the tensors in the order it names them: that of their names, the widest types first, so that every
/// value lies where its type may.
fn laid_out<'a>(
    mut entries: Vec<Entry<'a>>,
    metadata: HashMap<String, String>,
    path: &Path,
) -> Result<(Vec<u8>, Vec<Entry<'a>>)> {
    entries.sort_by(|a, b| b.dtype.bitsize().cmp(&a.dtype.bitsize()).then_with(|| a.name.cmp(&b.name)));
    let mut end = 0;
    let infos = entries.iter().map(|entry| {
        let start = end;
        end += entry.num_bytes();
        let info = TensorInfo { dtype: entry.dtype, shape: entry.shape.clone(), data_offsets: (start, end) };
        (entry.name.clone(), info)
    });
    let metadata = if metadata.is_empty() { None } else { Some(metadata) };
    let failed = |e: &dyn std::fmt::Display| Error::format(path, "cannot write the tensors", e);
    let header = Metadata::new(metadata, infos.collect()).map_err(|e| failed(&e))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| failed(&e))?;
    // The format wants the values to begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok((header, entries))
}

/// Counts what goes through it.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += count;
        Ok(count)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_formats_own_library() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let values = [1.5f32, -2.0, 0.25];
        let entries = || {
            let bytes = Entry {
                name: "a".to_owned(),
                dtype: Dtype::U8,
                shape: vec![3],
                values: Box::new(|out| out.write_all(&[7, 8, 9])),
            };
            vec![bytes, Entry::floats("x", &[3, 1], &values), Entry::integers("ids", &[2], [5, -6])]
        };
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        write(&path, entries(), metadata.clone()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("x").unwrap().shape(), [3, 1]);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(read.tensor("x").unwrap().data()), values);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, i64>(read.tensor("ids").unwrap().data()), [5, -6]);
        assert_eq!(read.tensor("a").unwrap().data(), [7, 8, 9]);
        let mut out = Vec::new();
        write_to(&path, entries(), metadata, &mut out).unwrap();
        assert_eq!(out, bytes);
    }
}
