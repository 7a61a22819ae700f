//! A room a feature: its panels, which read the state and push actions, and the handler that obeys these.

pub mod ask;
pub mod compare;
pub mod data;
pub mod images;
pub mod maps;
pub mod models;
pub mod runs;
pub mod samples;
pub mod sessions;
pub mod states;
pub mod train;
