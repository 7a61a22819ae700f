//! Many samples asked, under many conditions, of many models: what is kept on the way, and what it hangs on.

mod accuracy;
mod cell;
pub mod cells;
pub mod file;
pub mod journal;
pub mod plan;
mod planned;
pub mod precision;
mod provenance;
pub mod report;
pub mod result;
mod share;

pub use self::accuracy::{Accuracy, Prediction, predicted};
pub use self::cell::{Answers, CellOrder, Sink};
pub use self::plan::{NamedCondition, NamedModel, Study};
pub use self::planned::{LeftOut, Plan, PlannedCell};
pub use self::provenance::{Provenance, digest_of_records};
pub use self::share::Share;
