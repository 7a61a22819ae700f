//! What leaves the program: trace files, maps and charts.

pub mod bars;
pub mod csv;
pub mod figure;
mod font;
pub mod layout_file;
mod pdf;
pub mod recording_file;
pub mod scatter;
pub mod trace_file;
