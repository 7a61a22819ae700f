//! Opening a checkpoint beside reading its bytes, and the memory it takes on the way.

use std::path::{Path, PathBuf};

use candle_core::DType;
use serde::Serialize;

use super::{median_secs, timed};
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::checkpoint::folder::Folder;
use crate::engine::opening::Unread;
use crate::error::{Error, Result};
use crate::memory;
use crate::progress::Unobserved;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Load {
    /// A checkpoint folder.
    pub model: PathBuf,
    /// Element type.
    pub dtype: DtypeChoice,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct LoadReport {
    /// Precision.
    pub dtype: &'static str,
    /// Bytes of its tensors on disk.
    pub stored_bytes: u64,
    /// Reading those bytes, and nothing else, just before.
    pub read_secs: f64,
    /// Opening the model.
    pub load_secs: f64,
    /// What its weights take, as computed before.
    pub need_bytes: u64,
    /// What the process holds more than before.
    pub held_bytes: u64,
    /// Most the process held above what it did before, where that was the most ever.
    pub peak_bytes: Option<u64>,
    /// Bytes of the largest tensor on disk.
    pub largest_tensor_bytes: u64,
    /// Of this program.
    pub version: &'static str,
}

/// Measures it.
///
/// # Errors
/// A folder that is no checkpoint, files that are missing or damaged, values that are not finite.
pub fn load(args: &Load) -> Result<LoadReport> {
    let unread = Unread::open(Folder::open(&args.model)?, DeviceChoice::Cpu, args.dtype)?;
    let read_secs = median_secs(1, || read_files(&args.model))?;
    let (before, peak_before) = (memory::used_bytes(), memory::peak_bytes());
    let (model, load_secs) = timed(|| unread.model(&Unobserved))?;
    let held_bytes = memory::used_bytes().saturating_sub(before);
    let peak = memory::peak_bytes().filter(|peak| Some(*peak) > peak_before);
    drop(model);
    Ok(LoadReport {
        dtype: unread.precision.name(),
        stored_bytes: unread.disk_bytes(),
        read_secs,
        load_secs,
        need_bytes: unread.need(unread.precision).weights,
        held_bytes,
        peak_bytes: peak.map(|peak| peak.saturating_sub(before)),
        largest_tensor_bytes: unread
            .source
            .tensors()
            .iter()
            .map(|tensor| (tensor.count() * DType::BF16.size_in_bytes()) as u64)
            .max()
            .unwrap_or(0),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Reads every weight file of a folder from start to end.
fn read_files(folder: &Path) -> Result<()> {
    let io = |problem| Error::io("read", folder, problem);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            let mut file = std::fs::File::open(&path).map_err(io)?;
            std::io::copy(&mut file, &mut Discard(vec![0; 1 << 20])).map_err(io)?;
        }
    }
    Ok(())
}

/// Copies what it is given into a buffer, over and over, as a reader must at least.
struct Discard(Vec<u8>);

impl std::io::Write for Discard {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let len = data.len().min(self.0.len());
        self.0[..len].copy_from_slice(&data[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
