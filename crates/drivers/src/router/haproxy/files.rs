//! The files that a reload or a restart of HAProxy reads.
//!
//! A file is replaced in one step, and that of an app is first checked by HAProxy itself when its
//! program is known. It does not talk to a running HAProxy.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AppName, Fault, Instance, Kind};
use tokio::process::Command;
use tokio::time::timeout;

use super::app_file;
use super::discovered;
use super::record::{Record, Slot};
use crate::router::replace::replace;
use crate::words::clean;

/// Longest a check of the configuration may take.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// The program that checks a configuration before it is put where a reload finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    /// The `haproxy` that runs, or one of its version.
    pub program: PathBuf,
    /// What it is started with before Cutover's own directory (`-f` each).
    pub before: Vec<PathBuf>,
}

/// The files of one app, beside its map.
#[derive(Debug)]
pub(super) struct AppFiles {
    map: PathBuf,
    config: PathBuf,
    app: AppName,
}

impl AppFiles {
    pub(super) fn beside(map: &Path, app: &AppName) -> Self {
        let config = map.with_file_name(app_file::app_file(app));
        Self { map: map.to_owned(), config, app: app.clone() }
    }

    /// The words that an added server needs.
    pub(super) fn server_words(&self) -> Result<String, Fault> {
        let text = self.read_config()?;
        let words = app_file::server_words(&text).map(str::to_owned);
        words.ok_or_else(|| {
            let what = format!("`{}` has no `default-server` line", self.config.display());
            Fault::new(Kind::Config, what).help(format!("add `{}`", app_file::default_server(500)))
        })
    }

    /// The entries of the map as a reload would read them; none when it cannot be read here.
    pub(super) fn entries(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.map).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let entry = |line: &str| {
            let (key, value) = line.split_once(char::is_whitespace)?;
            Some((key.to_owned(), value.trim_start().to_owned()))
        };
        lines.filter_map(entry).collect()
    }

    /// Where servers stand that HAProxy found, as a reload would read it; nothing when it cannot be read.
    pub(super) fn state(&self) -> String {
        let path = self.map.with_file_name(app_file::state_file(&self.app));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Writes the record alone.
    pub(super) fn write_map(&self, record: &Record) -> Result<(), Fault> {
        replace(&self.map, &map_text(&self.app, record))
    }

    /// Writes the instances that are in use, and the record: what a reload needs to go on.
    pub(super) async fn write(
        &self,
        record: &Record,
        instances: &[(Slot, Instance)],
        checker: Option<&Checker>,
    ) -> Result<(), Fault> {
        let text = app_file::with_instances(&self.read_config()?, &self.app, instances);
        if let Some(checker) = checker {
            let directory = self.map.parent().unwrap_or(Path::new("/"));
            let texts = [(self.config.as_path(), text.as_str())];
            check_with(checker, directory, self.app.as_str(), &texts).await?;
        }
        // The instances first: a map that speaks of servers that are not there serves nobody.
        replace(&self.config, &text)?;
        self.write_map(record)
    }

    /// Writes where the servers are that HAProxy found, so that a new worker need not wait for DNS, and
    /// the record.
    pub(super) fn write_found(&self, record: &Record, state: &str) -> Result<(), Fault> {
        let text = discovered::to_save(&self.app, state);
        replace(&self.map.with_file_name(app_file::state_file(&self.app)), &text)?;
        self.write_map(record)
    }

    /// Takes a server out of what a new worker starts with: the address is not to be had any more.
    pub(super) fn unsave(&self, slot: Slot, address: SocketAddr) -> Result<(), Fault> {
        let (before, backends) = (self.state(), slot.backends(&self.app, true));
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let stays = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let word = |at: usize| words.get(at).copied().unwrap_or_default();
            // Backend, address and port of a line of `show servers state`.
            !(backends.iter().any(|own| own == word(1)) && word(4) == ip && word(18) == port)
        };
        let text: String = before.lines().filter(stays).flat_map(|line| [line, "\n"]).collect();
        if text == before {
            return Ok(());
        }
        replace(&self.map.with_file_name(app_file::state_file(&self.app)), &text)
    }

    fn read_config(&self) -> Result<String, Fault> {
        fs::read_to_string(&self.config).map_err(|error| {
            let what = format!("cannot read `{}`: {error}", self.config.display());
            Fault::environment(what).help(
                "Cutover keeps the instances there for a reload to find: run it on HAProxy's \
                 machine, and write the file with `cutover haproxy config`",
            )
        })
    }
}

/// Has the whole configuration of a directory checked as it would be with these texts in place of its
/// own. `name` tells trials that happen at once apart.
pub(super) async fn check_with(
    checker: &Checker,
    directory: &Path,
    name: &str,
    texts: &[(&Path, &str)],
) -> Result<(), Fault> {
    let trial = directory.join(format!(".trial-{name}"));
    let verdict = match copy_configuration(directory, &trial, texts) {
        Ok(()) => run_check(checker, &trial).await,
        Err(error) => {
            Err(Fault::environment(format!("cannot write `{}`: {error}", trial.display())))
        }
    };
    // Only a trial: what is left of it does no harm, and the next one replaces it.
    let _left_behind = fs::remove_dir_all(&trial);
    verdict
}

fn copy_configuration(from: &Path, to: &Path, texts: &[(&Path, &str)]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let changed = texts.iter().any(|(changed, _)| *changed == path);
        if path.extension().is_some_and(|kind| kind == "cfg") && !changed {
            fs::copy(&path, to.join(name))?;
        }
    }
    for (path, text) in texts {
        fs::write(to.join(path.file_name().unwrap_or_default()), text)?;
    }
    Ok(())
}

async fn run_check(checker: &Checker, trial: &Path) -> Result<(), Fault> {
    let mut command = Command::new(&checker.program);
    command.arg("-c").kill_on_drop(true).stdin(std::process::Stdio::null());
    for file in &checker.before {
        command.arg("-f").arg(file);
    }
    command.arg("-f").arg(trial);
    let program = checker.program.display();
    let ran = timeout(CHECK_LIMIT, command.output()).await;
    let output = match ran {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(Fault::environment(format!("cannot run `{program} -c`: {error}"))
                .help("name the `haproxy` program of this machine"));
        }
        Err(_late) => {
            return Err(Fault::environment(format!("`{program} -c` did not end within 10 s")));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let what = "HAProxy would refuse its configuration at the next reload; nothing was changed";
    let said = String::from_utf8_lossy(&output.stderr);
    let alerts = said.lines().filter(|line| line.contains("[ALERT]")).take(5);
    let fault = Fault::environment(what).help("mend the configuration, then try again");
    Err(alerts.fold(fault, |fault, line| fault.note(clean(line.as_bytes(), 300))))
}

pub(super) fn map_text(app: &AppName, record: &Record) -> String {
    let mut text =
        format!("# Routes of {app}. Written by Cutover; it is changed at run time too.\n");
    for (key, value) in record.entries(app) {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{key} {value}");
    }
    text
}
