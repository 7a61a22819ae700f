//! Layouts of hidden states: samples are run, states kept, and projected layer by layer.

pub mod collect;
pub mod layers;
pub mod measures;
mod opened;
pub mod order;
mod plan;
pub mod reading;
pub mod scalars;
pub mod store;

pub use self::collect::{Others, collect};
pub use self::layers::{Happening, Layout, lay_out_layers};
pub use self::measures::Measures;
pub use self::opened::{DATA, MODEL, SAMPLES, open_layouts, origin_of};
pub use self::order::{Collected, DataChoice, LayoutOrder, StatesOrder, of_states};
pub use self::plan::{StatesPlan, is_of_states};
pub use self::reading::{LayerWords, Near, Reading, ReadingOrder, SPOKEN, words_by_role};
pub use self::scalars::{Scalars, StateScalar};
pub use self::store::{Chosen, KeptToken, Sampled, StatePoint, States};
