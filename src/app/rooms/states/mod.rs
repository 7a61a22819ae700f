//! Layouts of hidden states.

pub mod handle;
pub mod panel;
pub mod scatter;
