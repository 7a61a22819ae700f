//! Samples are asked and answered: by one [`Answerer`], whoever asks, with whatever mask, latents and edits.

pub mod answerer;
mod collector;
mod decode;
pub mod features;
mod intervene;
mod prompt;
mod recorder;
mod run;
pub mod sampler;
mod state;

pub use self::answerer::{Answerer, AskedSample};
pub use self::collector::RowCollector;
pub use self::state::ModelName;
use crate::progress::{Observer, Progress, Unobserved};
use crate::trace::Trace;

/// Watches an answer as it comes.
pub trait AnswerWatch: Observer {
    /// The prompt has been read; its maps can be seen before the answer is there.
    fn prompt_read(&self, _trace: &dyn Fn() -> Trace) {}

    /// A piece of the answer is there.
    fn answer_grew(&self, _answer: &str) {}

    /// Is an answer that was stopped kept as far as it is there?
    fn keeps_stopped_answers(&self) -> bool {
        false
    }
}

impl AnswerWatch for Unobserved {}

/// Somebody who wants to know where the work is and may stop it, and has no eye for the answers themselves.
pub struct FromAfar<'a>(pub &'a dyn Observer);

impl Observer for FromAfar<'_> {
    fn progress(&self, progress: Progress) -> crate::error::Result<()> {
        self.0.progress(progress)
    }

    fn check(&self) -> crate::error::Result<()> {
        self.0.check()
    }

    fn note(&self, note: &str) {
        self.0.note(note);
    }
}

impl AnswerWatch for FromAfar<'_> {}
