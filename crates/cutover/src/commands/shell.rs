//! `cutover completions` and `cutover man`: what shells and `man` need, made from the command line itself.
//!
//! Nothing is installed: both are written where they are told to.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use model::Fault;

use crate::cli::{Cli, Completions, Man};

/// Prints the completions of a shell.
pub(super) fn completions(arguments: &Completions) -> Result<u8, Fault> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "cutover", &mut text);
    print(&text)
}

/// Prints the manual, or writes a page for each command into a directory.
pub(super) fn man(arguments: &Man) -> Result<u8, Fault> {
    let command = Cli::command();
    let Some(directory) = &arguments.out else {
        let mut text = Vec::new();
        let page = clap_mangen::Man::new(command);
        page.render(&mut text)
            .map_err(|e| Fault::internal(format!("the page cannot be made: {e}")))?;
        return print(&text);
    };
    super::writable(directory)?;
    clap_mangen::generate_to(command, directory).map_err(|e| unwritable(directory, &e))?;
    crate::say::outln!("pages are in {0}; read one with `man {0}/cutover.1`", directory.display());
    Ok(0)
}

fn print(text: &[u8]) -> Result<u8, Fault> {
    match std::io::stdout().lock().write_all(text) {
        // Whoever reads it has enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        written => written.map(|()| 0).map_err(|e| unwritable(Path::new("standard output"), &e)),
    }
}

fn unwritable(place: &Path, error: &std::io::Error) -> Fault {
    Fault::environment(format!("{} cannot be written: {error}", place.display()))
        .help("name another directory with --out")
}
