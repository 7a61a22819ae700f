//! `livr download`: a checkpoint or an adapter from the Hugging Face Hub.

use anyhow::Context;
use clap::Args;

use super::output::{Terminal, print};
use crate::engine::hub::download;
use crate::engine::shelf::HubCache;

/// Options of `livr download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The repository, as Qwen/Qwen2.5-VL-3B-Instruct; --model takes the same name then
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
}

/// Runs it; the folder is printed.
pub fn run(args: &DownloadArgs) -> anyhow::Result<()> {
    let cache = HubCache::of_user().context("there is no folder for a cache: set HF_HOME")?;
    let terminal = Terminal::new();
    let folder = download(&args.repository, &cache, &terminal)?;
    terminal.finish();
    print(&folder.display().to_string());
    Ok(())
}
