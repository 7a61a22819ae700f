//! `livr`: the command line, or the window.

use std::process::ExitCode;

use clap::Parser;
use livr_explorer::cli::Cli;

// glibc maps and unmaps large tensors at every operation; mimalloc keeps them (attention scores 45 -> 12 ms).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            livr_explorer::cli::output::complain(&problem);
            ExitCode::FAILURE
        }
    }
}
