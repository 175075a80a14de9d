//! The `cutover` binary: one command line over rooms that do not know each other.
//!
//! Exit codes are decided here and nowhere else.

mod app;
mod calibrate;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod doctor;
mod duration;
#[cfg(test)]
mod fuzz;
mod guard;
mod interrupt;
mod say;
mod server;
mod size;
mod store;

use std::process::ExitCode;

use clap::Parser as _;
use model::{Fault, Kind};

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let programs = cli.command.tells_programs();
    let only_tells = cli.command.only_tells();
    let ended = commands::run(cli.command);
    let untold = say::told::untold();
    if let Some(fault) = &untold {
        say::fault(fault);
    }
    match ended {
        // What was done has its own code. Where nothing but the telling was to be done, that came to nothing.
        Ok(0) if only_tells => ExitCode::from(untold.as_ref().map_or(0, code_of)),
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            say::fault(&fault);
            if programs {
                say::fault_as_json(&fault);
            }
            ExitCode::from(code_of(&fault))
        }
    }
}

/// Help and version are not errors; everything else about the command line is exit code 2.
fn usage(error: &clap::Error) -> ExitCode {
    // Nowhere left to say that it could not be said.
    drop(error.print());
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

fn code_of(fault: &Fault) -> u8 {
    match fault.kind {
        Kind::Usage | Kind::Config | Kind::Environment | Kind::Conflict => 2,
        Kind::Internal => 5,
    }
}
