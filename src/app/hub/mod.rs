//! All there is: the state, what can be asked of it, and what can act on the world.

pub mod actions;
pub mod asking;
pub mod command_line;
pub mod controller;
pub mod data_files;
pub mod dialog;
pub mod files;
mod kept_session;
pub mod keyboard;
pub mod model_choices;
pub mod path_kind;
pub mod preferences;
pub mod report;
pub mod sorting;
pub mod state;
