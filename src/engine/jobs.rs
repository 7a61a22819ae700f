//! The jobs the window has sent: who supersedes whom, whose news still counts.

use super::ids::{JobId, ModelId};
use super::protocol::{Command, Event, News, Order, Purpose};

struct Job {
    order: Order,
    /// Newer work for the same purpose was sent; its outcome counts no more.
    superseded: bool,
}

/// What news is of.
#[derive(Debug)]
pub struct Heard {
    /// The command.
    pub command: Command,
    /// Was newer work for the same purpose sent since?
    pub superseded: bool,
}

/// Jobs sent and not known to be over, oldest first.
#[derive(Default)]
pub struct Jobs {
    running: Vec<Job>,
    next: u64,
}

impl Jobs {
    /// A job for a command. Work for the same purpose is superseded, which stops it; but a base that is being
    /// read goes on where the new command needs it too.
    pub fn start(&mut self, command: Command) -> Order {
        for job in self.running.iter_mut().filter(|job| job.order.command.purpose() == command.purpose()) {
            job.superseded = true;
            let reads_base = matches!((&job.order.command, &command), (Command::OpenModel(a), Command::OpenModel(b))
                if a.base == b.base);
            if !reads_base {
                job.order.cancel();
            }
        }
        let order = Order::new(JobId(self.next), command);
        self.next += 1;
        self.running.push(Job { order: order.clone(), superseded: false });
        order
    }

    /// Stops all work for a purpose.
    pub fn cancel(&self, purpose: Purpose) {
        let jobs = self.running.iter().filter(|job| job.order.command.purpose() == purpose);
        jobs.for_each(|job| job.order.cancel());
    }

    /// Stops all work for a purpose, and its outcome counts no more.
    pub fn abandon(&mut self, purpose: Purpose) {
        for job in self.running.iter_mut().filter(|job| job.order.command.purpose() == purpose) {
            job.superseded = true;
            job.order.cancel();
        }
    }

    /// Stops all work.
    pub fn cancel_all(&self) {
        self.running.iter().for_each(|job| job.order.cancel());
    }

    /// What an event is news of; nothing where the news comes too late to count.
    ///
    /// A base that is read on for the command after it is still heard: its steps, and that it is there.
    pub fn hear(&mut self, event: &Event) -> Option<Heard> {
        let place = self.running.iter().position(|job| job.order.job == event.job)?;
        let job = &self.running[place];
        let heard = Heard { command: job.order.command.clone(), superseded: job.superseded };
        let reads_on = job.superseded && !job.order.is_cancelled();
        let counts = match &event.news {
            News::Noted(_) => true,
            News::Progressed(_) => !job.order.is_cancelled(),
            News::AnswerGrew(_) | News::PromptRead(_) => !job.superseded && !job.order.is_cancelled(),
            News::ModelOpened(_) => !job.superseded || reads_on,
            News::TraceCaptured(_)
            | News::TrainingBegun(_)
            | News::TrainingStepped(_)
            | News::TrainingValidated(_)
            | News::TrainingProbed { .. }
            | News::Trained(_)
            | News::StatesKept(_)
            | News::LayoutMoved { .. }
            | News::LayoutMade(_)
            | News::LayoutsMade
            | News::StatesRead(_)
            | News::RecordsAnswered(_)
            | News::Failed(_)
            | News::Cancelled => !job.superseded,
        };
        if event.news.ends_job() {
            self.running.remove(place);
        }
        counts.then_some(heard)
    }

    /// Stops what waits for a model that will not come; its outcome counts no more.
    pub fn drop_for_model(&mut self, model: &ModelId) {
        for job in self.running.iter_mut().filter(|job| job.order.command.model() == Some(model)) {
            job.superseded = true;
            job.order.cancel();
        }
    }

    /// All jobs end here: there is nobody to do them. Those whose outcome would have counted come back.
    pub fn end_all(&mut self) -> Vec<Command> {
        let ended = self.running.drain(..).filter(|job| !job.superseded);
        ended.map(|job| job.order.command).collect()
    }

    /// Is there work for this purpose under way?
    pub fn is_running(&self, purpose: Purpose) -> bool {
        self.running.iter().any(|job| job.order.command.purpose() == purpose)
    }

    /// Is there work under way?
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }
}

impl Drop for Jobs {
    /// Nobody waits for the outcomes any more.
    fn drop(&mut self) {
        self.cancel_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{DeviceChoice, DtypeChoice};
    use crate::engine::ids::{Request, Source};
    use crate::progress::{Phase, Progress};

    fn demo() -> ModelId {
        ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32)
    }

    fn elsewhere() -> ModelId {
        let mut model = demo();
        model.base.source = Source::Folder("elsewhere".into());
        model
    }

    fn ask() -> Command {
        let (sample, condition, keep) = Default::default();
        Command::CaptureTrace { request: Box::new(Request { model: demo(), sample, condition }), keep }
    }

    fn say(job: &Order, news: News) -> Event {
        Event { job: job.job, news }
    }

    #[test]
    fn new_work_supersedes_old_work_for_the_same_purpose_only() {
        let mut jobs = Jobs::default();
        let load = jobs.start(Command::OpenModel(demo()));
        let first = jobs.start(ask());
        let second = jobs.start(ask());
        assert!(first.is_cancelled() && !second.is_cancelled() && !load.is_cancelled());
        // What the first still says is too late, whatever it is.
        assert!(jobs.hear(&say(&first, News::AnswerGrew("late".to_owned()))).is_none());
        assert!(jobs.hear(&say(&first, News::Failed("late".to_owned()))).is_none());
        assert!(jobs.is_running(Purpose::Answer));
        assert!(jobs.hear(&say(&second, News::AnswerGrew("A".to_owned()))).is_some());
        assert!(jobs.hear(&say(&second, News::Cancelled)).is_some());
        assert!(!jobs.is_running(Purpose::Answer) && jobs.is_busy());
        // An ended job is unknown.
        assert!(jobs.hear(&say(&second, News::Cancelled)).is_none());
    }

    #[test]
    fn an_adapter_chosen_during_a_load_lets_the_base_be_read() {
        let mut jobs = Jobs::default();
        let base = jobs.start(Command::OpenModel(demo().with_adapter(None)));
        let adapted = jobs.start(Command::OpenModel(demo()));
        assert!(!base.is_cancelled() && !adapted.is_cancelled());
        // It is still heard how far the base is, but not that it failed: that is the next one's to say.
        let step = News::Progressed(Progress { phase: Phase::Weights, done: 1, total: 2 });
        assert!(jobs.hear(&say(&base, step)).unwrap().superseded);
        assert!(jobs.hear(&say(&base, News::Noted("closed".to_owned()))).is_some());
        let other = jobs.start(Command::OpenModel(elsewhere()));
        assert!(base.is_cancelled() && adapted.is_cancelled() && !other.is_cancelled());
    }

    #[test]
    fn stopped_work_says_nothing_more_but_how_it_ended() {
        let mut jobs = Jobs::default();
        let order = jobs.start(ask());
        jobs.cancel(Purpose::Answer);
        assert!(order.is_cancelled());
        assert!(jobs.hear(&say(&order, News::AnswerGrew("still".to_owned()))).is_none());
        assert!(jobs.hear(&say(&order, News::Cancelled)).is_some());
        let last = jobs.start(ask());
        drop(jobs);
        assert!(last.is_cancelled());
    }
}
