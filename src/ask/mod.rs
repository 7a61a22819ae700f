//! How a sample is asked, as plain values: the mask, the latents, the edits, how tokens are chosen; what is kept of the
//! answer; where it runs. All that asks goes by these: the window, every subcommand, studies, training.

mod battery;
mod condition;
mod decoding;
mod disturbance;
mod edit;
pub mod fit;
mod grammar;
mod hardware;
pub mod keep;
pub mod looks;
mod mask;
mod names;
mod tokens;
pub mod words;

pub use self::battery::ConditionSet;
pub use self::condition::Condition;
pub use self::decoding::{Decoding, LatentChoice, MAX_LATENTS, PixelBudget, Published, STUDY_TOKENS};
pub use self::disturbance::Disturbance;
pub use self::edit::{
    CacheDonor, DonorFile, Edge, Edit, EditSite, EditValue, HeadPart, Held, NoiseSource, PathValue, Receiver,
    Sender, SequenceChange, Until,
};
pub use self::hardware::{DeviceChoice, DtypeChoice};
pub use self::keep::{AttentionRows, HiddenLayers, HiddenRows, Keep, LogitRows};
pub use self::mask::{MaskKind, MaskRule};
pub use self::tokens::{LayerRange, TokenGroup, TokenPart, Tokens};
