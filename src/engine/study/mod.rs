//! Many samples asked: what is kept on the way, and what it hangs on.

pub mod journal;
mod provenance;
mod share;

pub use self::provenance::{Provenance, digest_of_records};
pub use self::share::Share;
