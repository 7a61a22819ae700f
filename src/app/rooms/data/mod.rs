//! A data set as a table, asked in the background.

mod accuracy;
pub mod handle;
pub mod panel;
