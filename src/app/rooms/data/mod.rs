//! A data set as a table, asked in the background.

pub mod handle;
pub mod panel;
