//! The window. Panels read the state and push actions; handlers, one for each kind of action, change it.

pub mod actions;
pub mod background;
pub mod canvas;
pub mod controller;
pub mod files;
pub mod gallery;
mod handle;
pub mod kept;
pub mod keyboard;
pub mod layout;
pub mod map_pane;
pub mod maps;
pub mod memo;
pub mod offscreen;
pub mod panels;
pub mod projection;
pub mod runs;
pub mod state;
pub mod theme;
pub mod training;
pub mod undo;
pub mod window;
pub mod words;
