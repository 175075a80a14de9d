//! `cutover reload`: shows what edits of the file would change under the running server, and does it.
//!
//! The server reads its own file; here it is only shown and asked for.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use model::{Fault, Kind};
use serde_json::json;

use crate::cli;
use crate::server::reload::{ReloadBody, Reloaded};

/// Runs the command.
pub(super) async fn reload(arguments: cli::Reload) -> Result<u8, Fault> {
    // With its places, which the server cannot draw.
    super::load_judged(&arguments.at)?;
    let (client, _) = super::reach(&arguments.at)?;
    let json = arguments.json;
    let shown = client.reload(&ReloadBody::default()).await?;
    if !json {
        lines(&shown).for_each(|line| crate::say::outln!("  {line}"));
    }
    possible(&shown, json)?;
    if shown.changes.is_empty() && shown.certificates == 0 {
        tell("nothing differs from what runs", &shown, json);
        return Ok(0);
    }
    if !arguments.yes {
        if json {
            // What a person was shown before the question.
            return Err(lines(&shown).fold(unasked(), Fault::note));
        }
        if !agreed()? {
            tell("nothing was changed", &shown, json);
            return Ok(0);
        }
    }
    let body = ReloadBody { apply: true, seen: Some(shown.seen) };
    let done = client.reload(&body).await?;
    // A rollout may have begun meanwhile.
    possible(&done, json)?;
    tell(&format!("in effect: {}", counted(&done)), &done, json);
    Ok(0)
}

/// What changes and what cannot, line by line.
fn lines(shown: &Reloaded) -> impl Iterator<Item = String> {
    let again = format!("certificates are read again: {}", shown.certificates);
    let again = (shown.certificates > 0).then_some(again);
    let refused = shown.refused.iter().map(|refused| format!("not possible: {refused}"));
    shown.changes.iter().cloned().chain(again).chain(refused)
}

/// Refused while any of it is not. A program is told of what only here.
fn possible(shown: &Reloaded, json: bool) -> Result<(), Fault> {
    if shown.refused.is_empty() {
        return Ok(());
    }
    let what = "some of this cannot be done under a running server; nothing was changed";
    let fault = Fault::new(Kind::Conflict, what)
        .help("take these edits back for now, or start the server anew");
    Err(if json { lines(shown).fold(fault, Fault::note) } else { fault })
}

/// How it ended, on stdout.
fn tell(text: &str, of: &Reloaded, json: bool) {
    if json {
        let Reloaded { changes, certificates, .. } = of;
        let told = json!({ "text": text, "changes": changes, "certificates": certificates });
        crate::say::outln!("{told}");
    } else {
        crate::say::outln!("{text}");
    }
}

fn unasked() -> Fault {
    Fault::new(Kind::Usage, "nothing was changed: nobody can be asked here").help("add `--yes`")
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
        return Err(unasked());
    }
    crate::say::err!("do it? [y/N] ");
    // A prompt that cannot be shown is answered all the same.
    drop(std::io::stderr().flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Fault::environment(format!("no answer could be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
