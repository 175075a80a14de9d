//! The command line as it is typed. What it means is in `commands`.

mod alone;
mod operate;
mod probing;
mod routers;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::{app, duration};
use alone::COMPLETIONS;
pub(crate) use alone::{Also, Completions, Doctor, Form, History, Logs, Man, Report};

pub(crate) use operate::{Following, Pause, Promote, Resume, Retry, Rollback, SetWeight, Target};
pub(crate) use probing::{Places, Probe, Reached, Request};
use routers::{HAPROXY, NGINX};
pub(crate) use routers::{HaproxyWhat, NginxWhat};

/// Ships a new version of a running web service without dropping a request, and proves it.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cutover demo                     the whole story in one command, no configuration
  cutover up                       serve the apps of ./cutover.toml
  cutover deploy shop v2           ship v2 and write the report into this directory
  cutover probe http://127.0.0.1:8080/ --rate 100 --duration 30s

Exit codes: 0 pass, 1 requests failed, 2 usage or configuration, 3 inconclusive,
            4 users are on the old version, 5 stuck, 130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ship v1 to v2 of a sample app under load, and prove it
    Demo(Demo),
    /// Run the controller: serve the apps of a configuration until stopped
    Up(Up),
    /// Take up edits of the configuration under the running server, certificates too
    Reload(Reload),
    /// Stop the controller, the proxy and every instance
    Down(Down),
    /// Ship a version of an app and report what its users saw
    Deploy(Deploy),
    /// Say what a deploy would do, without doing any of it
    Plan(Plan),
    /// Undo the rollout of an app that is under way
    Abort(Abort),
    /// Take users no further until somebody says so
    Pause(Pause),
    /// End the pause of a rollout
    Resume(Resume),
    /// Go on now: without the rest of a pause or bake, or without all that is left
    Promote(Promote),
    /// Give the new version of a canary a share, and pause there
    SetWeight(SetWeight),
    /// Ship the release again whose rollout was aborted or got stuck
    Retry(Retry),
    /// Take users back to a release that served before
    Rollback(Rollback),
    /// Show apps, instances and traffic
    Status(Status),
    /// List the rollouts that were, newest first (needs no server)
    History(History),
    /// Show what the instances of an app wrote (needs no server)
    Logs(Logs),
    /// Show the report of a run again (needs no server)
    Report(Report),
    /// Replace the running server and its proxy by another binary, without loss
    Upgrade(Upgrade),
    /// Try on throw-away instances what loses requests in a deploy (needs no server)
    Doctor(Doctor),
    /// Probe a URL at a fixed rate and judge what came back (needs no server)
    Probe(Box<Probe>),
    /// How often a canary's judge would abort the same version, on recorded traffic (needs no server)
    Aa(Aa),
    /// Run the sample app
    #[command(disable_version_flag = true)]
    App(Box<app::Options>),
    /// Check or show a configuration
    Config {
        #[command(subcommand)]
        what: ConfigWhat,
    },
    /// Write or check what a HAProxy needs that carries the traffic
    #[command(after_help = HAPROXY)]
    Haproxy {
        #[command(subcommand)]
        what: HaproxyWhat,
    },
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS)]
    Completions(Completions),
    /// Print the manual page, or write one for each command
    Man(Man),
    /// Write or check what an nginx needs that carries the traffic
    #[command(after_help = NGINX)]
    Nginx {
        #[command(subcommand)]
        what: NginxWhat,
    },
    /// The reverse proxy; started by `up`
    #[command(hide = true)]
    Proxy(Proxy),
    /// A new binary checks a copy of the state; run by `upgrade`
    #[command(hide = true)]
    UpgradeCheck(UpgradeCheck),
    /// The old binary sees whether the new one becomes healthy; started by `up`
    #[command(hide = true)]
    UpgradeGuard(UpgradeGuard),
}

impl Command {
    /// True when a program reads stdout: then it is also told there why a command came to nothing. Only of
    /// commands that ask the server; what others find is in their own JSON.
    pub(crate) const fn tells_programs(&self) -> bool {
        match self {
            Self::Reload(it) => it.json,
            Self::Down(it) => it.json,
            Self::Deploy(it) => it.following.json,
            Self::Plan(it) => it.json,
            Self::Abort(it) => it.json,
            Self::Pause(it) => it.json,
            Self::Resume(it) => it.json,
            Self::Promote(it) => it.following.json,
            Self::SetWeight(it) => it.json,
            Self::Retry(it) => it.following.json,
            Self::Rollback(it) => it.following.json,
            Self::Status(it) => it.json,
            Self::History(it) => it.json,
            Self::Upgrade(it) => it.json,
            _ => false,
        }
    }

