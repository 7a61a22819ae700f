//! The runs there are.

pub mod handle;
pub mod panel;
