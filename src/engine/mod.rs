//! A loaded model that answers samples, and the worker thread that keeps it away from the window.

pub mod demo;
pub mod inspect;
pub mod protocol;
pub mod session;
pub mod worker;
