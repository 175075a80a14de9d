//! `cutover reload`: shows what edits of the file would change under the running server, and does it.
//!
//! The server reads its own file; here it is only shown and asked for.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use model::{Fault, Kind};

use crate::cli;
use crate::server::reload::{ReloadBody, Reloaded};

/// Runs the command.
pub(super) async fn reload(arguments: cli::Reload) -> Result<u8, Fault> {
    // With its places, which the server cannot draw.
    super::load_judged(&arguments.at)?;
    let (client, _) = super::reach(&arguments.at)?;
    let shown = client.reload(&ReloadBody::default()).await?;
    show(&shown);
    if !shown.refused.is_empty() {
        let what = "some of this cannot be done under a running server; nothing was changed";
        return Err(Fault::new(Kind::Conflict, what)
            .help("take these edits back for now, or start the server anew"));
    }
    if shown.changes.is_empty() && shown.certificates == 0 {
        anstream::println!("nothing differs from what runs");
        return Ok(0);
    }
    if !arguments.yes && !agreed()? {
        anstream::println!("nothing was changed");
        return Ok(0);
    }
    let body = ReloadBody { apply: true, seen: Some(shown.seen) };
    let done = client.reload(&body).await?;
    anstream::println!("in effect: {}", counted(&done));
    Ok(0)
}

fn show(shown: &Reloaded) {
    for change in &shown.changes {
        anstream::println!("  {change}");
    }
    if shown.certificates > 0 {
        anstream::println!("  certificates are read again: {}", shown.certificates);
    }
    for refused in &shown.refused {
        anstream::println!("  not possible: {refused}");
    }
}

fn counted(done: &Reloaded) -> String {
    let number = done.changes.len();
    let changes = if number == 1 { "1 change".to_owned() } else { format!("{number} changes") };
    match done.certificates {
        0 => changes,
        1 => format!("{changes}, 1 certificate"),
        some => format!("{changes}, {some} certificates"),
    }
}

/// Asks on the terminal; without one nobody can be asked.
fn agreed() -> Result<bool, Fault> {
    if !std::io::stdin().is_terminal() {
        return Err(Fault::new(Kind::Usage, "nothing was changed: nobody can be asked here")
            .help("add `--yes`"));
    }
    anstream::eprint!("do it? [y/N] ");
    // A prompt that cannot be shown is answered all the same.
    drop(std::io::stderr().flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Fault::environment(format!("no answer could be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
