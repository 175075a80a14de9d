//! Trials as tables of Markdown. It only writes down: what a client saw is summed up in `tally`.

use std::fmt::Write as _;

use super::routers::Traffic;
use super::tally::Seen;
use super::{Row, Trial, stays};

/// All of it.
pub(super) fn markdown(
    trials: &[Trial],
    versions: &[(&str, String)],
    missing: &[(&str, String)],
) -> String {
    let mut out = String::new();
    for trial in trials {
        one(&mut out, trial);
    }
    out.push_str("Clients:\n\n");
    for (name, version) in versions {
        let _ = writeln!(out, "- {name}: {version}");
    }
    for (name, why) in missing {
        let _ =
            writeln!(out, "- **not measured: {name}**: {}", why.lines().next().unwrap_or_default());
    }
    out
}

fn one(out: &mut String, trial: &Trial) {
    let _ = writeln!(out, "### {}\n", trial.kind.title());
    match &trial.router {
        Err(why) => {
            let _ = writeln!(out, "**Not measured**: {why}\n");
            return;
        }
        Ok(router) => {
            let _ = writeln!(out, "{router}\n");
        }
    }
    let traffic = trial.kind.traffic();
    if traffic == Traffic::Open {
        return open(out, trial);
    }
    let _ = writeln!(
        out,
        "| client | last answer of the old version, after the switch | failed in the {} s after it | \
         the old version leaves: GET | POST | in the client's words |\n|---|---:|---:|---|---|---|",
        stays(trial.kind.traffic()).as_secs()
    );
    for row in &trial.rows {
        let post = row.post.as_ref();
        let words =
            [Some(&row.get), post].into_iter().flatten().find_map(|seen| seen.words.clone());
        let failed = row.get.failed[0] + post.map_or(0, |seen| seen.failed[0]);
        let _ = writeln!(
            out,
            "| {} | {} | {failed} | {} | {} | {} |",
            row.name,
            last(&row.get),
            left(&row.get, traffic),
            post.map_or("–".to_owned(), |seen| left(seen, traffic)),
            self::words(words.as_deref()),
        );
    }
    out.push('\n');
}

/// What stays open.
fn open(out: &mut String, trial: &Trial) {
    let _ = writeln!(
        out,
        "| client | last heard of the old version, after the switch | failed in the {} s after it | \
         the old version leaves | hears nothing for | in the client's words |\n|---|---:|---:|---|---:|---|",
        stays(trial.kind.traffic()).as_secs()
    );
    for Row { name, get: seen, hears, .. } in &trial.rows {
        let leaves = match seen.failed[1] {
            _ if seen.back.is_none() => "**never comes back**".to_owned(),
            0 if seen.pinned => "opens another by itself".to_owned(),
            0 => "does not notice".to_owned(),
            failed => format!("**{failed} failed**"),
        };
        let silent = seen.silent.filter(|_| *hears);
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {leaves} | {} | {} |",
            last(seen),
            seen.failed[0],
            silent.map_or("–".to_owned(), |silent| format!("{} ms", silent.as_millis())),
            words(seen.words.as_deref()),
        );
    }
    out.push('\n');
}

fn words(said: Option<&str>) -> String {
    said.map_or(String::new(), |words| format!("`{}`", cut(words)))
}

fn last(seen: &Seen) -> String {
    match seen.last_old {
        _ if seen.answers == 0 => "no answer at all".to_owned(),
        None => "none".to_owned(),
        Some(_) if seen.pinned => "**stays** until it is closed".to_owned(),
        Some(after) => format!("{} ms", after.as_millis()),
    }
}

fn left(seen: &Seen, traffic: Traffic) -> String {
    // Where each takes its time, so does the first one after it.
    let soon = if traffic == Traffic::Slow { 4 } else { 1 };
    match seen.failed[1] {
        0 if seen.pinned => "asks again by itself".to_owned(),
        0 => "does not notice".to_owned(),
        failed => match seen.back {
            Some(back) if back.as_secs() < soon => format!("**{failed} failed**"),
            Some(back) => format!("**{failed} failed**, for {} s", back.as_secs()),
            None => format!("**{failed} failed**, and no end"),
        },
    }
}

fn cut(words: &str) -> String {
    let plain = words.chars().map(|letter| if "|`\n".contains(letter) { ' ' } else { letter });
    plain.take(110).collect()
}
