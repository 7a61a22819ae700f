//! Opens the device and chooses the element type that settings name.

use candle_core::{DType, Device};

use super::gpu::gpus;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::error::{Error, Result};
use crate::ops::isa::Isa;
use crate::ops::matmul::packed::Format;
use crate::ops::weight::Precision;
use crate::units::human_bytes;

/// Opens a device.
///
/// # Errors
/// A GPU that is not there, or that this build cannot use.
pub fn open(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Auto if cfg!(feature = "cuda") && !gpus().is_empty() => Ok(Device::new_cuda(0)?),
        DeviceChoice::Auto if cfg!(feature = "metal") => Ok(Device::new_metal(0)?),
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(_) if !cfg!(feature = "cuda") => Err(Error::Request(
            "--device cuda: this build runs on the CPU only; build with --features cuda".to_owned(),
        )),
        DeviceChoice::Cuda(n) if n >= gpus().len() => Err(Error::Request(format!(
            "--device cuda:{n}: this machine has {} NVIDIA GPUs that can be used",
            gpus().len()
        ))),
        DeviceChoice::Cuda(n) => Ok(Device::new_cuda(n)?),
    }
}

/// What a checkpoint stored as `stored` is computed in on a device.
///
/// # Errors
/// A quantised format on a GPU.
pub fn resolve(choice: DtypeChoice, device: &Device, stored: DType) -> Result<Precision> {
    let native = if device.is_cpu() { stored == DType::BF16 && Isa::best().multiplies_bf16() } else { true };
    let auto = if native { DType::BF16 } else { DType::F32 };
    let quantised = match choice {
        DtypeChoice::Auto => return Ok(auto.into()),
        DtypeChoice::F32 => return Ok(DType::F32.into()),
        DtypeChoice::Bf16 => return Ok(DType::BF16.into()),
        DtypeChoice::F16 => return Ok(DType::F16.into()),
        DtypeChoice::Q8 => Format::Q8,
        DtypeChoice::Q4 => Format::Q4,
    };
    if !device.is_cpu() {
        let what =
            "--dtype q8 and q4 run on the CPU only: expected --device cpu, or --dtype bf16 on this device";
        return Err(Error::Request(what.to_owned()));
    }
    Ok(Precision { dtype: auto, quantised: Some(quantised), mixed: false })
}

/// What to do about a GPU that is there but cannot be used.
pub fn advice(device: &Device) -> Option<String> {
    if cfg!(feature = "cuda") || !device.is_cpu() {
        return None;
    }
    let gpu = gpus().into_iter().next()?;
    Some(format!(
        "{} with {} is here, but this build runs on the CPU: build with --features cuda",
        gpu.name,
        human_bytes(gpu.total_bytes as u64)
    ))
}

/// A device as the user reads it.
pub fn describe(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => {
            format!("CPU, {} threads", rayon::current_num_threads())
        }
        candle_core::DeviceLocation::Cuda { gpu_id } => {
            gpus().get(gpu_id).map_or_else(|| format!("CUDA {gpu_id}"), |gpu| gpu.name.clone())
        }
        candle_core::DeviceLocation::Metal { gpu_id } => format!("Metal {gpu_id}"),
    }
}
