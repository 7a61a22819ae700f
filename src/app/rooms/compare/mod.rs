//! Checkpoints and conditions side by side.

mod cell;
pub mod handle;
mod heads;
pub mod panel;
mod strips;
