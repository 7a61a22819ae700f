//! The training run.

pub mod handle;
pub mod panel;
