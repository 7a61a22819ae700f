//! What is asked and how, and what is answered.

pub mod answer;
mod edits;
pub mod handle;
pub mod question;
