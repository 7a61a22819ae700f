//! What a run starts from: pictures and a question. Read from data sets, or made.

pub mod dataset;
pub mod disturb;
pub mod draw;
pub mod grounding;
pub mod matrix;
pub mod picture;
pub mod published;
pub mod record;
pub mod sample;
pub mod score;
pub mod tasks;
