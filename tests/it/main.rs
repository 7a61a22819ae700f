//! Tests of the whole: against the reference, through the command line, through the window.

mod bad_input;
mod cli;
mod common;
mod layering;
mod layouts;
mod overlay;
mod parity;
mod rows;
mod tokenizer;
mod window;