    /// True when all that it does is to tell something.
    pub(crate) const fn only_tells(&self) -> bool {
        matches!(
            self,
            Self::Plan(_)
                | Self::Status(_)
                | Self::History(_)
                | Self::Report(_)
                | Self::Aa(_)
                | Self::Config { .. }
        )
    }
}

/// Which server is meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    /// Configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "cutover.toml",
        env = "CUTOVER_CONFIG"
    )]
    pub(crate) config: PathBuf,
}

const AA: &str = "\
Examples:
  cutover aa --log access.log                 what to count by, from a JSON access log of the proxy
  cutover aa --log access.log --app shop --percent 5

Nothing is deployed: requests of the log are dealt to two sides many times over. Both are the
same version, so an abort is a false one. Promised are no more than `alpha` of them.";

#[derive(Debug, Args)]
#[command(after_help = AA)]
pub(crate) struct Aa {
    /// A JSON access log of Cutover's proxy
    #[arg(long, value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// Only requests of this app
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// Share of the one side, percent
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u8).range(1..=99))]
    pub(crate) percent: u8,
    /// How often requests are dealt
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(20..=10_000))]
    pub(crate) times: u32,
}

const UP: &str = "\
Examples:
  cutover up                              serve until Ctrl-C, SIGTERM or `cutover down`
  cutover up -c /etc/shop/cutover.toml    paths in the file are relative to where it lies
  cutover config example > cutover.toml   a file to begin with

Requests are carried by a process of its own: they go on when `up` is killed, and the next
`up` takes over what runs.";

#[derive(Debug, Args)]
#[command(after_help = UP)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) at: Where,
    /// Let the demo inject faults into the proxy
    #[arg(long, hide = true)]
    pub(crate) allow_faults: bool,
}

const RELOAD: &str = "\
Examples:
  cutover reload          show what would change, and ask
  cutover reload --yes    do it; SIGHUP to `cutover up` does the same
  cutover reload --yes --json | jq -r '.changes[]'

Certificates are read again each time. Nothing is changed while any of it cannot be done.

Exit codes: 0 done, or nothing to do; 2 nothing was changed";

#[derive(Debug, Args)]
#[command(after_help = RELOAD)]
pub(crate) struct Reload {
    #[command(flatten)]
    pub(crate) at: Where,
    /// Do it without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// As JSON; nobody is asked
    #[arg(long)]
    pub(crate) json: bool,
}

const DOWN: &str = "\
Examples:
  cutover down          requests finish, WebSockets are told to reconnect, then instances end
  cutover down --now    cut what is open, give instances a second to end
  cutover down --json 2>steps.ndjson

The next `cutover up` starts the stable release of each app again.";

#[derive(Debug, Args)]
#[command(after_help = DOWN)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) at: Where,
    /// Do not wait for open requests and sockets
    #[arg(long)]
    pub(crate) now: bool,
    /// What is waited for as JSON lines on stderr, the end as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

const DEPLOY: &str = "\
Examples:
  cutover deploy shop v2                     ship v2; the report goes to this directory
  cutover deploy shop v2 --out /tmp/reports
  cutover deploy shop v2 --json > report.json 2> steps.ndjson
  cutover deploy shop v2 --detach            begin it; `cutover status shop --watch` shows it
  cutover deploy all v2 --set orders=v7      apps that [together.all] names, in one rollout

Ctrl-C takes the rollout back as long as it is not final; a second Ctrl-C leaves it to the server.

Exit codes: 0 pass, 1 requests failed, 2 nothing was done, 3 inconclusive,
            4 users are on the old version, 5 stuck, 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = DEPLOY)]
pub(crate) struct Deploy {
    /// Name of the app, as in the configuration, or of several together
    pub(crate) app: String,
    /// Version to ship; fills `{version}` in the app's command
    pub(crate) version: String,
    /// Another version for one of the apps that are rolled out together
    #[arg(long, value_name = "APP=VERSION")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) at: Where,
    #[command(flatten)]
    pub(crate) following: Following,
}

const PLAN: &str = "\
Examples:
  cutover plan shop v2                      each change, each phase, and what each can find
  cutover plan shop v2 --json | jq .degrades

It asks the running server, which looks and changes nothing.

Exit codes: 0 it can be deployed, 2 it would be refused";

