//! Where a model can run, and how much memory there is.

use candle_core::{DType, Device};

use crate::error::{Error, Result};

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A GPU where this build and this machine have one, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The n-th NVIDIA GPU.
    Cuda(usize),
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected auto, cpu or cuda:N, found {text}");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => {
                let number = other.strip_prefix("cuda:").ok_or_else(wrong)?;
                number.parse().map(Self::Cuda).ok().ok_or_else(wrong)
            }
        }
    }
}

/// What `--dtype` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DtypeChoice {
    /// f32 on the CPU, whose half precision is slow; bf16 on a GPU.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Brain float.
    Bf16,
    /// Half precision.
    F16,
}

impl DtypeChoice {
    /// The element type on a device.
    pub fn resolve(self, device: &Device) -> DType {
        match self {
            Self::Auto if device.is_cuda() => DType::BF16,
            Self::Auto | Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Auto if cfg!(feature = "cuda") && !gpus().is_empty() => Ok(Device::new_cuda(0)?),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(Error::Request(
                "--device cuda: this build runs on the CPU only; build with --features cuda".to_owned(),
            )),
            Self::Cuda(n) if n >= gpus().len() => Err(Error::Request(format!(
                "--device cuda:{n}: this machine has {} NVIDIA GPUs that can be used",
                gpus().len()
            ))),
            Self::Cuda(n) => Ok(Device::new_cuda(n)?),
        }
    }
}

/// One NVIDIA GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// What the driver calls it.
    pub name: String,
    /// Its memory.
    pub total_bytes: usize,
}

/// The NVIDIA GPUs the driver shows, whether or not this build can use them.
pub fn gpus() -> Vec<Gpu> {
    use cudarc::driver::{result, sys};
    #[expect(unsafe_code, reason = "asks whether the driver library is there before anything calls it")]
    // SAFETY: looks for a shared library and loads it; it has no other precondition.
    let present = unsafe { sys::is_culib_present() };
    if !present {
        return Vec::new();
    }
    // A driver older than the bindings lacks symbols, and cudarc panics on a missing one.
    std::panic::catch_unwind(|| {
        if result::init().is_err() {
            return Vec::new();
        }
        let count = result::device::get_count().unwrap_or(0);
        (0..count)
            .filter_map(|i| {
                let device = result::device::get(i).ok()?;
                #[expect(unsafe_code, reason = "the driver's call for a device's memory")]
                // SAFETY: the handle was just returned by the driver.
                let total_bytes = unsafe { result::device::total_mem(device) }.ok()?;
                Some(Gpu { name: result::device::get_name(device).ok()?, total_bytes })
            })
            .collect()
    })
    .unwrap_or_default()
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
        candle_core::DeviceLocation::Cpu => format!("CPU, {} threads", rayon::current_num_threads()),
        candle_core::DeviceLocation::Cuda { gpu_id } => {
            gpus().get(gpu_id).map_or_else(|| format!("CUDA {gpu_id}"), |gpu| gpu.name.clone())
        }
        candle_core::DeviceLocation::Metal { gpu_id } => format!("Metal {gpu_id}"),
    }
}

/// Memory this process holds, in bytes; 0 where the system does not say.
pub fn used_memory_bytes() -> u64 {
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
    let (Ok(mut system), Ok(pid)) = (System::new(), sysinfo::get_current_pid()) else { return 0 };
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid).map_or(0, sysinfo::Process::memory)
}

/// Most memory this process ever held, where the system says.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// Bytes for a person: 1.5 GiB.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
