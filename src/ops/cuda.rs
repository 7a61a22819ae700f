//! Launches the kernels of `kernels/` on NVIDIA GPUs.

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, DevicePtr as _, LaunchConfig, PushKernelArg as _,
};
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};
use half::{bf16, f16};

/// Threads of a block, as the kernels have it.
const THREADS: u32 = 128;

/// A file of kernels.
#[derive(Clone, Copy)]
pub struct Module {
    name: &'static str,
    ptx: &'static str,
}

macro_rules! module {
    ($name:literal) => {
        Module { name: $name, ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")) }
    };
}

/// `kernels/attention.cu`.
pub const ATTENTION: Module = module!("attention");
/// `kernels/cross_entropy.cu`.
pub const CROSS_ENTROPY: Module = module!("cross_entropy");
/// `kernels/rms_norm.cu`.
pub const RMS_NORM: Module = module!("rms_norm");
/// `kernels/rotary.cu`.
pub const ROTARY: Module = module!("rotary");
/// `kernels/swiglu.cu`.
pub const SWIGLU: Module = module!("swiglu");

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub enum Arg {
    /// A place in the GPU's memory.
    Pointer(u64),
    /// A whole number.
    Int(i32),
    /// A number.
    Float(f32),
}

/// Where the values of a contiguous tensor are. They stay there as long as the storage does: kernels of one stream
/// run in order.
pub fn pointer(storage: &CudaStorage, layout: &Layout) -> Result<Arg> {
    let Some((start, _)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::RequiresContiguous { op: "a kernel of our own" }.bt());
    };
    let stream = storage.device().cuda_stream();
    let first = match storage.dtype() {
        DType::F32 => storage.as_cuda_slice::<f32>()?.device_ptr(&stream).0,
        DType::BF16 => storage.as_cuda_slice::<bf16>()?.device_ptr(&stream).0,
        DType::F16 => storage.as_cuda_slice::<f16>()?.device_ptr(&stream).0,
        other => candle_core::bail!("expected f32, bf16 or f16, found {}", other.as_str()),
    };
    Ok(Arg::Pointer(first + (start * storage.dtype().size_in_bytes()) as u64))
}

/// The same of a tensor that is no argument of the operation itself.
pub fn pointer_of(tensor: &Tensor) -> Result<Arg> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => pointer(storage, layout),
        _ => candle_core::bail!("expected a tensor on the GPU"),
    }
}

/// Zeros on the GPU, to be written by a kernel.
pub fn zeros(device: &CudaDevice, count: usize, dtype: DType) -> Result<CudaStorage> {
    Ok(match dtype {
        DType::F32 => CudaStorage::wrap_cuda_slice(device.alloc_zeros::<f32>(count)?, device.clone()),
        DType::BF16 => CudaStorage::wrap_cuda_slice(device.alloc_zeros::<bf16>(count)?, device.clone()),
        DType::F16 => CudaStorage::wrap_cuda_slice(device.alloc_zeros::<f16>(count)?, device.clone()),
        other => candle_core::bail!("expected f32, bf16 or f16, found {}", other.as_str()),
    })
}

/// Whole numbers on the GPU.
pub fn ints(device: &CudaDevice, values: &[i32]) -> Result<(CudaSlice<i32>, Arg)> {
    // A tensor of none still has an address.
    let none = [0];
    let slice = device.clone_htod(if values.is_empty() { none.as_slice() } else { values })?;
    let first = slice.device_ptr(&device.cuda_stream()).0;
    Ok((slice, Arg::Pointer(first)))
}

/// Runs a kernel over a grid of blocks, with bytes of shared memory to share out.
pub fn launch(
    device: &CudaDevice,
    module: Module,
    kernel: &str,
    (across, down): (usize, usize),
    shared_bytes: usize,
    args: &[Arg],
) -> Result<()> {
    if across == 0 || down == 0 {
        return Ok(());
    }
    let function = device.get_or_load_custom_func(kernel, module.name, module.ptx)?;
    let mut builder = function.builder();
    for arg in args {
        match arg {
            Arg::Pointer(address) => builder.arg(address),
            Arg::Int(value) => builder.arg(value),
            Arg::Float(value) => builder.arg(value),
        };
    }
    let config = LaunchConfig {
        grid_dim: (across as u32, down as u32, 1),
        block_dim: (THREADS, 1, 1),
        shared_mem_bytes: shared_bytes as u32,
    };
    #[expect(unsafe_code, reason = "a kernel is foreign code")]
    // SAFETY: callers hand over as many arguments as the kernel takes, of its types, and memory of the sizes it
    // reaches; tests run the same kernels with the same arguments on the host.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// Blocks that cover so many values, one a thread.
pub fn blocks(count: usize) -> usize {
    count.div_ceil(THREADS as usize)
}

/// Shared memory a block may have without asking: longer sequences run candle's operations.
pub const MOST_SHARED_BYTES: usize = 40 << 10;

/// The name a kernel has for a type.
pub fn suffix(dtype: DType) -> &'static str {
    dtype.as_str()
}

/// What an operation returns.
pub type KernelOutput = Result<(CudaStorage, Shape)>;
