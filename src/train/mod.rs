//! Training: a recipe, the values it trains, and steps that can be stopped anywhere and resumed to the last bit.

mod adamw;
mod examples;
mod grounded;
mod grounded_losses;
mod loss;
mod params;
mod recipe;
mod resolve;
mod save;
mod schedule;
mod state;
mod trainer;

pub use self::adamw::{AdamW, clip};
pub use self::examples::{Example, Examples, Seen, read_records};
pub use self::grounded::{Grounded, Groups};
pub use self::loss::{Parts, hidden, losses, parts};
pub use self::params::{Trained, TrainedValue};
pub use self::recipe::{
    Data, EXAMPLE, GroundingOptions, LatentOptions, Lora, Optimizer, Recipe, ResultChoice, Stage, Updates,
    Variant, Weights,
};
pub use self::save::{mend_folder, save_adapter, save_checkpoint};
pub use self::schedule::{Schedule, steps_per_epoch};
pub use self::state::TrainState;
pub use self::trainer::{Position, Step, Trainer};
