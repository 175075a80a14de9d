//! `cutover logs`: what the instances of an app wrote, each line with the instance that wrote it.
//!
//! It reads the files in the state directory, with or without a server, and changes nothing. Lines of
//! several instances are put in order by the time that stands in them, where one does; see `moment`.

mod follow;
mod moment;
mod part;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

use drivers::platform::process::{InstanceLog, logs_of};
use model::{AppName, Fault, Kind};

use self::follow::Followed;
use self::part::{Line, last_lines};
use crate::interrupt::Interrupt;
use crate::server::layout::Layout;
use crate::store::Store;
use crate::{cli, config, say};

/// A log and the version whose instance writes it.
struct Source {
    log: InstanceLog,
    version: Option<String>,
}

/// Runs the command.
pub(super) async fn logs(arguments: cli::Logs) -> Result<u8, Fault> {
    let app = AppName::new(arguments.app.clone())?;
    let config = super::load(&arguments.at)?;
    config::must_know(&config, &app, &arguments.at.config)?;
    let layout = Layout::at(&config.state_dir)?;
    let shelf = Shelf { layout, app, arguments };
    let mut sources = shelf.sources()?;
    if sources.is_empty() && !shelf.arguments.follow {
        return Err(shelf.nothing());
    }
    let mut out = Out::new();
    let mut lines = Vec::new();
    let since = shelf
        .arguments
        .since
        .map(|since| moment::unix_ms(SystemTime::now()).saturating_sub(ms(since)));
    let tail = usize::try_from(shelf.arguments.tail).unwrap_or(usize::MAX);
    for source in &sources {
        lines.extend(last_lines(&source.log.path, tail, &source.log.id.0));
    }
    lines.retain(|line| since.is_none_or(|since| line.at_unix_ms >= since));
    // Lines of one instance keep their order.
    lines.sort_by_key(|line| line.at_unix_ms);
    let first = lines.len().saturating_sub(tail);
    lines[first..].iter().for_each(|line| out.line(line));
    if !shelf.arguments.follow || !out.read {
        return Ok(0);
    }
    let mut interrupt = Interrupt::new()?;
    let mut followed = Followed::default();
    followed.skip_what_is_there(&sources);
    loop {
        followed.news(&sources).iter().for_each(|line| out.line(line));
        if !out.read {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(follow::LOOK_EVERY) => {}
            () = interrupt.wait() => return Ok(0),
        }
        sources = shelf.sources()?;
    }
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The logs of an app, and which of them are wanted.
struct Shelf {
    layout: Layout,
    app: AppName,
    arguments: cli::Logs,
}

impl Shelf {
    /// The logs that are wanted and there now.
    fn sources(&self) -> Result<Vec<Source>, Fault> {
        let cli::Logs { version, instance, .. } = &self.arguments;
        let known = match version {
            Some(_) => Store::open_to_read(self.layout.directory())?.versions(&self.app)?,
            None => Vec::new(),
        };
        let of = |log: &InstanceLog| {
            known.iter().find(|(id, _)| *id == log.release.0).map(|(_, version)| version.clone())
        };
        let logs = logs_of(&self.layout.logs(), &self.app).into_iter();
        let sources = logs.map(|log| Source { version: of(&log), log });
        let wanted = |source: &Source| {
            instance.as_ref().is_none_or(|id| *id == source.log.id.0)
                && version.as_ref().is_none_or(|wanted| source.version.as_ref() == Some(wanted))
        };
        Ok(sources.filter(wanted).collect())
    }

    fn nothing(&self) -> Fault {
        let Self { layout, app, arguments } = self;
        let all = logs_of(&layout.logs(), app);
        let what = match (&arguments.instance, &arguments.version) {
            (Some(id), _) => format!("there is no log of an instance `{}`", id.escape_debug()),
            (None, Some(version)) => {
                format!("there is no log of {app} {}", version.escape_debug())
            }
            (None, None) => format!("{app} has written no log yet"),
        };
        let ids: Vec<&str> = all.iter().map(|log| log.id.0.as_str()).collect();
        let help = if ids.is_empty() {
            format!("logs are in {}; deploy {app} first", layout.logs().display())
        } else {
            format!("there are logs of {}", config::list(&ids))
        };
        Fault::new(Kind::Usage, what).help(help)
    }
}

/// Standard output: what apps wrote reaches a terminal clean, and a pipe or a file as it is.
struct Out {
    terminal: bool,
    /// Somebody reads it.
    read: bool,
}

impl Out {
    fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), read: true }
    }

    fn line(&mut self, line: &Line) {
        let text = String::from_utf8_lossy(&line.text);
        let text = if self.terminal { say::clean(&text) } else { text };
        let written = writeln!(std::io::stdout().lock(), "{} | {text}", line.instance);
        self.read = written.is_ok();
    }
}

/// The length of a file; none when it is not there.
fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
