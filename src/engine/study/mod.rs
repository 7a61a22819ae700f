//! Many samples asked, under many conditions, of many models: what is kept on the way, and what it hangs on.

mod accuracy;
mod answers_file;
mod cell;
pub mod cells;
mod compared;
pub mod contrast;
mod design;
pub mod file;
pub mod journal;
mod known;
pub mod means;
mod page;
mod plan;
pub mod precision;
mod provenance;
mod records;
pub mod report;
pub mod result;
pub mod run;
mod share;

pub use self::accuracy::{Accuracy, AnsweredRecord, Prediction, predicted};
pub use self::answers_file::{ReadAnswers, is_result, read_answers};
pub use self::cell::{Answers, CellOrder, Sink};
pub use self::compared::{Judged, PairedResult, Verdicts, pair};
pub use self::design::{NamedCondition, NamedModel, Study};
pub use self::plan::{LeftOut, PlannedCell, StudyPlan};
pub use self::provenance::{Provenance, digest_of_records};
pub use self::records::RecordsOrder;
pub use self::share::Share;
