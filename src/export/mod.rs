//! What leaves the program: trace files and charts.

pub mod bars;
pub mod trace_file;
