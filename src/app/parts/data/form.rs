//! What of a data set is in sight: filters, order, search.

use serde::{Deserialize, Serialize};

/// What rows are in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowFilter {
    /// All.
    #[default]
    All,
    /// Some model answered otherwise than another.
    Disagree,
    /// Some model answers otherwise under another condition.
    Flips,
    /// Some model was wrong.
    Wrong,
    /// All models that answered were right.
    Right,
    /// Some answer names none of the choices.
    Unparsed,
    /// Some model has not answered yet.
    Open,
    /// Chosen elsewhere: by a lasso in a layout.
    Chosen,
}

impl RowFilter {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::All,
        Self::Disagree,
        Self::Flips,
        Self::Wrong,
        Self::Right,
        Self::Unparsed,
        Self::Open,
        Self::Chosen,
    ];

    /// What it shows, in a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::All => "Every sample",
            Self::Disagree => "One column answers otherwise than another",
            Self::Flips => {
                "A model answers otherwise under another condition, as behind the mask: ask under both"
            }
            Self::Wrong => "A column is wrong",
            Self::Right => "All columns that answered are right",
            Self::Unparsed => "An answer names none of the choices",
            Self::Open => "A column has no answer yet",
            Self::Chosen => "Chosen by a lasso in a layout of hidden states",
        }
    }

    /// As controls call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Disagree => "They disagree",
            Self::Flips => "Flips",
            Self::Wrong => "Wrong",
            Self::Right => "Right",
            Self::Unparsed => "No choice named",
            Self::Open => "Not answered",
            Self::Chosen => "Chosen in a layout",
        }
    }
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOrder {
    /// As in the file.
    #[default]
    File,
    /// By task.
    Task,
    /// By question.
    Question,
    /// By what is expected.
    Expected,
    /// By how sure the model of a column was, the least sure first.
    Certainty(usize),
}

/// What is kept of it between starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DataForm {
    /// What rows are in sight.
    pub filter: RowFilter,
    /// Of this task; of all where it is empty.
    pub task: String,
    /// With these letters in id, question, expectation or an answer.
    pub search: String,
    /// What they are ordered by.
    pub order: RowOrder,
    /// The other way round.
    pub reversed: bool,
    /// The row of the paper's table that stands beside the accuracies; none where it is empty.
    pub paper: String,
}
