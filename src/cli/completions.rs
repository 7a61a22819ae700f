//! `livr completions`, `livr man`: what shells and `man` should know of the command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::output::{print, print_bytes};
use crate::error::Error;

/// Options of `livr completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell, as in: livr completions bash > ~/.local/share/bash-completion/completions/livr
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `livr man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder for the pages, as ~/.local/share/man/man1; it is made where it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the completions of a shell.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "livr", &mut script);
    print_bytes(&script);
    Ok(())
}

/// Writes `livr.1`, and a page for each subcommand.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io("create the folder", &args.out, e))?;
    clap_mangen::generate_to(Cli::command(), &args.out)
        .map_err(|e| Error::io("write the pages to", &args.out, e))?;
    print(&format!("the pages are in {}", args.out.display()));
    Ok(())
}
