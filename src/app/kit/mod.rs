//! What panes are made of, whatever they show.

pub mod fonts;
pub mod geometry;
pub mod memo;
pub mod sheet;
pub mod theme;
pub mod widgets;
pub mod words;
