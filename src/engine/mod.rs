//! A loaded model that answers samples, and the worker thread that keeps it away from the window.

pub mod demo;
pub mod session;
