//! Three threads of work: models that answer, a training run and maps beside them, so that one can ask meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ids::{BaseId, JobId, ModelId, Request, Run, RunId, Source};
use super::models::Models;
use super::project::Happening;
use super::protocol::{Command, News, Order};
use super::training::{Begun, Probe, TrainOrder, TrainWatch, Validation, train};
use super::worker::{Backend, Watch, Worker};
use super::{Engine, Polled};
use crate::ask::DtypeChoice;
use crate::error::{Error, Result};
use crate::progress::{Observer, Progress};
use crate::train::Step;

/// What the window speaks to.
pub struct Desk {
    answering: Worker,
    training: Worker,
    mapping: Worker,
}

impl Desk {
    /// Starts all; `wake` is called after each event.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let wake = Arc::new(wake);
        let wakes = || {
            let wake = wake.clone();
            move || wake()
        };
        Self {
            answering: Worker::start("engine", Models::default(), wakes()),
            training: Worker::start("training", Training, wakes()),
            mapping: Worker::start("maps", LayingOut, wakes()),
        }
    }
}

impl Engine for Desk {
    fn submit(&mut self, order: Order) {
        match &order.command {
            Command::Train(_) => self.training.submit(order),
            Command::MakeLayouts(_) => self.mapping.submit(order),
            Command::OpenModel(_)
            | Command::CaptureTrace { .. }
            | Command::KeepStates(_)
            | Command::ReadStates(_)
            | Command::AnswerRecords(_) => self.answering.submit(order),
        }
    }

    fn poll(&mut self) -> Polled {
        for worker in [&mut self.answering, &mut self.training, &mut self.mapping] {
            let polled = worker.poll();
            if !matches!(polled, Polled::Nothing) {
                return polled;
            }
        }
        Polled::Nothing
    }
}

impl Backend for Models {
    fn perform(&mut self, job: JobId, command: Command, watch: &Watch<'_>) -> Result<News> {
        match command {
            Command::OpenModel(id) => Ok(News::ModelOpened(Box::new(self.open(&id, watch)?))),
            Command::CaptureTrace { request, keep } => {
                // It may have had to go since.
                self.open(&request.model, watch)?;
                let trace = Arc::new(self.run_with_receipt(&request, &keep, watch)?);
                Ok(News::TraceCaptured(Arc::new(Run { id: RunId::Answer(job), request: *request, trace })))
            }
            Command::KeepStates(order) => Ok(News::StatesKept(Arc::new(order.collect(self, watch)?))),
            Command::AnswerRecords(order) => Ok(News::RecordsAnswered(order.answer(self, watch)?)),
            Command::ReadStates(order) => Ok(News::StatesRead(Arc::new(order.read(self, watch)?))),
            Command::Train(_) | Command::MakeLayouts(_) => {
                Err(Error::Request("expected work for a model, found another command".to_owned()))
            }
        }
    }
}

/// Trains.
struct Training;

impl Backend for Training {
    fn perform(&mut self, job: JobId, command: Command, watch: &Watch<'_>) -> Result<News> {
        let Command::Train(order) = command else {
            return Err(Error::Request("expected a training run, found another command".to_owned()));
        };
        let telling = Telling { watch, job, order: &order };
        Ok(News::Trained(Box::new(train(&order, &telling)?)))
    }
}

/// Makes maps.
struct LayingOut;

impl Backend for LayingOut {
    fn perform(&mut self, _job: JobId, command: Command, watch: &Watch<'_>) -> Result<News> {
        /// Between two looks at a map that moves.
        const FRAME: Duration = Duration::from_millis(60);
        let Command::MakeLayouts(order) = command else {
            return Err(Error::Request("expected maps to make, found another command".to_owned()));
        };
        let mut last: Option<Instant> = None;
        let mut told = |happening: Happening<'_>| match happening {
            Happening::Moved(layer, map) => {
                if last.is_none_or(|last| last.elapsed() >= FRAME) {
                    last = Some(Instant::now());
                    let places = Arc::new(map.iter().map(|place| place.map(|v| v as f32)).collect());
                    watch.tell(News::LayoutMoved { layer, places });
                }
            }
            Happening::Made(layout) => watch.tell(News::LayoutMade(Arc::new(layout.clone()))),
        };
        order.make(watch, &mut told)?;
        Ok(News::LayoutsMade)
    }
}

/// Passes on what happens in a run.
struct Telling<'a, 'w> {
    watch: &'a Watch<'w>,
    job: JobId,
    order: &'a TrainOrder,
}

impl Observer for Telling<'_, '_> {
    fn progress(&self, progress: Progress) -> Result<()> {
        self.watch.progress(progress)
    }

    fn check(&self) -> Result<()> {
        self.watch.check()
    }

    fn note(&self, note: &str) {
        self.watch.note(note);
    }
}

impl TrainWatch for Telling<'_, '_> {
    fn begun(&self, begun: &Begun) {
        self.watch.tell(News::TrainingBegun(Box::new(begun.clone())));
    }

    fn stepped(&self, step: &Step, _total: usize) {
        self.watch.tell(News::TrainingStepped(step.clone()));
    }

    fn validated(&self, validation: &Validation) {
        self.watch.tell(News::TrainingValidated(Box::new(validation.clone())));
    }

    fn wants_probes(&self) -> bool {
        true
    }

    fn probed(&self, probe: Probe) {
        let base = BaseId {
            source: Source::folder(&self.order.out),
            device: self.order.device,
            dtype: DtypeChoice::Auto,
        };
        let condition = probe.trace.condition.clone();
        let request = Request { model: ModelId { base, adapter: None }, sample: probe.sample, condition };
        let id = RunId::Probe { job: self.job, step: probe.step };
        let run = Arc::new(Run { id, request, trace: probe.trace });
        self.watch.tell(News::TrainingProbed { step: probe.step, run });
    }
}
