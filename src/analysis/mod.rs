//! What the captured rows say: maps over the image, summaries per layer and head.

pub mod likeness;
pub mod maps;
pub mod mass;
pub mod normalise;
pub mod query;
pub mod reach;
pub mod rollout;
pub mod statistics;
