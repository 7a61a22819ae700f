//! What leaves the program: trace files, maps and charts.

pub mod bars;
mod font;
pub mod layout_file;
pub mod scatter;
pub mod trace_file;
