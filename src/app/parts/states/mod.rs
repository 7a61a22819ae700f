//! What the window knows of layouts of hidden states: what is being made, what is there, how it is looked at.

mod colours;
mod crops;
mod form;
pub mod saving;
mod scene;
mod side;
mod thumbnail;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::colours::{Colours, tasks};
pub use self::crops::{Crops, cropped};
pub use self::form::{Answered, ColourBy, LayoutForm, ROLES};
pub use self::scene::LayoutScene;
pub use self::side::LayoutSide;
pub use self::thumbnail::{PictureOf, Thumbnail, patch, pictured, token_of};
use crate::engine::project::{Collected, Layout, Reading};
use crate::progress::Progress;

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayoutStatus {
    /// Nothing.
    #[default]
    Nothing,
    /// States are being kept.
    States,
    /// Layouts are being made.
    Maps,
}

/// What drags do on the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tool {
    /// Move it.
    #[default]
    Pan,
    /// Choose what is in a box.
    Box,
    /// Choose what is inside a line.
    Lasso,
}

/// Which part of the layout is in view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayoutView {
    /// Of the layout, in the middle.
    pub centre: [f32; 2],
    /// Points of the screen to a unit of the layout.
    pub scale: f32,
}

/// A point of one of the layouts side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SidePoint {
    /// Which layout, from the left.
    pub side: usize,
    /// Its number there.
    pub point: u32,
}

/// Which points of two layouts are the same tokens.
struct Matches {
    /// Of which scenes: sides and layers.
    of: [(u64, usize); 2],
    /// Of each side, for each point the other's.
    to: [Vec<Option<u32>>; 2],
}

/// All of it.
#[derive(Default)]
pub struct Projection {
    /// What is under way.
    pub under: LayoutStatus,
    /// Is it for the second of two layouts?
    pub for_second: bool,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Why the last came to nothing.
    pub problem: Option<String>,
    /// One model's layouts, or two models'.
    pub sides: Vec<LayoutSide>,
    /// Place among the layouts of the first of the one that is shown.
    pub shown: usize,
    /// What drags do.
    pub tool: Tool,
    /// A number for each choice of points.
    pub choice: u64,
    /// On which side they were chosen.
    pub chosen_on: usize,
    /// What the points chosen say, or why that is not known; nothing until it is.
    pub reading: Option<Result<Arc<Reading>, String>>,
    /// The point under the pointer.
    pub hovered: Option<SidePoint>,
    /// The point whose sample was asked last.
    pub opened: Option<SidePoint>,
    /// The line or the box being drawn, and on which side.
    pub line: (usize, Vec<[f32; 2]>),
    /// Of the patch that is pointed at.
    pub thumbnail: Thumbnail,
    /// Of the few points in view.
    pub crops: Crops,
    matches: Option<Matches>,
}

impl Projection {
    /// Layouts of these states are being made: what was there of others goes, but for the first where they are the second's.
    pub fn begins(&mut self, collected: Arc<Collected>) {
        let side = LayoutSide::new(collected, Vec::new());
        if self.for_second && !self.sides.is_empty() {
            self.sides.truncate(1);
            self.sides.push(side);
            self.select(0, self.sides[0].chosen.clone());
        } else {
            *self = Self { tool: self.tool, sides: vec![side], choice: self.choice, ..Self::default() };
        }
        self.under = LayoutStatus::Maps;
    }

    /// Takes layouts that were made elsewhere, as the first or as the second.
    pub fn take(&mut self, second: bool, collected: Arc<Collected>, layouts: Vec<Arc<Layout>>) {
        self.for_second = second;
        self.begins(collected);
        self.under = LayoutStatus::Nothing;
        if let Some(side) = self.sides.last_mut() {
            side.layouts = layouts;
        }
        if self.sides.len() == 1 {
            self.shown = self.sides[0].layouts.len().saturating_sub(1);
        }
    }

