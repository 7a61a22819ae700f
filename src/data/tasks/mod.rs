//! The nine tasks of the paper, from photographs or from drawn scenes.
//!
//! No cue gives an answer away, by construction: what could be either candidate is made first, both alike, and then
//! the balanced, shuffled answer says which of them the rest of the sample is made for.

mod art_style;
mod counting;
mod functional;
mod grounded;
mod jigsaw;
mod lists;
mod localization;
mod make;
mod photos;
mod places;
mod reflectance;
mod semantic;
mod sheet;
mod similarity;
mod visual;

use crate::random::Stream;
use std::str::FromStr;

use image::RgbImage;

use super::draw::marks::{self, Mark};
use super::grounding::Grounding;
use super::record::letters;
use crate::error::Result as Checked;

pub use self::make::{Counts, TasksOrder, WrittenTasks, make};
pub use self::photos::Photos;
pub use self::sheet::sheet;

/// One of the nine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// How many of a thing are there?
    Counting,
    /// Which piece completes the picture?
    Jigsaw,
    /// Which box fits a thing?
    ObjectLocalization,
    /// Which point is this one, seen from elsewhere or in another light?
    VisualCorrespondence,
    /// Which picture is painted in the same style?
    ArtStyle,
    /// Which point is the same part of another of the kind?
    SemanticCorrespondence,
    /// Which point does the same in another tool?
    FunctionalCorrespondence,
    /// Which surface is darker, whatever the light?
    RelativeReflectance,
    /// Which picture is more like this one?
    VisualSimilarity,
    /// What is at this point?
    Naming,
    /// Where is a thing?
    Locating,
    /// Are two things of one kind?
    Comparing,
    /// Which thing of the second image is of the same kind?
    Matching,
    /// What is at each of several points, or where is each of several things?
    Listing,
    /// Which points of two images are the same, all of them?
    Pairing,
    /// How many are there of each kind?
    Tallying,
}

impl Task {
    /// All nine, in the paper's order.
    pub const ALL: [Self; 9] = [
        Self::Counting,
        Self::Jigsaw,
        Self::ObjectLocalization,
        Self::VisualCorrespondence,
        Self::ArtStyle,
        Self::SemanticCorrespondence,
        Self::FunctionalCorrespondence,
        Self::RelativeReflectance,
        Self::VisualSimilarity,
    ];

    /// Simpler ones that a model can be pre-trained on.
    pub const GROUNDED: [Self; 7] = [
        Self::Naming,
        Self::Locating,
        Self::Comparing,
        Self::Matching,
        Self::Listing,
        Self::Pairing,
        Self::Tallying,
    ];

