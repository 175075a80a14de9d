//! `cutover history`: rollouts that were, newest first.
//!
//! The server is asked; where none runs, the state directory is read as it lies.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use model::{AppName, Fault};

use crate::server::history::{PastRun, history as read};
use crate::server::layout::Layout;
use crate::store::Store;
use crate::{cli, duration};

/// As many as the server tells at most.
const MOST: u32 = 10_000;

/// Runs the command.
pub(super) async fn history(arguments: cli::History) -> Result<u8, Fault> {
    let mut app = arguments.app.clone().map(AppName::new).transpose()?;
    let (client, config) = super::reach(&arguments.at)?;
    // Those that went together are found among all.
    let group = app.take_if(|app| config.together.contains_key(app));
    let limit = if group.is_some() { MOST } else { arguments.limit };
    let mut runs = if client.unserved().await {
        let layout = Layout::at(&config.state_dir)?;
        let store = Store::open_to_read(layout.directory())?;
        read(&store, &layout, (app.as_ref(), limit))?
    } else {
        client.history(app.as_ref(), limit).await?
    };
    if let Some(group) = &group {
        runs.retain(|run| run.together.as_deref() == Some(group.as_str()));
        runs.truncate(usize::try_from(arguments.limit).unwrap_or(usize::MAX));
    }
    if arguments.json {
        let json = serde_json::to_string_pretty(&runs)
            .map_err(|e| Fault::internal(format!("the history cannot be written: {e}")))?;
        crate::say::outln!("{json}");
    } else if runs.is_empty() {
        let of = group.or(app).map_or(String::new(), |app| format!(" of {app}"));
        crate::say::outln!("no deploy{of} so far");
    } else {
        crate::say::out!("{}", text(&runs, &std::env::current_dir().unwrap_or_default()));
    }
    Ok(0)
}

/// A table; paths below `here` are shown from there.
fn text(runs: &[PastRun], here: &Path) -> String {
    let heads = ["began (UTC)", "app", "version", "outcome", "verdict", "took", "run", "report"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(runs.iter().map(|run| row(run, here)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        // Writing to a string does not fail.
        let _written = line(&mut text, row, &widths);
    }
    text
}

fn line(text: &mut String, row: &[String], widths: &[usize]) -> fmt::Result {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
}

fn row(run: &PastRun, here: &Path) -> [String; 8] {
    let PastRun { run: id, app, from, to, together, .. } = run;
    let PastRun { outcome, verdict, began_unix_ms, took_ms, report, .. } = run;
    let group = together.as_ref().map_or(String::new(), |name| format!(" ({name})"));
    let version = from.as_ref().map_or(to.clone(), |from| format!("{from} -> {to}"));
    let outcome = outcome.map_or("under way".to_owned(), |outcome| {
        serde_json::to_value(outcome)
            .ok()
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    });
    let shown = |path: &str| {
        Path::new(path).strip_prefix(here).unwrap_or(Path::new(path)).display().to_string()
    };
    [
        utc(*began_unix_ms),
        format!("{app}{group}"),
        version,
        outcome,
        verdict.map_or("-".to_owned(), |verdict| verdict.to_string()),
        took(*took_ms),
        id.clone(),
        report.as_deref().map_or("-".to_owned(), shown),
    ]
}

/// To the second from ten on, else to the tenth.
fn took(ms: u64) -> String {
    if ms < 10_000 {
        return format!("{:.1}s", ms as f64 / 1000.0);
    }
    duration::show(Duration::from_secs(ms / 1000))
}

/// Date and time of day, UTC.
fn utc(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::{Outcome, Verdict};

    use super::{PastRun, text};

    const WANTED: &str = "\
began (UTC)          app   version   outcome    verdict  took  run       report
2026-11-21 14:02:31  shop  v1 -> v2  promoted   PASS     18s   abcdefgh  .cutover/runs/x/report.html
2026-11-21 14:02:30  shop  v1        under way  -        9.5s  abcdefgi  -
";

    #[test]
    fn runs_stand_in_a_table() {
        let run = PastRun {
            run: "abcdefgh".into(),
            app: "shop".into(),
            from: Some("v1".into()),
            to: "v2".into(),
            together: None,
            outcome: Some(Outcome::Promoted),
            verdict: Some(Verdict::Pass),
            began_unix_ms: 1_795_269_751_000,
            took_ms: 18_499,
            report: Some("/srv/.cutover/runs/x/report.html".into()),
        };
        let first = PastRun {
            run: "abcdefgi".into(),
            from: None,
            to: "v1".into(),
            outcome: None,
            verdict: None,
            report: None,
            began_unix_ms: 1_795_269_750_000,
            took_ms: 9_500,
            ..run.clone()
        };
        let said = text(&[run, first], Path::new("/srv"));
        assert_eq!(said, WANTED, "{said}");
    }
}
