//! Where panes lie: tiles whose shares are of the window's size, never pixels, so that none vanishes when it shrinks.

use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One part of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pane {
    /// Images under the map in hand.
    Images,
    /// A thumbnail of each latent.
    Latents,
    /// What is asked, and how.
    Question,
    /// What came of it.
    Answer,
    /// How maps are made and lie over images.
    Map,
    /// A number for each layer and head.
    Matrix,
    /// Every answer there is.
    Runs,
    /// Checkpoints and conditions side by side.
    Compare,
    /// A data set as a table.
    Data,
    /// Layouts of hidden states.
    States,
    /// The training run.
    Training,
}

impl Pane {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Images,
        Self::Latents,
        Self::Question,
        Self::Answer,
        Self::Map,
        Self::Matrix,
        Self::Runs,
        Self::Compare,
        Self::Data,
        Self::States,
        Self::Training,
    ];

    /// Those that came later: a tiling that an earlier version kept lacks them.
    const LATER: [Self; 4] = [Self::Compare, Self::Data, Self::States, Self::Training];

    /// Of the pane as a whole, for the focus.
    pub fn id(self) -> egui::Id {
        egui::Id::unique(("pane", self.title()))
    }

    /// On its tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Images => "Images",
            Self::Latents => "Latents",
            Self::Question => "Question",
            Self::Answer => "Answer",
            Self::Map => "Map",
            Self::Matrix => "Matrix",
            Self::Runs => "Runs",
            Self::Compare => "Compare",
            Self::Data => "Data",
            Self::States => "Hidden states",
            Self::Training => "Training",
        }
    }
}

/// A layout to begin from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Images and latents beside question, answer and map.
    Ask,
    /// Map and matrix have a column of their own.
    Inspect,
    /// Images and latents as large as can be.
    Present,
    /// Checkpoints and conditions side by side.
    Compare,
    /// A data set beside what is asked of it.
    Data,
    /// Hidden states beside what they are of.
    States,
    /// A training run beside the sample it looks at.
    Training,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ask, Self::Inspect, Self::Present, Self::Compare, Self::Data, Self::States, Self::Training];

    /// The pane it is there for.
    pub fn pane(self) -> Pane {
        match self {
            Self::Ask | Self::Present => Pane::Images,
            Self::Inspect => Pane::Matrix,
            Self::Compare => Pane::Compare,
            Self::Data => Pane::Data,
            Self::States => Pane::States,
            Self::Training => Pane::Training,
        }
    }

    /// Panes that are there and not shown.
    fn hidden(self) -> &'static [Pane] {
        match self {
            // Cells have their images, and strips of their latents.
            Self::Compare => &[Pane::Images, Pane::Latents, Pane::Data, Pane::States, Pane::Training],
            Self::Data => &[Pane::Compare, Pane::States, Pane::Training],
            Self::States => &[Pane::Compare, Pane::Data, Pane::Training],
            Self::Training => &[Pane::Compare, Pane::Data, Pane::States],
            Self::Ask | Self::Inspect | Self::Present => &Pane::LATER,
        }
    }

    /// As menus call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ask => "Ask",
            Self::Inspect => "Inspect",
            Self::Present => "Present",
            Self::Compare => "Compare",
            Self::Data => "Data",
            Self::States => "States",
            Self::Training => "Train",
        }
    }
}

/// Tiles, and which of them are hidden.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiling(pub Tree<Pane>);

impl Default for Tiling {
    fn default() -> Self {
        Self::of(Preset::Ask)
    }
}

impl Tiling {
    /// That of a preset.
    pub fn of(preset: Preset) -> Self {
        let mut tiles = Tiles::default();
        let pane = |tiles: &mut Tiles<Pane>, pane| tiles.insert_pane(pane);
        let [images, latents, question, answer, map, matrix, runs, compare, data, states, training] =
            Pane::ALL.map(|own| pane(&mut tiles, own));
        let root = match preset {
            Preset::Ask => {
                let seen = split(&mut tiles, LinearDir::Vertical, &[(images, 0.7), (latents, 0.3)]);
                let below = tabs(&mut tiles, &[map, matrix, runs]);
                let told = [(question, 0.37), (answer, 0.24), (below, 0.39)];
                let told = split(&mut tiles, LinearDir::Vertical, &told);
                split(&mut tiles, LinearDir::Horizontal, &[(seen, 0.7), (told, 0.3)])
            }
            Preset::Inspect => {
                let seen = split(&mut tiles, LinearDir::Vertical, &[(images, 0.6), (latents, 0.4)]);
                let how = split(&mut tiles, LinearDir::Vertical, &[(map, 0.45), (matrix, 0.55)]);
                let told = [(question, 0.35), (answer, 0.3), (runs, 0.35)];
                let told = split(&mut tiles, LinearDir::Vertical, &told);
                split(&mut tiles, LinearDir::Horizontal, &[(seen, 0.5), (how, 0.25), (told, 0.25)])
            }
            Preset::Present => {
                let told = tabs(&mut tiles, &[answer, question, map, matrix, runs]);
                let below = split(&mut tiles, LinearDir::Horizontal, &[(latents, 0.65), (told, 0.35)]);
                split(&mut tiles, LinearDir::Vertical, &[(images, 0.68), (below, 0.32)])
            }
            Preset::Compare => {
                let below = tabs(&mut tiles, &[map, matrix, runs]);
                let told = [(question, 0.37), (answer, 0.24), (below, 0.39)];
                let told = split(&mut tiles, LinearDir::Vertical, &told);
                split(&mut tiles, LinearDir::Horizontal, &[(compare, 0.77), (told, 0.23)])
            }
            Preset::Data | Preset::States | Preset::Training => {
                let below = tabs(&mut tiles, &[answer, question, map, matrix, runs]);
                let seen = [(images, 0.45), (latents, 0.2), (below, 0.35)];
                let seen = split(&mut tiles, LinearDir::Vertical, &seen);
                let large = match preset {
                    Preset::Data => data,
                    Preset::States => states,
                    _ => training,
                };
                split(&mut tiles, LinearDir::Horizontal, &[(large, 0.6), (seen, 0.4)])
            }
        };
        let mut tiling = Self(Tree::new(egui::Id::unique("panes"), root, tiles));
        preset.hidden().iter().for_each(|pane| tiling.add_hidden(*pane));
        tiling
    }

