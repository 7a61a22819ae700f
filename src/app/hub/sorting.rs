//! Paths that were dropped or pasted, by what lies there.

use std::path::PathBuf;

use crate::app::session::SESSION;
use crate::data::dataset::is_data_file;
use crate::engine::study::is_result;
use crate::paths;

/// Ending of files of layouts.
const LAYOUT: &str = "safetensors";

/// Paths by what lies there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Folders with a `config.json`.
    pub models: Vec<PathBuf>,
    /// Session files.
    pub sessions: Vec<PathBuf>,
    /// Data files.
    pub data: Vec<PathBuf>,
    /// Layouts of hidden states.
    pub layouts: Vec<PathBuf>,
    /// Other folders, but for those of images.
    pub adapters: Vec<PathBuf>,
    /// Everything else.
    pub images: Vec<PathBuf>,
}

/// Sorts paths, which has to look at what lies there.
pub fn sorted(paths: Vec<PathBuf>) -> Sorted {
    let mut sorted = Sorted::default();
    for path in paths {
        let kind = if !path.is_dir() {
            if path.extension().is_some_and(|own| own == SESSION) {
                &mut sorted.sessions
            } else if is_data_file(&path) {
                &mut sorted.data
            } else if path.extension().is_some_and(|own| own == LAYOUT) {
                &mut sorted.layouts
            } else {
                &mut sorted.images
            }
        } else if is_result(&path) {
            &mut sorted.data
        } else if path.join("config.json").is_file() {
            &mut sorted.models
        } else if !path.join("adapter_config.json").is_file() && paths::images(vec![path.clone()]).is_ok() {
            &mut sorted.images
        } else {
            &mut sorted.adapters
        };
        kind.push(path);
    }
    sorted
}
