//! Attention over the images: of one query, of all latents, of all layers and heads; figures of it.

pub mod canvas;
pub mod colour_bar;
pub mod exports;
pub mod figure;
pub mod figure_form;
pub mod handle;
pub mod latent_menu;
pub mod latent_strip;
pub mod matrix;
pub mod patch_card;
pub mod scale;
pub mod view_options;
