//! The window. Panels read the state and send actions; one place applies them.

pub mod actions;
pub mod canvas;
pub mod files;
pub mod keyboard;
pub mod maps;
pub mod panels;
pub mod state;
pub mod theme;
pub mod update;
pub mod window;
