//! What a run starts from: pictures and a question.

pub mod picture;
pub mod sample;
