//! What a run starts from: pictures and a question.

mod jpeg;
pub mod picture;
pub mod sample;
