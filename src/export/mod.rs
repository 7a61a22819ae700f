//! What leaves the program: trace files.

pub mod trace_file;
