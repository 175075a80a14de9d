//! The arguments of commands that work without a server. What they mean is in `commands`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};

use super::Where;
use crate::duration;

const HISTORY: &str = "\
Examples:
  cutover history                      of all apps, newest first
  cutover history shop --limit 50
  cutover history shop --json | jq -r '.[] | select(.verdict == \"FAIL\") | .report'";

#[derive(Debug, Args)]
#[command(after_help = HISTORY)]
pub(crate) struct History {
    /// Of this app alone
    pub(crate) app: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const LOGS: &str = "\
Examples:
  cutover logs shop                      the last 100 lines of all instances
  cutover logs shop --follow             and what they write from now on, new instances too
  cutover logs shop --version v2 --since 10m --tail 10000
  cutover logs shop --instance shop-3-1

Lines of several instances are put in order by the time that stands near their beginning
(2026-11-21T14:02:31Z). A line without one belongs to the line before it; a log without any counts
as written when it was last written to.";

#[derive(Debug, Args)]
#[command(after_help = LOGS)]
pub(crate) struct Logs {
    /// Name of the app, as in the configuration
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) at: Where,
    /// Of the instances of this version alone
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// Of this instance alone, as `status` names it
    #[arg(long, value_name = "ID")]
    pub(crate) instance: Option<String>,
    /// Go on with what is written, until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many lines to begin with
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(0..=1_000_000))]
    pub(crate) tail: u32,
    /// No lines older than this, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration::argument)]
    pub(crate) since: Option<Duration>,
}

const REPORT: &str = "\
Examples:
  cutover report 7f3kq2ab                            on the terminal
  cutover report ./cutover-probe-19a.json            of a file that `probe` or `deploy` wrote
  cutover report 7f3kq2ab --format html > page.html  the page again, byte for byte
  cutover report 7f3kq2ab --format junit > cutover.xml
  cutover report before.json after.json              two runs side by side
  cutover report --schema > report.schema.json       what may stand in the JSON

Nothing is judged anew. Exit codes: 0 it was told, 2 there is no such report";

#[derive(Debug, Args)]
#[command(after_help = REPORT)]
pub(crate) struct Report {
    /// Id of the run, as `history` lists it, or the report's JSON file, or the raw attempts of a probe (--raw)
    #[arg(required_unless_present = "schema")]
    pub(crate) run: Option<String>,
    /// Another run, to be compared with the first
    pub(crate) other: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
    /// How it is told
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub(crate) format: Form,
    /// As JSON, the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Print a JSON schema of the report's JSON instead, for programs that read it
    #[arg(long, conflicts_with_all = ["run", "other", "format", "json"])]
    pub(crate) schema: bool,
}

/// A form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For the terminal
    Text,
    /// For the page of a CI run, in Markdown
    Markdown,
    /// `JUnit` XML
    Junit,
    /// One page
    Html,
    /// What all the others are made of
    Json,
}

/// Further files that tell the result.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Also {
    /// Write a summary in Markdown here, for the page of a CI run
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Write the result as JUnit XML here
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

pub(super) const COMPLETIONS: &str = "\
Examples:
  cutover completions bash > /etc/bash_completion.d/cutover
  cutover completions zsh > \"${fpath[1]}/_cutover\"
  cutover completions fish > ~/.config/fish/completions/cutover.fish";

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,
}

const DOCTOR: &str = "\
Examples:
  cutover doctor shop                          with the version that is live, or where none is needed
  cutover doctor shop v2 --slow-path /report   a request that takes a while is open at SIGTERM
  cutover doctor shop --json | jq '.findings[].id'

It starts instances of its own on free ports, asks them, leaves them idle, sends SIGTERM with requests
in flight, and ends them. Each finding names its race in docs/races.md. Nothing that runs is touched,
but what the app shares (a database, a lock) is shared with these instances, too.

Exit codes: 0 nothing found, 1 something loses requests or may, 2 it could not be tried,
            130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR)]
pub(crate) struct Doctor {
    /// Name of the app, as in the configuration
    pub(crate) app: String,
    /// Version to start; default: the one that is live
    pub(crate) version: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
    /// A path whose answer takes a while
    #[arg(long, value_name = "PATH")]
    pub(crate) slow_path: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}
