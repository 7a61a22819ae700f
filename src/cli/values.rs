//! The words of options whose values rooms below define, so that those know nothing of a command line.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::analysis::query::Aggregation;
use crate::app::parts::compare::CompareRows;
use crate::app::parts::states::ColourBy;
use crate::app::parts::tiling::Preset;
use crate::engine::bench::forward::RowsKept;
use crate::engine::bench::train::TrainedPart;
use crate::projection::{Init, LayoutEngine};
use crate::render::blend::ColourMap;

macro_rules! values {
    ($type:ty { $($value:ident => $name:literal, $help:literal;)* }) => {
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$value),*]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self {
                    $(Self::$value => PossibleValue::new($name).help($help),)*
                })
            }
        }
    };
}

values!(Aggregation {
    Mean => "mean", "Their mean, as in the LIVR paper";
    Max => "max", "Their largest";
    ThroughLatents => "through-latents", "What reaches the answer from the images by way of the latents, in two steps \
        (attention flow of Abnar and Zuidema, 2020); of a latent it is the mean";
    Rollout => "rollout", "Attention rollout (Abnar and Zuidema, 2020) of all layers up to the chosen one";
});

values!(ColourMap {
    Viridis => "viridis", "Blue to yellow";
    Magma => "magma", "Black to white through purple";
    Inferno => "inferno", "Black to yellow through red";
    Plasma => "plasma", "Blue to yellow through red";
    Cividis => "cividis", "Blue to yellow, alike for colour-blind readers";
    Difference => "difference", "Blue to red through white: what is less and what is more";
});

values!(Preset {
    Ask => "ask", "Images and latents beside question, answer and map";
    Inspect => "inspect", "Map and matrix have a column of their own";
    Present => "present", "Images and latents as large as can be";
    Compare => "compare", "Checkpoints and conditions side by side";
    Data => "data", "A data set beside what is asked of it";
    States => "states", "Hidden states beside what they are of";
    Training => "train", "A training run beside the sample it looks at";
});

values!(CompareRows {
    One => "one", "What the options say";
    Mask => "mask", "Without the bottleneck mask, and with it";
    MaskAndLatents => "mask-x-latents", "The paper's test battery: mask and latents, each on and off";
    Own => "own", "Rows that were kept";
});

values!(LayoutEngine {
    Cpu => "cpu", "On the processor: all pairs of few points, of many at a cost that grows with their number";
    Wgpu => "wgpu", "On a graphics card, or where there is none that can, on the processor";
    Exact => "exact", "On the processor, all pairs";
});

values!(Init {
    Pca => "pca", "Along the first two principal components";
    Random => "random", "Anywhere";
});

values!(ColourBy {
    Role => "role", "Latent, image or text, in colours that the colour-blind tell apart";
    RoleAsPublished => "role-as-published", "The same as in the paper: red, blue, green";
    Latent => "latent", "The number of the latent";
    Task => "task", "The sample's task";
    Correct => "correct", "Was the sample answered correctly?";
    Sample => "sample", "The sample";
    Position => "position", "The place among the visual tokens, or in the prompt";
    Length => "length", "How long the state is";
    Attended => "attended", "How much the latents look at the token, in the layer that made its state";
    Certainty => "certainty", "How likely the sample's answer was to the model";
});

values!(RowsKept {
    Off => "off", "None";
    Rows => "rows", "Of 16 latents";
    Full => "full", "Of every token";
});

values!(TrainedPart {
    Full => "full", "Every weight, the vision tower's too";
    Lora => "lora", "Low-rank updates of rank 16 on the language model's linear layers, and the latents' rows";
});
