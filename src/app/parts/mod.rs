//! The state of each feature, as plain values.

pub mod as_read;
pub mod background;
pub mod chain;
pub mod compare;
pub mod data;
pub mod figure;
pub mod map_pane;
pub mod maps;
pub mod runs;
pub mod samples;
pub mod states;
pub mod tiling;
pub mod training;
pub mod undo;
pub mod view;
