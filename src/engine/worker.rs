//! The engine's thread: one job at a time, each of which can be stopped between two steps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use super::answer::AnswerWatch;
use super::ids::{JobId, Request, Run, RunId};
use super::protocol::{Command, Event, News, Order};
use super::{Engine, Polled};
use crate::error::{Error, Result};
use crate::progress::{Observer, Progress};
use crate::trace::Trace;

/// What does the work.
pub trait Backend: Send + 'static {
    /// Does a job to its end; the news that ends it comes back.
    fn perform(&mut self, job: JobId, command: Command, watch: &Watch<'_>) -> Result<News>;
}

type Wake = dyn Fn() + Send + Sync;

/// The window's end of the thread.
pub struct Worker {
    orders: Sender<Order>,
    events: Receiver<Event>,
}

impl Worker {
    /// Starts the thread of this name; `wake` is called after each event, from there. It ends when this end is dropped and
    /// its job is over; nobody waits for that.
    pub fn start(name: &str, mut backend: impl Backend, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (orders, inbox) = unbounded::<Order>();
        let (outbox, events) = unbounded();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&mut backend, &inbox, &outbox, &wake))
            .expect("the system starts a thread");
        Self { orders, events }
    }
}

impl Engine for Worker {
    fn submit(&mut self, order: Order) {
        if self.orders.send(order).is_err() {
            log::error!("the engine thread is gone");
        }
    }

    fn poll(&mut self) -> Polled {
        match self.events.try_recv() {
            Ok(event) => Polled::Event(event),
            Err(TryRecvError::Empty) => Polled::Nothing,
            Err(TryRecvError::Disconnected) => Polled::Died,
        }
    }
}

/// Passes steps of a job on, and stops it when its flag is up.
pub struct Watch<'a> {
    order: &'a Order,
    outbox: &'a Sender<Event>,
    wake: &'a Wake,
}

impl Watch<'_> {
    /// Tells the window something of this job.
    pub fn tell(&self, news: News) {
        if self.outbox.send(Event { job: self.order.job, news }).is_ok() {
            (self.wake)();
        }
    }
}

impl Observer for Watch<'_> {
    fn progress(&self, progress: Progress) -> Result<()> {
        self.check()?;
        self.tell(News::Progressed(progress));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.order.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn note(&self, note: &str) {
        self.tell(News::Noted(note.to_owned()));
    }
}

impl AnswerWatch for Watch<'_> {
    fn answer_grew(&self, answer: &str) {
        self.tell(News::AnswerGrew(answer.to_owned()));
    }

    /// Somebody looks at it; the samples of a data set are answered whole or not at all.
    fn keeps_stopped_answers(&self) -> bool {
        matches!(self.order.command, Command::CaptureTrace { .. })
    }

    fn prompt_read(&self, trace: &dyn Fn() -> Trace) {
        let Command::CaptureTrace { request, .. } = &self.order.command else { return };
        let trace = trace();
        if trace.latent_attentions.is_some() {
            let (id, trace) = (RunId::Partial(self.order.job), Arc::new(trace));
            self.tell(News::PromptRead(Arc::new(Run { id, request: Request::clone(request), trace })));
        }
    }
}

fn work(backend: &mut impl Backend, inbox: &Receiver<Order>, outbox: &Sender<Event>, wake: &Wake) {
    while let Ok(order) = inbox.recv() {
        let watch = Watch { order: &order, outbox, wake };
        let outcome = watch.check().and_then(|()| {
            // A panic in a tensor library must not take the window's models away.
            let perform = AssertUnwindSafe(|| backend.perform(order.job, order.command.clone(), &watch));
            catch_unwind(perform).unwrap_or_else(|panic| {
                let message = panic_message(panic.as_ref());
                Err(Error::Request(format!("the program has a fault: {message}")))
            })
        });
        watch.tell(match outcome {
            Ok(news) => news,
            Err(Error::Cancelled) => News::Cancelled,
            Err(problem) => News::Failed(problem.to_string()),
        });
    }
}

/// What a panic said, on one line.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ask::{DeviceChoice, DtypeChoice};
    use crate::engine::ids::ModelId;
    use crate::engine::jobs::Jobs;

    /// Does with each job what the test says.
    struct Told(Receiver<&'static str>, Sender<&'static str>);

    impl Backend for Told {
        fn perform(&mut self, _job: JobId, _command: Command, watch: &Watch<'_>) -> Result<News> {
            match self.0.recv().unwrap_or("end") {
                "panic" => panic!("on\npurpose"),
                "wait to be stopped" => loop {
                    watch.check()?;
                    std::thread::sleep(Duration::from_millis(1));
                },
                "hang" => {
                    self.1.send("hangs").unwrap();
                    let released = self.0.recv();
                    Ok(News::Failed(format!("released by {released:?}")))
                }
                said => Ok(News::Failed(said.to_owned())),
            }
        }
    }

    fn started() -> (Worker, Sender<&'static str>, Receiver<&'static str>) {
        let (tell, told) = unbounded();
        let (say, said) = unbounded();
        (Worker::start("engine", Told(told, say), || ()), tell, said)
    }

    fn open() -> Command {
        Command::OpenModel(ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32))
    }

    fn next(worker: &mut Worker) -> Event {
        loop {
            match worker.poll() {
                Polled::Event(event) => return event,
                Polled::Nothing => std::thread::sleep(Duration::from_millis(1)),
                Polled::Died => panic!("the worker died"),
            }
        }
    }

    #[test]
    fn a_panic_ends_a_job_and_not_the_worker() {
        let (mut worker, tell, _) = started();
        let mut jobs = Jobs::default();
        for told in ["panic", "and on"] {
            tell.send(told).unwrap();
            worker.submit(jobs.start(open()));
        }
        let (first, second) = (next(&mut worker).news, next(&mut worker).news);
        assert!(matches!(first, News::Failed(why) if why == "the program has a fault: on purpose"));
        assert!(matches!(second, News::Failed(why) if why == "and on"));
    }

    #[test]
    fn a_flag_stops_a_job_that_runs_and_one_that_waits() {
        let (mut worker, tell, _) = started();
        let mut jobs = Jobs::default();
        tell.send("wait to be stopped").unwrap();
        let (first, second) = (jobs.start(open()), jobs.start(open()));
        worker.submit(first.clone());
        worker.submit(second.clone());
        jobs.cancel_all();
        for order in [first, second] {
            let event = next(&mut worker);
            assert!(event.job == order.job && matches!(event.news, News::Cancelled));
        }
    }

    #[test]
    fn nobody_waits_for_a_job_when_the_window_closes() {
        let (mut worker, tell, said) = started();
        let mut jobs = Jobs::default();
        tell.send("hang").unwrap();
        worker.submit(jobs.start(open()));
        assert_eq!(said.recv().unwrap(), "hangs");
        drop(jobs);
        // Were this to wait for the job, the test would never come to release it.
        drop(worker);
        tell.send("the test").unwrap();
    }
}
