//! The training run.

mod form;
pub mod handle;
pub mod panel;
mod probe;
