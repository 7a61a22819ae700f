//! Pictures drawn from a seed: textures, things, scenes, marks. What the tasks that need labels are made of.
//!
//! Everything is a function of its random stream, so that one seed is one picture on any number of threads.

pub mod canvas;
pub mod color;
pub mod creatures;
pub mod marks;
pub mod noise;
pub mod paint;
pub mod scenes;
pub mod sprite;
pub mod texture;
pub mod things;
pub mod tools;
pub mod view;
