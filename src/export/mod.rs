//! What leaves the program: trace files, and writing any file without losing what was there.

pub mod atomic;
pub mod trace_file;
