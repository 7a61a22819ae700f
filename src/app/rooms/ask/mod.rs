//! What is asked and how, and what is answered.

pub mod answer;
pub mod handle;
pub mod question;
