//! Drawing on the GPU, each picture beside a plain CPU version it is tested against.

pub mod blend;
pub mod fill;
pub mod frames;
pub mod overlay;
pub mod points;
mod viewport;
