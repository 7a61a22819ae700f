//! The window. Panels read the state and push actions; handlers, one for each kind of action, change it.

pub mod actions;
pub mod background;
pub mod canvas;
pub mod command_line;
pub mod controller;
pub mod figure;
pub mod files;
mod fonts;
pub mod gallery;
mod handle;
pub mod keyboard;
pub mod map_pane;
pub mod maps;
pub mod memo;
#[cfg(feature = "offscreen")]
pub mod offscreen;
pub mod panels;
pub mod path_kind;
pub mod preferences;
pub mod projection;
pub mod report;
pub mod runs;
pub mod scale;
pub mod session;
pub mod state;
pub mod theme;
pub mod tiling;
pub mod training;
pub mod undo;
pub mod view;
pub mod window;
pub mod words;
