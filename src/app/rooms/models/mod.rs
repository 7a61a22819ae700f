//! The models of this machine.

pub mod browser;
pub mod shelf;
