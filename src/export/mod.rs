//! What leaves the program: trace files, maps and charts.

pub mod bars;
pub mod layout_file;
pub mod trace_file;