    /// Puts a pane that is not there behind the others, to be shown when it is asked for.
    fn add_hidden(&mut self, pane: Pane) {
        let known = self.0.tiles.find_pane(&pane);
        let tile = known.unwrap_or_else(|| self.0.tiles.insert_pane(pane));
        let is_placed = self.0.tiles.parent_of(tile).is_some();
        if let (false, Some(Tile::Container(root))) =
            (is_placed, self.0.root().and_then(|root| self.0.tiles.get_mut(root)))
        {
            root.add_child(tile);
        }
        self.0.set_visible(tile, false);
    }

    /// Is a pane there, be it behind another?
    pub fn is_shown(&self, pane: Pane) -> bool {
        self.0.tiles.find_pane(&pane).is_some_and(|tile| self.0.is_visible(tile))
    }

    /// The panes that are there, in their order.
    pub fn shown(&self) -> Vec<Pane> {
        Pane::ALL.into_iter().filter(|pane| self.is_shown(*pane)).collect()
    }

    /// Shows or hides a pane; what is shown comes to the front.
    pub fn show(&mut self, pane: Pane, shown: bool) {
        let Some(tile) = self.0.tiles.find_pane(&pane) else { return };
        self.0.set_visible(tile, shown);
        if shown {
            self.0.make_active(|_, other| matches!(other, Tile::Pane(own) if *own == pane));
        }
    }

    /// Does it have every pane once, and nothing else? One that an earlier version kept may not.
    fn is_whole(&self) -> bool {
        let count = |pane: Pane| {
            self.0.tiles.tiles().filter(|tile| matches!(tile, Tile::Pane(own) if *own == pane)).count()
        };
        self.0.root().is_some() && Pane::ALL.into_iter().all(|pane| count(pane) == 1)
    }
}

fn split(tiles: &mut Tiles<Pane>, dir: LinearDir, children: &[(TileId, f32)]) -> TileId {
    let mut linear = Linear::new(dir, children.iter().map(|(tile, _)| *tile).collect());
    for (tile, share) in children {
        linear.shares.set_share(*tile, *share);
    }
    tiles.insert_container(Container::Linear(linear))
}

fn tabs(tiles: &mut Tiles<Pane>, children: &[TileId]) -> TileId {
    tiles.insert_tab_tile(children.to_vec())
}

// Kept as one text: settings are read value by value, and a tree of which half is another's is none.
impl Serialize for Tiling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tiling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut layout = Self(serde_json::from_str(&text).map_err(serde::de::Error::custom)?);
        for pane in Pane::LATER {
            if layout.0.tiles.find_pane(&pane).is_none() {
                layout.add_hidden(pane);
            }
        }
        if layout.is_whole() { Ok(layout) } else { Err(serde::de::Error::custom("not every pane once")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_every_pane_and_comes_back() {
        for preset in Preset::ALL {
            let mut layout = Tiling::of(preset);
            let is_shown = |pane: &Pane| !preset.hidden().contains(pane);
            assert!(layout.is_whole());
            assert!(Pane::ALL.iter().all(|pane| layout.is_shown(*pane) == is_shown(pane)));
            layout.show(Pane::Matrix, false);
            assert!(!layout.is_shown(Pane::Matrix));
            let text = serde_json::to_string(&layout).unwrap();
            assert_eq!(serde_json::from_str::<Tiling>(&text).unwrap(), layout);
            layout.show(Pane::Matrix, true);
            assert!(layout.is_shown(Pane::Matrix));
        }
    }

    #[test]
    fn one_of_an_earlier_version_gets_the_panes_that_came_later() {
        let mut layout = Tiling::default();
        let compare = layout.0.tiles.find_pane(&Pane::Compare).unwrap();
        layout.0.remove_recursively(compare);
        let text = serde_json::to_string(&layout).unwrap();
        let mut read: Tiling = serde_json::from_str(&text).unwrap();
        assert!(!read.is_shown(Pane::Compare) && read.is_shown(Pane::Images));
        read.show(Pane::Compare, true);
        assert!(read.is_shown(Pane::Compare));
    }

    #[test]
    fn a_layout_without_a_pane_is_none() {
        let mut layout = Tiling::default();
        let matrix = layout.0.tiles.find_pane(&Pane::Matrix).unwrap();
        layout.0.remove_recursively(matrix);
        let text = serde_json::to_string(&layout).unwrap();
        assert!(serde_json::from_str::<Tiling>(&text).is_err());
        assert!(serde_json::from_str::<Tiling>("\"{\"").is_err());
    }
}