    /// As data files and the command line call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counting => "counting",
            Self::Jigsaw => "jigsaw",
            Self::ObjectLocalization => "object_localization",
            Self::VisualCorrespondence => "visual_correspondence",
            Self::ArtStyle => "art_style",
            Self::SemanticCorrespondence => "semantic_correspondence",
            Self::FunctionalCorrespondence => "functional_correspondence",
            Self::RelativeReflectance => "relative_reflectance",
            Self::VisualSimilarity => "visual_similarity",
            Self::Naming => "naming",
            Self::Locating => "locating",
            Self::Comparing => "comparing",
            Self::Matching => "matching",
            Self::Listing => "listing",
            Self::Pairing => "pairing",
            Self::Tallying => "tallying",
        }
    }

    /// Can it be made of photographs without labels?
    pub fn takes_photos(self) -> bool {
        matches!(self, Self::Jigsaw | Self::VisualCorrespondence | Self::ArtStyle | Self::VisualSimilarity)
    }

    /// Answers in the proportions in which they are given: `about the same` is a quarter of reflectance.
    fn answers(self) -> &'static [usize] {
        match self {
            Self::Counting | Self::Locating => &[0, 1, 2, 3, 4, 5, 6, 7, 8],
            Self::VisualCorrespondence
            | Self::SemanticCorrespondence
            | Self::FunctionalCorrespondence
            | Self::Matching => &[0, 1, 2, 3],
            Self::Naming => &grounded::EVERY_KIND,
            Self::Listing | Self::Pairing | Self::Tallying => &[0],
            Self::RelativeReflectance => &[0, 1, 0, 1, 0, 1, 2, 2],
            Self::Jigsaw
            | Self::ObjectLocalization
            | Self::ArtStyle
            | Self::VisualSimilarity
            | Self::Comparing => &[0, 1],
        }
    }

    /// One example with the given answer.
    fn example(self, rng: &mut Stream, answer: usize, world: &World<'_>) -> Checked<Example> {
        match self {
            Self::Counting => Ok(counting::example(rng, answer, world)),
            Self::Jigsaw => jigsaw::example(rng, answer, world),
            Self::ObjectLocalization => Ok(localization::example(rng, answer, world)),
            Self::VisualCorrespondence => visual::example(rng, answer, world),
            Self::ArtStyle => art_style::example(rng, answer, world),
            Self::SemanticCorrespondence => Ok(semantic::example(rng, answer, world)),
            Self::FunctionalCorrespondence => Ok(functional::example(rng, answer, world)),
            Self::RelativeReflectance => Ok(reflectance::example(rng, answer, world)),
            Self::VisualSimilarity => similarity::example(rng, answer, world),
            Self::Naming => Ok(grounded::naming(rng, answer, world)),
            Self::Locating => Ok(grounded::locating(rng, answer, world)),
            Self::Comparing => Ok(grounded::comparing(rng, answer, world)),
            Self::Matching => Ok(grounded::matching(rng, answer, world)),
            Self::Listing => Ok(lists::listing(rng, world)),
            Self::Pairing => lists::pairing(rng, world),
            Self::Tallying => Ok(lists::tallying(rng, world)),
        }
    }
}

impl FromStr for Task {
    type Err = String;

    /// Spaces, dashes and underscores are one; so are capitals and small letters.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |text: &str| text.to_lowercase().replace([' ', '-'], "_");
        let found = Self::ALL.into_iter().chain(Self::GROUNDED).find(|task| task.name() == plain(text));
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().chain(&Self::GROUNDED).map(|task| task.name()).collect();
            format!("expected all or one of {}, found {text}", names.join(", "))
        })
    }
}

/// A third of the data; no scene and no photograph is in two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose a checkpoint by.
    Validation,
    /// To report.
    Test,
}

impl Split {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// As files are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// What examples are made in.
struct World<'a> {
    /// Pixels on a side of a square image.
    side: u32,
    /// Photographs of this split, or scenes in their place.
    photos: &'a Photos,
    split: Split,
}

/// A sample before it has files.
#[derive(Debug, Clone)]
struct Example {
    /// Without marks.
    images: Vec<RgbImage>,
    prompt: String,
    target: String,
    /// How many letters it offers; 0 where the answer is a number.
    num_choices: usize,
    object_name: Option<&'static str>,
    marks: Vec<Mark>,
    /// The photographs or scenes it is made of.
    source: String,
    /// What is true of places of its images.
    grounding: Grounding,
}

impl Example {
    /// One that is answered by a letter.
    fn lettered(images: Vec<RgbImage>, prompt: String, answer: usize, num_choices: usize) -> Self {
        Self {
            images,
            prompt,
            target: letters(num_choices).swap_remove(answer),
            num_choices,
            object_name: None,
            marks: Vec::new(),
            source: String::new(),
            grounding: Grounding::default(),
        }
    }

    /// The images with the marks on.
    fn marked(&self, ink: marks::Ink) -> Vec<RgbImage> {
        let marked = |(i, image): (usize, &RgbImage)| {
            let has_marks = self.marks.iter().any(|mark| mark.image == i);
            if has_marks { marks::draw(image, i, &self.marks, ink) } else { image.clone() }
        };
        self.images.iter().enumerate().map(marked).collect()
    }
}

/// The distance of two points.
fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn yes(is_true: bool) -> &'static str {
    if is_true { "yes" } else { "no" }
}

/// " (A) the second image (B) the third image", as BLINK offers choices.
fn offered(options: &[&str]) -> String {
    let each = letters(options.len()).into_iter().zip(options);
    each.fold(String::new(), |all, (letter, option)| all + " (" + &letter + ") " + option)
}
