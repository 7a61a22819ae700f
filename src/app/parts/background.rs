//! Work of the panes that is too heavy for the window's thread and needs no model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::app::parts::maps::{MatrixKey, QueryRows, RowsKey};

/// What came of it, with what it was made of.
pub enum Computed {
    /// Rows of attention.
    Rows(RowsKey, QueryRows),
    /// A number for each layer and head.
    Matrix(MatrixKey, Vec<Vec<f32>>),
}

/// Runs work on rayon's threads and gathers its results.
pub struct Background {
    outbox: Sender<Computed>,
    inbox: Receiver<Computed>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Background {
    /// `wake` is called after each result.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (outbox, inbox) = unbounded();
        Self { outbox, inbox, wake: Arc::new(wake) }
    }

    /// Begins work; `otherwise` comes of it where it panics, which must not take the program along.
    pub fn spawn(&self, work: impl FnOnce() -> Computed + Send + 'static, otherwise: Computed) {
        let (outbox, wake) = (self.outbox.clone(), self.wake.clone());
        rayon::spawn(move || {
            let made = catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise);
            if outbox.send(made).is_ok() {
                wake();
            }
        });
    }

    /// The next result, if there is one.
    pub fn poll(&self) -> Option<Computed> {
        self.inbox.try_recv().ok()
    }
}
