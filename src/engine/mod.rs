//! Models that answer samples, and the thread that keeps them away from the window.
//!
//! The command line calls [`models::Models`] directly; the window speaks to it through an [`Engine`].

pub mod answer;
pub mod as_read;
pub mod bench;
pub mod demo;
pub mod desk;
pub mod device;
pub mod fake;
pub mod gpu;
pub mod hub;
pub mod ids;
pub mod inspect;
pub mod jobs;
pub mod model_info;
pub mod models;
pub mod need;
pub mod opening;
pub mod project;
pub mod protocol;
pub mod session;
pub mod shelf;
pub mod study;
pub mod training;
pub mod worker;

use self::protocol::{Event, Order};

/// What an engine has to say at the moment.
#[derive(Debug)]
pub enum Polled {
    /// News of a job.
    Event(Event),
    /// Nothing now.
    Nothing,
    /// Nothing ever again.
    Died,
}

/// What the window speaks to. Neither call waits.
pub trait Engine {
    /// Hands work over.
    fn submit(&mut self, order: Order);

    /// The next thing it has to say.
    fn poll(&mut self) -> Polled;
}