    /// The second goes.
    pub fn end_second(&mut self) {
        self.sides.truncate(1);
        let is_there = |point: &SidePoint| point.side == 0;
        self.hovered = self.hovered.filter(is_there);
        self.opened = self.opened.filter(is_there);
        (self.matches, self.for_second, self.chosen_on) = (None, false, 0);
    }

    /// Is work under way?
    pub fn is_running(&self) -> bool {
        self.under != LayoutStatus::Nothing
    }

    /// The first, where there is one.
    pub fn first(&self) -> Option<&LayoutSide> {
        self.sides.first()
    }

    /// What is drawn of the first.
    pub fn scene(&self) -> Option<&LayoutScene> {
        self.first()?.scene()
    }

    /// The layer that is shown.
    pub fn layer(&self) -> Option<usize> {
        Some(self.first()?.layouts.get(self.shown)?.layer)
    }

    /// The layout of a side that is shown, once it does not move any more.
    pub fn layout(&self, side: usize) -> Option<&Arc<Layout>> {
        let side = self.sides.get(side)?;
        if side.moving.is_some() { None } else { side.layout(self.layer()) }
    }

    /// A layer's layout is there; the first shows its newest.
    pub fn made(&mut self, layout: Arc<Layout>) {
        let is_first = self.sides.len() == 1;
        let Some(side) = self.sides.last_mut() else { return };
        side.moving = None;
        if is_first {
            self.shown = side.layouts.len();
        }
        side.layouts.push(layout);
    }

    /// Other points of a side are chosen, and with them those of the same tokens on the other.
    pub fn select(&mut self, side: usize, points: Vec<u32>) {
        self.choice += 1;
        self.reading = None;
        self.chosen_on = side;
        for other in (0..self.sides.len()).filter(|other| *other != side) {
            let mut same: Vec<u32> = points
                .iter()
                .filter_map(|point| self.same(SidePoint { side, point: *point }, other))
                .collect();
            same.sort_unstable();
            self.sides[other].chosen = same;
        }
        if let Some(own) = self.sides.get_mut(side) {
            own.chosen = points;
        }
    }

    /// The point of the same token on a side.
    pub fn same(&self, of: SidePoint, side: usize) -> Option<u32> {
        if of.side == side {
            return Some(of.point);
        }
        let matches = self.matches.as_ref()?;
        *matches.to.get(of.side)?.get(of.point as usize)?
    }

    /// Are both layouts of the same tokens, so that they are looked at by one zoom?
    pub fn is_aligned(&self) -> bool {
        let all = |to: &Vec<Option<u32>>| to.iter().all(Option::is_some);
        self.matches.as_ref().is_some_and(|matches| matches.to.iter().all(all))
    }

    /// A part of a layout comes into view, and the same of the other where both are of the same tokens.
    pub fn set_view(&mut self, side: usize, view: Option<LayoutView>) {
        let both = self.is_aligned();
        for (i, own) in self.sides.iter_mut().enumerate() {
            if both || i == side {
                own.view = view;
            }
        }
    }

    /// Records of the first, by their numbers, of the points that are chosen.
    pub fn chosen_records(&self) -> Vec<usize> {
        let numbers = self.sides.first().into_iter().flat_map(|side| {
            let points = side.chosen.iter().filter_map(|point| side.sample_of(*point));
            points.map(|(number, _)| number)
        });
        numbers.collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// Brings what is drawn up to date.
    pub fn refresh(&mut self, form: &LayoutForm, dark: bool) {
        let layer = self.layer();
        for side in &mut self.sides {
            side.refresh(form, layer, self.choice, dark);
        }
        self.match_sides();
    }

    fn match_sides(&mut self) {
        let [first, second] = &self.sides[..] else {
            self.matches = None;
            return;
        };
        let layer = |side: &LayoutSide| side.scene().map_or(0, |scene| scene.layer);
        let of = [first, second].map(|side| (side.id(), layer(side)));
        if self.matches.as_ref().is_none_or(|matches| matches.of != of) {
            let to = first.matched(second).zip(second.matched(first));
            self.matches = to.map(|(to, back)| Matches { of, to: [to, back] });
        }
    }
}
