//! How runs are looked at: what maps show, and how figures of them are made.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::analysis::maps::Scalar;
use crate::analysis::normalise::Normalisation;
use crate::analysis::query::Selection;
use crate::render::blend::OverlayStyle;

/// How runs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// How maps lie over images.
    pub style: OverlayStyle,
    /// How maps get their range.
    pub normalisation: Normalisation,
    /// One layer, one head, or all, and how they become one.
    pub selection: Selection,
    /// What the matrix shows.
    pub scalar: Scalar,
    /// Are its layers and heads in the order of their means?
    pub matrix_sorted: bool,
    /// Do maps show how attention differs from the base run's?
    pub difference: bool,
    /// What the strip of thumbnails shows.
    pub strip: Strip,
    /// Are images shown at the size in which the model reads them?
    pub as_read: bool,
}

impl Default for View {
    fn default() -> Self {
        Self {
            // The picture is seen where a map says nothing, whatever its colours are.
            style: OverlayStyle { smooth: true, fade: true, ..OverlayStyle::default() },
            normalisation: Normalisation::default(),
            selection: Selection::default(),
            scalar: Scalar::default(),
            matrix_sorted: false,
            difference: false,
            strip: Strip::default(),
            as_read: false,
        }
    }
}

/// What the strip of thumbnails shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strip {
    /// Every latent, and every token of the answer.
    #[default]
    Queries,
    /// The chosen one in every layer.
    Layers,
}

/// Most pictures in a row.
pub const MOST_COLUMNS: usize = 32;
/// Pixels each may be wide.
pub const PICTURE_WIDTHS: RangeInclusive<u32> = 32..=4096;

/// What was last asked of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FigureForm {
    /// Whose maps, as it was typed.
    pub queries: String,
    /// Pictures in a row.
    pub columns: usize,
    /// Pixels each is wide.
    pub width: u32,
    /// Do the images come first without a map?
    pub plain: bool,
    /// The other formats it is written in too, beside the file: PNG, SVG, PDF.
    pub also: [bool; 3],
}

impl Default for FigureForm {
    fn default() -> Self {
        Self { queries: "all".to_owned(), columns: 6, width: 256, plain: true, also: [false; 3] }
    }
}
