//! The images that the question speaks of.

pub mod handle;
pub mod panel;