#[derive(Debug, Args)]
#[command(after_help = PLAN)]
pub(crate) struct Plan {
    /// Name of the app, as in the configuration
    pub(crate) app: String,
    /// Version that would be shipped
    pub(crate) version: String,
    #[command(flatten)]
    pub(crate) at: Where,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const ABORT: &str = "\
Examples:
  cutover abort shop    users stay on the old version, or return to it as soon as it can carry them
  cutover abort shop --reason 'checkout is slow'
  cutover abort shop --json | jq -r .text

It is final: `cutover retry` or another deploy begins anew. What was to follow does not.

Exit codes: 0 under way, or nothing to abort; 2 too late: the new version is promoted already";

#[derive(Debug, Args)]
#[command(after_help = ABORT)]
pub(crate) struct Abort {
    /// Name of the app
    pub(crate) app: String,
    /// Who or why, for the journal, the report and notifications
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const STATUS: &str = "\
Examples:
  cutover status
  cutover status --watch shop           as it changes; lines where there is no terminal
  cutover status --json | jq -r '.apps[].stable'

It stands for one of four phases: Healthy, Progressing, Paused (a person is waited for), Degraded.";

#[derive(Debug, Args)]
#[command(after_help = STATUS)]
pub(crate) struct Status {
    /// Only this app
    pub(crate) app: Option<String>,
    #[command(flatten)]
    pub(crate) at: Where,
    /// Show what changes, until Ctrl-C
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// As JSON; with `--watch` one line for each change of an app
    #[arg(long)]
    pub(crate) json: bool,
}

const UPGRADE: &str = "\
Examples:
  cutover upgrade                       the server becomes the binary that this command is
  cutover upgrade ./cutover-new --json  steps as JSON lines on stderr, the end as JSON on stdout

The new binary first checks a copy of the state and the configuration. Its proxy takes over the
listening sockets, then the server goes on as the new binary under the same pid; instances are not
touched. If it is not healthy in time, the old binary comes back by itself. What is open on the old
proxy finishes (`upgrade_timeout` under [proxy]). Refused while a rollout is under way.

Exit codes: 0 upgraded, 2 refused and nothing touched, 4 the old binary runs again, 5 stuck";

#[derive(Debug, Args)]
#[command(after_help = UPGRADE)]
pub(crate) struct Upgrade {
    /// The new binary; default: the one that runs this command
    #[arg(value_name = "PATH-OF-NEW-BINARY")]
    pub(crate) program: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) at: Where,
    /// How long the new binary may take to become healthy before the old one comes back
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration::argument)]
    pub(crate) within: Duration,
    /// Steps as JSON lines on stderr, the end as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpgradeCheck {
    /// Directory with the copy
    pub(crate) copy: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct UpgradeGuard {
    /// State directory
    pub(crate) state: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigWhat {
    /// Check the file and say what is wrong, with line and fix
    Check(Where),
    /// Print a commented example
    Example,
    /// Print a JSON schema of the file, for editors
    Schema,
}

const DEMO: &str = "\
Examples:
  cutover demo                             PASS, exit code 0
  cutover demo --instances 2 --rate 1000
  cutover demo --inject kill-before-drain  FAIL, exit code 1: the proof can fail

It uses free ports of 127.0.0.1 and a directory in TMPDIR, and leaves only its report behind.";

#[derive(Debug, Args)]
#[command(after_help = DEMO)]
pub(crate) struct Demo {
    /// Instances of each version
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=8))]
    pub(crate) instances: u16,
    /// Requests per second, all lanes together
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = value_parser!(u32).range(10..=2000))]
    pub(crate) rate: u32,
    /// Break something on purpose, to see that the proof can fail
    #[arg(long, value_name = "FAULT")]
    pub(crate) inject: Option<Inject>,
    /// Share of the candidate's answers (0 to 1) that `--inject candidate-errors` makes errors [default: 0.5]
    #[arg(long, value_name = "SHARE", requires = "inject", value_parser = app::share)]
    pub(crate) error_share: Option<f64>,
    /// Directory for the report files
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Steps as JSON lines on stderr, the report as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// A fault that `demo` can inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Inject {
    /// Old instances are killed before they are drained
    KillBeforeDrain,
    /// A share of the candidate's answers are errors
    CandidateErrors,
    /// The candidate never passes its health check
    CandidateNeverReady,
    /// The candidate dies right after the switch
    CandidateDies,
    /// The proxy cuts one answer short
    Truncate,
    /// Nothing answers for a second at the switch
    Stall,
}

impl Inject {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// Admin socket to open
    #[arg(long)]
    pub(crate) admin: PathBuf,
    /// Worker threads
    #[arg(long)]
    pub(crate) threads: usize,
    /// Take fault injection orders
    #[arg(long)]
    pub(crate) allow_faults: bool,
}
