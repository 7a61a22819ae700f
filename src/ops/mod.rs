//! The operations of the models: one path for answering and training.
//!
//! Each is a file: what it computes on the CPU with a forward and a backward pass of its own, and the same in
//! candle's operations (`plain`), which is its yardstick in tests and what every other device runs. Values are f32,
//! bf16 or f16; arithmetic is in f32, rounded where the reference rounds.

#![expect(clippy::disallowed_methods, reason = "gradients are made here, and written to the tape")]
#![expect(clippy::inline_always, reason = "what is not inlined under an instruction set does not use it")]

pub mod attention;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
pub mod dropout;
pub mod element;
pub mod elementwise;
pub mod embedding;
pub mod gelu;
mod host;
pub mod isa;
mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod low_rank;
pub mod matmul;
pub mod rms_norm;
pub mod rotary;
mod rows;
mod shared;
pub mod swiglu;
pub mod tape;
mod values;
pub mod weight;

/// Does a kernel of our own run on this device?
fn has_kernels(device: &candle_core::Device) -> bool {
    device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda()
}
