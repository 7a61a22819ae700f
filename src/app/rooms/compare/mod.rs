//! Checkpoints and conditions side by side.

mod cell;
pub mod handle;
pub mod heads;
pub mod panel;
mod strips;
