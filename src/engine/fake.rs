//! An engine that does nothing but what a test has it say: superseding, late news and death are tested with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ids::JobId;
use super::protocol::{Event, News, Order};
use super::{Engine, Polled};

#[derive(Default)]
struct Shared {
    orders: Vec<Order>,
    says: VecDeque<Event>,
    dead: bool,
}

/// The window's end.
pub struct Scripted(Arc<Mutex<Shared>>);

/// The test's end.
#[derive(Clone)]
pub struct Script(Arc<Mutex<Shared>>);

/// Both ends.
pub fn scripted() -> (Scripted, Script) {
    let shared = Arc::<Mutex<Shared>>::default();
    (Scripted(shared.clone()), Script(shared))
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for Scripted {
    fn submit(&mut self, order: Order) {
        lock(&self.0).orders.push(order);
    }

    fn poll(&mut self) -> Polled {
        let mut shared = lock(&self.0);
        match shared.says.pop_front() {
            Some(event) => Polled::Event(event),
            None if shared.dead => Polled::Died,
            None => Polled::Nothing,
        }
    }
}

impl Script {
    /// What the window has sent so far.
    pub fn orders(&self) -> Vec<Order> {
        lock(&self.0).orders.clone()
    }

    /// Says something of a job.
    pub fn say(&self, job: JobId, news: News) {
        lock(&self.0).says.push_back(Event { job, news });
    }

    /// Says nothing more, ever.
    pub fn die(&self) {
        lock(&self.0).dead = true;
    }
}
