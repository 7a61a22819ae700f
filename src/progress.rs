//! How long work reports where it is and learns that it should stop.

use crate::error::Result;

/// What a job is doing, with how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The kind of work.
    pub phase: Phase,
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

/// The kinds of work long enough to be worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading tensors; steps are bytes.
    Weights,
    /// Decoding and resizing images.
    Images,
    /// Blocks of the vision tower.
    Vision,
    /// Decoder layers over the prompt.
    Prompt,
    /// Generated tokens.
    Answer,
    /// Answer choices scored.
    Choices,
    /// Samples of a data set made.
    Samples,
    /// Steps of training.
    Training,
    /// Samples of a data set read for their digest.
    Digest,
    /// Samples of a data set answered.
    Evaluating,
    /// Samples whose states are kept.
    States,
    /// Passes over states for their principal components.
    Components,
    /// Points whose nearest are found.
    Neighbours,
    /// Shuffles of labels that probes are held against.
    Probes,
    /// What states would say.
    Words,
    /// Steps of a map.
    Layout,
    /// Bytes from the Hugging Face Hub.
    Download,
}

impl Phase {
    /// Shown beside the progress bar.
    pub fn label(self) -> &'static str {
        match self {
            Self::Weights => "Reading weights",
            Self::Images => "Preparing images",
            Self::Vision => "Vision tower",
            Self::Prompt => "Reading the prompt",
            Self::Answer => "Answering",
            Self::Choices => "Scoring choices",
            Self::Samples => "Making samples",
            Self::Training => "Training",
            Self::Digest => "Looking at the samples",
            Self::Evaluating => "Evaluating",
            Self::States => "Keeping states",
            Self::Components => "Principal components",
            Self::Neighbours => "Finding neighbours",
            Self::Probes => "Fitting probes",
            Self::Words => "Reading words",
            Self::Layout => "Making the layout",
            Self::Download => "Downloading",
        }
    }
}

impl Progress {
    /// Share of this phase that is done, 0 to 1.
    pub fn fraction(self) -> f32 {
        if self.total == 0 { 1.0 } else { self.done as f32 / self.total as f32 }
    }
}

/// Told of every step of a job; stops it by returning [`crate::error::Error::Cancelled`].
pub trait Observer {
    /// A step begins.
    fn progress(&self, progress: Progress) -> Result<()>;

    /// Asked inside long steps: go on?
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Something the user should know, in one sentence.
    fn note(&self, _note: &str) {}
}

/// Watches nothing and never stops.
pub struct Unobserved;

impl Observer for Unobserved {
    fn progress(&self, _progress: Progress) -> Result<()> {
        Ok(())
    }
}
