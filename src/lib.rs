//! LIVR Explorer: see where the latent tokens of a vision-language model look, what they hold, what they cause.
//!
//! Layers, each of which may use those before it:
//! `units, array, random, error, settings, atomic, paths, trace, progress, memory, sandbox, projection` <- `checkpoint, data` <- `input, ops` <- `model`
//! <- `analysis, export, train` <- `engine` <- `render` <- `app` <- `cli` <- the program. candle is only in `checkpoint`,
//! `ops`, `model`, `train` and `engine`; egui only in `app` and `render`. `tests/it/layering.rs` reads it off the `use` lines.

pub mod analysis;
pub mod app;
pub mod array;
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
pub mod settings;
pub mod tensor_file;
pub mod trace;
pub mod train;
pub mod units;

/// The program's allocator, which the limits of memory are tested with.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: sandbox::Counting = sandbox::Counting;
