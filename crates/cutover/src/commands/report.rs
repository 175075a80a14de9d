//! `cutover report`: the report of a run that is over, again, in any of its forms; or of two runs.
//!
//! It reads what the server or `probe` wrote at the end of the run, with or without a server. Nothing is
//! judged anew but the raw attempts of a probe.

use std::path::Path;

use ::report::Report;
use model::{Fault, Kind};

use crate::cli::{self, Form};
use crate::server::layout::Layout;
use crate::server::run_id::check_run_id;

/// A report as it lies there.
struct Saved {
    text: String,
    report: Report,
    /// Where page and JSON lie, when the server keeps them.
    files: Option<String>,
}

/// Runs the command.
pub(super) fn report(arguments: &cli::Report) -> Result<u8, Fault> {
    // Only with --schema there is none.
    let Some(run) = &arguments.run else {
        crate::say::outln!("{}", ::report::SCHEMA.trim_end());
        return Ok(0);
    };
    let form = if arguments.json { Form::Json } else { arguments.format };
    let saved = read(arguments, run)?;
    match &arguments.other {
        Some(other) => {
            let other = read(arguments, other)?;
            crate::say::out!("{}", compared(&saved.report, &other.report, form)?);
        }
        None => crate::say::out!("{}", told(&saved, form)),
    }
    Ok(0)
}

/// One run. JSON is given as it lies there, whatever is not known in it.
fn told(saved: &Saved, form: Form) -> String {
    let report = &saved.report;
    match form {
        Form::Text => {
            let text = ::report::terminal(report, super::deploy::style());
            let files = saved.files.as_ref().map(|files| format!("report  {files}\n"));
            text + &files.unwrap_or_default()
        }
        Form::Markdown => ::report::markdown(report),
        Form::Junit => ::report::junit(report),
        Form::Html => ::report::html(report),
        Form::Json => format!("{}\n", saved.text.trim_end()),
    }
}

fn compared(first: &Report, second: &Report, form: Form) -> Result<String, Fault> {
    let comparison = ::report::compare(first, second);
    Ok(match form {
        Form::Text => ::report::compare_terminal(&comparison, super::deploy::style()),
        Form::Markdown => ::report::compare_markdown(&comparison),
        Form::Html => ::report::compare_html(&comparison),
        Form::Json => ::report::compare_json(&comparison),
        Form::Junit => {
            return Err(Fault::new(Kind::Usage, "two runs cannot be told as one JUnit file")
                .help("ask for each run by itself, or use --format markdown"));
        }
    })
}

/// A report by its file, or by the id of its run.
fn read(arguments: &cli::Report, name: &str) -> Result<Saved, Fault> {
    let path = Path::new(name);
    if name.ends_with(".ndjson.gz") {
        let report = super::probe::again(path)?;
        return Ok(Saved { text: ::report::json(&report), report, files: None });
    }
    if path.extension().is_some() || path.components().count() > 1 {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Fault::new(Kind::Usage, format!("{} cannot be read: {e}", path.display()))
                .help("give the .json file that a deploy or probe run wrote, or the id of a run")
        })?;
        return Ok(Saved { report: ::report::parse(&text)?, text, files: None });
    }
    let run = check_run_id(name.to_owned())?;
    let config = super::load(&arguments.at)?;
    let layout = Layout::at(&config.state_dir)?;
    let missing = |_| {
        Fault::new(Kind::Usage, format!("there is no report of a run `{run}`")).help(
            "`cutover history` lists runs; reports of the newest are kept (`runs` under [history])",
        )
    };
    let text = std::fs::read_to_string(layout.report(&run, "json")).map_err(missing)?;
    let file = |extension| layout.report(&run, extension).display().to_string();
    let files = Some(format!("{}  {}", file("html"), file("json")));
    Ok(Saved { report: ::report::parse(&text)?, text, files })
}
