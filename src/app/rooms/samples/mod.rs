//! Built-in samples.

pub mod handle;
pub mod panel;
