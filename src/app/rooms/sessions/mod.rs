//! Sessions: saved, kept up to date, taken up again.

pub mod handle;
