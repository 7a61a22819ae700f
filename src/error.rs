//! One error type for the library: every variant says what was expected, what was found, and where.
//!
//! Messages are one sentence, path last, because the window and the command line show them as they are.

use std::path::{Path, PathBuf};

/// What can go wrong between a folder on disk and a picture on screen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that must be there is not.
    #[error("{what} is missing ({})", path.display())]
    Missing { what: String, path: PathBuf },
    /// The operating system would not read or write a file.
    #[error("cannot {action}: {cause} ({})", path.display())]
    Io { action: &'static str, path: PathBuf, cause: std::io::Error },
    /// A file holds something other than its format.
    #[error("{what}: {problem} ({})", path.display())]
    Format { what: String, problem: String, path: PathBuf },
    /// A field of a file disagrees with what the rest needs.
    #[error("{field}: expected {expected}, found {found} ({})", path.display())]
    Field { field: String, expected: String, found: String, path: PathBuf },
    /// Something asked of the model that it cannot do: a prompt too long, an image it cannot take.
    #[error("{0}")]
    Request(String),
    /// The same of one of several samples that are asked together, counted from 0.
    #[error("sample {} of those asked together: {problem}", index + 1)]
    RequestOf { index: usize, problem: String },
    /// The user stopped the job.
    #[error("cancelled")]
    Cancelled,
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Tensor(String),
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A field that does not hold what is needed.
    pub fn field(
        path: impl AsRef<Path>,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        // Where what is expected ends in a clause, the sentence has its comma.
        let expected: String = expected.into();
        Self::Field {
            field: field.into(),
            expected: expected.trim_end_matches(',').to_owned(),
            found: found.into(),
            path: path.as_ref().to_owned(),
        }
    }

    /// A file whose content is not of its format.
    pub fn format(path: impl AsRef<Path>, what: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Format {
            what: what.into(),
            problem: one_line(&problem.to_string()),
            path: path.as_ref().to_owned(),
        }
    }

    /// A failed file operation.
    pub fn io(action: &'static str, path: impl AsRef<Path>, cause: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), cause }
    }

    /// A request that says which of several samples it was of. What else can go wrong names a file.
    #[must_use]
    pub fn of_index(self, index: usize) -> Self {
        match self {
            Self::Request(problem) => Self::RequestOf { index, problem },
            other => other,
        }
    }

    /// The same of a sample that was asked alone.
    #[must_use]
    pub fn alone(self) -> Self {
        match self {
            Self::RequestOf { problem, .. } => Self::Request(problem),
            other => other,
        }
    }

    /// The same by the sample's name.
    #[must_use]
    pub fn named<'a>(self, id: impl FnOnce(usize) -> &'a str) -> Self {
        match self {
            Self::RequestOf { index, problem } => Self::Request(format!("sample {:?}: {problem}", id(index))),
            other => other,
        }
    }

    /// True where the user stopped the job, so that it is not shown as a failure.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}

/// Foreign messages can span lines; a status bar and a sentence cannot.
fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(300) {
        Some((cut, _)) => format!("{}…", &joined[..cut]),
        None => joined,
    }
}
