//! `livr`: the command line, or the window.

use std::process::ExitCode;

use clap::Parser;
use livr_explorer::cli::{Cli, output};
use livr_explorer::{logging, sandbox};

#[global_allocator]
static ALLOCATOR: sandbox::Counting = sandbox::Counting;

fn main() -> ExitCode {
    sandbox::keep_freed_memory();
    let cli = Cli::parse();
    logging::install();
    output::log_panics();
    match output::as_a_sentence(|| cli.run()) {
        Ok(()) if output::is_written() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(problem) => {
            output::complain(&problem);
            ExitCode::FAILURE
        }
    }
}
