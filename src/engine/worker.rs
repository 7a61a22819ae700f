//! The worker thread: one model, one job at a time, each of which can be stopped between two steps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::protocol::{Command, Event, Job};
use super::session::Session;
use crate::error::{Error, Result};
use crate::progress::{Observer, Progress};

/// A command with the flag that stops it.
struct Order {
    id: u64,
    command: Command,
    cancel: Arc<AtomicBool>,
}

/// A job as the window keeps it.
struct Running {
    id: u64,
    job: Job,
    cancel: Arc<AtomicBool>,
}

/// The window's end of the worker.
pub struct Engine {
    orders: Option<Sender<Order>>,
    /// With the number of the order each belongs to.
    events: Receiver<(u64, Event)>,
    /// Jobs sent and not known to be over, oldest first.
    running: Vec<Running>,
    next_id: u64,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the worker; `wake` is called after each event, from the worker.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (orders, inbox) = unbounded::<Order>();
        let (outbox, events) = unbounded();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || Worker { outbox, wake: Box::new(wake), session: None }.work(&inbox))
            .expect("the system starts a thread");
        Self { orders: Some(orders), events, running: Vec::new(), next_id: 0, thread: Some(thread) }
    }

    /// Sends work. A job of the same kind that waits or runs is superseded: it is stopped.
    pub fn send(&mut self, command: Command) {
        let job = command.job();
        self.cancel_kind(Some(job));
        let cancel = Arc::new(AtomicBool::new(false));
        let id = self.next_id;
        self.next_id += 1;
        self.running.push(Running { id, job, cancel: cancel.clone() });
        if let Some(orders) = &self.orders
            && orders.send(Order { id, command, cancel }).is_err()
        {
            log::error!("the engine thread is gone");
        }
    }

    /// Stops all work.
    pub fn cancel(&self) {
        self.cancel_kind(None);
    }

    fn cancel_kind(&self, kind: Option<Job>) {
        for running in &self.running {
            if kind.is_none_or(|kind| kind == running.job) {
                running.cancel.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The next event, if there is one. What a superseded or stopped job still says is left out, but for a
    /// model that was loaded all the same.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            let (id, event) = self.events.try_recv().ok()?;
            let Some(place) = self.running.iter().position(|running| running.id == id) else { continue };
            if matches!(event, Event::Progressed(_) | Event::AnswerGrew(_)) {
                if self.running[place].cancel.load(Ordering::Relaxed) {
                    continue;
                }
                return Some(event);
            }
            let job = self.running.remove(place).job;
            if !self.is_running(job) || matches!(event, Event::ModelLoaded(_)) {
                return Some(event);
            }
        }
    }

    /// Is there work of this kind under way?
    pub fn is_running(&self, job: Job) -> bool {
        self.running.iter().any(|running| running.job == job)
    }

    /// Is there work under way?
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.cancel();
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the engine thread panicked");
        }
    }
}

struct Worker {
    outbox: Sender<(u64, Event)>,
    wake: Box<dyn Fn() + Send + Sync>,
    session: Option<Session>,
}

/// Passes steps on, and stops the job when its flag is up.
struct Watch<'a> {
    cancel: &'a AtomicBool,
    id: u64,
    outbox: &'a Sender<(u64, Event)>,
    wake: &'a (dyn Fn() + Send + Sync),
}

impl Watch<'_> {
    fn tell(&self, event: Event) {
        if self.outbox.send((self.id, event)).is_ok() {
            (self.wake)();
        }
    }
}

impl Observer for Watch<'_> {
    fn progress(&self, progress: Progress) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        self.tell(Event::Progressed(progress));
        Ok(())
    }

    fn answer_grew(&self, answer: &str) {
        self.tell(Event::AnswerGrew(answer.to_owned()));
    }
}

impl Worker {
    fn work(mut self, inbox: &Receiver<Order>) {
        while let Ok(Order { id, command, cancel }) = inbox.recv() {
            let job = command.job();
            let outbox = self.outbox.clone();
            let outcome = if cancel.load(Ordering::Relaxed) {
                Err(Error::Cancelled)
            } else {
                // A panic in a tensor library must not take the window's model away.
                catch_unwind(AssertUnwindSafe(|| self.perform(id, command, &cancel))).unwrap_or_else(
                    |panic| {
                        Err(Error::Request(format!(
                            "the program has a fault: {}",
                            panic_message(panic.as_ref())
                        )))
                    },
                )
            };
            let event = match outcome {
                Ok(event) => event,
                Err(Error::Cancelled) => Event::Cancelled(job),
                Err(problem) => Event::Failed { job, problem: problem.to_string() },
            };
            if outbox.send((id, event)).is_err() {
                break;
            }
            (self.wake)();
        }
    }

    fn perform(&mut self, id: u64, command: Command, cancel: &AtomicBool) -> Result<Event> {
        let watch = Watch { id, cancel, outbox: &self.outbox, wake: self.wake.as_ref() };
        match command {
            Command::LoadModel { source, adapter } => {
                let mut session = Session::load(source, &watch)?;
                if let Some(adapter) = adapter {
                    session.set_adapter_folder(Some(&adapter))?;
                }
                let info = session.info();
                self.session = Some(session);
                Ok(Event::ModelLoaded(info))
            }
            Command::SetAdapter { folder } => {
                let session = self.session.as_mut().ok_or_else(no_model)?;
                session.set_adapter_folder(folder.as_ref())?;
                Ok(Event::ModelLoaded(session.info()))
            }
            Command::CaptureTrace { sample, settings } => {
                let session = self.session.as_mut().ok_or_else(no_model)?;
                let trace = session.run(&sample, &settings, &watch)?;
                Ok(Event::TraceCaptured(Arc::new(trace)))
            }
        }
    }
}

fn no_model() -> Error {
    Error::Request("no model is loaded yet".to_owned())
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}
