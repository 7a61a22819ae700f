//! LIVR Explorer: see where the latent tokens of a vision-language model look, what they hold, what they cause.
//!
//! ARCHITECTURE.md says which module may use which, and where what would go.

pub mod analysis;
pub mod app;
pub mod array;
pub mod ask;
pub mod atomic;
pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod digest;
pub mod engine;
pub mod error;
pub mod export;
pub mod input;
pub mod logging;
pub mod memory;
pub mod model;
pub mod ops;
pub mod paths;
pub mod progress;
pub mod projection;
pub mod random;
pub mod render;
pub mod sandbox;
pub mod tensor_file;
pub mod trace;
pub mod train;
pub mod units;

/// The program's allocator, which the limits of memory are tested with.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: sandbox::Counting = sandbox::Counting;
