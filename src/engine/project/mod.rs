//! Maps of hidden states: samples are run, states kept, and projected layer by layer.

pub mod collect;
pub mod layers;
pub mod store;

pub use self::collect::collect;
pub use self::layers::{Layout, map_layers};
pub use self::store::{Chosen, Kept, Plan, Point, Sampled, States};
