//! Layouts of hidden states.

pub mod handle;
pub mod panel;
mod said;
pub mod scatter;
