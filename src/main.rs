//! `livr`: the command line, or the window.

use std::process::ExitCode;

use clap::Parser;
use livr_explorer::cli::{Cli, output};
use livr_explorer::{logging, sandbox};

fn main() -> ExitCode {
    sandbox::keep_freed_memory();
    let cli = Cli::parse();
    logging::install();
    output::log_panics();
    match output::as_a_sentence(|| cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            output::complain(&problem);
            ExitCode::FAILURE
        }
    }
}
