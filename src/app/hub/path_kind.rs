//! What the window asks paths for, and how it asks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Which path the path dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A checkpoint folder.
    Model,
    /// An adapter folder.
    Adapter,
    /// Image files.
    Images,
    /// A recipe for training.
    Recipe,
    /// The folder of a training run.
    RunFolder,
    /// A layout that is there.
    Layout,
    /// One to show beside it.
    LayoutBeside,
    /// What edits take states from.
    Donor,
    /// A data file to map.
    MapData,
    /// A data set to look through.
    Data,
    /// The table of its answers, to be written.
    DataTable,
    /// The picture of a map, to be written.
    LayoutPicture,
    /// The table of a map, to be written.
    LayoutTable,
    /// A session, to be read.
    OpenSession,
    /// A session, to be written.
    SaveSession,
    /// A figure of images under their maps, to be written.
    Figure,
    /// The trace of the run in sight, to be written.
    Trace,
}

/// What is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picks {
    /// A folder that is there, or is to be.
    Folder,
    /// A file that is there.
    File,
    /// Several of them.
    Files,
    /// A file to write.
    NewFile,
}

/// How it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Above the dialog.
    pub title: &'static str,
    /// In its empty field.
    pub hint: &'static str,
    /// What is picked.
    pub picks: Picks,
    /// What the endings are called together.
    pub filter: &'static str,
    /// Endings, the usual one first.
    pub extensions: &'static [&'static str],
    /// Name of a new file without its ending.
    pub name: &'static str,
}

impl PathKind {
    /// How it is asked for.
    pub fn wanted(self) -> Wanted {
        const DATA: (&str, &[&str]) = ("Data files", &["jsonl", "json", "parquet"]);
        let read = |title, hint, picks, (filter, extensions): (&'static str, &'static [&'static str])| {
            Wanted { title, hint, picks, filter, extensions, name: "" }
        };
        match self {
            Self::Model => read(
                "Open model",
                "Folder with config.json and safetensors, or a name as Qwen/Qwen2.5-VL-3B-Instruct",
                Picks::Folder,
                ("", &[]),
            ),
            Self::Adapter => {
                read("Open adapter", "Folder with adapter_config.json", Picks::Folder, ("", &[]))
            }
            Self::Images => read(
                "Open images",
                "Files, folders, patterns: PNG, JPEG, WebP, BMP, GIF or TIFF",
                Picks::Files,
                ("Images", &crate::paths::IMAGE_EXTENSIONS),
            ),
            Self::Recipe => read("Choose a recipe", "TOML file", Picks::File, ("Recipes", &["toml"])),
            Self::RunFolder => {
                read("Choose a folder for the run", "New folder, or that of a run", Picks::Folder, ("", &[]))
            }
            Self::Data => {
                read("Open data", "JSONL or parquet file, or a folder of images", Picks::File, DATA)
            }
            Self::Layout | Self::LayoutBeside => {
                let layouts: (_, &[_]) = ("Layouts", &["safetensors"]);
                read("Open layout", "File that livr project wrote", Picks::File, layouts)
            }
            Self::Donor => {
                let donors: (_, &[_]) = ("Recordings", &["safetensors"]);
                read("Choose a donor", "File that livr trace --record wrote", Picks::File, donors)
            }
            Self::MapData => read("Choose a data file", "JSONL or parquet file", Picks::File, DATA),
            Self::OpenSession => {
                let sessions: (_, &[_]) = ("Sessions", &["livr"]);
                read("Open session", "Session file, ending in .livr", Picks::File, sessions)
            }
            _ => self.wanted_to_write(),
        }
    }

    fn wanted_to_write(self) -> Wanted {
        let (title, hint, filter, extensions, name): (_, _, _, &[&str], _) = match self {
            Self::DataTable => ("Save the table", "CSV file", "Tables", &["csv"], "answers"),
            Self::LayoutPicture => (
                "Save the layout as a picture",
                "PNG, SVG or PDF file",
                "Pictures",
                &["png", "svg", "pdf"],
                "layout",
            ),
            Self::LayoutTable => ("Save the layout as a table", "CSV file", "Tables", &["csv"], "layout"),
            Self::SaveSession => {
                ("Save session", "Session file, ending in .livr", "Sessions", &["livr"], "session")
            }
            Self::Figure => {
                ("Save figure", "PNG, SVG or PDF file", "Figures", &["png", "svg", "pdf"], "figure")
            }
            Self::Trace => ("Export the trace", "safetensors file", "Traces", &["safetensors"], "trace"),
            other => unreachable!("{other:?} is read, not written"),
        };
        Wanted { title, hint, picks: Picks::NewFile, filter, extensions, name }
    }

    /// A path that something is written to, with the ending its format has: a name without one is the user's shorthand. A
    /// session's name may have dots of its own.
    #[must_use]
    pub fn completed(self, path: PathBuf) -> PathBuf {
        let endings = self.wanted().extensions;
        let (true, [usual, ..]) = (self.is_written(), endings) else { return path };
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let is_known = endings.iter().any(|known| known.eq_ignore_ascii_case(ending));
        let is_meant = if self == Self::SaveSession { is_known } else { path.extension().is_some() };
        if is_meant || path.file_name().is_none() { path } else { path.with_added_extension(usual) }
    }

    /// What stands in the dialog at first: a file to write in the folder of the one before; nothing where something is read.
    pub fn suggestion(self, written_in: &Path) -> String {
        let Wanted { name, extensions, .. } = self.wanted();
        match extensions.first().filter(|_| self.is_written()) {
            Some(ending) => written_in.join(format!("{name}.{ending}")).display().to_string(),
            None => String::new(),
        }
    }

    /// Is something written there?
    pub fn is_written(self) -> bool {
        self.wanted().picks == Picks::NewFile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_its_ending_gets_it() {
        let completed = |kind: PathKind, path: &str| kind.completed(path.into()).display().to_string();
        for (typed, meant) in [
            ("d/mine", "d/mine.livr"),
            ("d/mine.livr", "d/mine.livr"),
            ("d/mine.LIVR", "d/mine.LIVR"),
            ("d/run 3.5", "d/run 3.5.livr"),
            (".work", ".work.livr"),
        ] {
            assert_eq!(completed(PathKind::SaveSession, typed), meant);
        }
        assert_eq!(completed(PathKind::Figure, "f"), "f.png");
        assert_eq!(completed(PathKind::Figure, "f.svg"), "f.svg");
        assert_eq!(completed(PathKind::Figure, "f.jpg"), "f.jpg", "the exporter says which there are");
        assert_eq!(completed(PathKind::Trace, "t"), "t.safetensors");
        assert_eq!(completed(PathKind::OpenSession, "mine"), "mine", "what is read is there under its name");
    }
}
