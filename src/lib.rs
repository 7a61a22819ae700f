//! LIVR Explorer: see where the latent tokens of a vision-language model look, what they hold, what they cause.
//!
//! Layers, each of which may use those before it:
//! `units, error, settings, trace, progress, device` <- `checkpoint, data, input` <- `model` <- `analysis`
//! <- `engine` <- `cli, app` <- the program. candle is only in `checkpoint`, `model`, `device`, `engine` and the benchmark; egui only in `app`, `render`, `cli`.

pub mod analysis;
pub mod app;
pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod device;
pub mod engine;
pub mod error;
pub mod export;
pub mod input;
pub mod model;
pub mod progress;
pub mod render;
pub mod settings;
pub mod trace;
pub mod units;
