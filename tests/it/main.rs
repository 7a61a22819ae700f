//! Tests of the whole: against the reference, through the command line, through the window.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[global_allocator]
static ALLOCATOR: livr_explorer::sandbox::Counting = livr_explorer::sandbox::Counting;

mod actions_window;
mod bad_images;
mod bad_input;
mod cli;
mod common;
mod compare_cli;
mod compare_window;
mod data_window;
mod datasets;
mod demo_scores;
mod edits_window;
mod eval;
mod examples;
mod experiment;
mod gallery;
mod grounding;
mod half;
mod hub;
mod interventions;
mod kept_sessions;
mod kernels;
mod layering;
mod layout_window;
mod layouts;

mod maps_window;
mod models;
mod op_table;
mod ops;
mod overlay;
mod panes;
mod parity;
mod pictures;
mod products;
mod project;
mod reported;
mod rooms_window;
mod rows;
mod sessions;
mod several_models;
mod source_tree;
mod study;
mod study_files;
mod superseding;
mod tasks;
mod together;
mod tokenizer;
mod train_resume;
mod train_runs;
mod train_window;
mod training;
mod two_layouts_window;
mod variants;
mod window;
