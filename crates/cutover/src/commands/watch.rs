//! `cutover status --watch`: what changes, as it changes, until it is ended.
//!
//! On a terminal the status is drawn again in place; elsewhere each change of an app is one line, or one
//! line of JSON. It only asks.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use model::{Coarse, Fault};
use tokio::time::Instant;

use super::board;
use crate::client::{AWAY, Client};
use crate::interrupt::Interrupt;
use crate::say::{self, Line, Look, Screen};
use crate::server::api::ServerStatus;
use crate::server::orders::AppStatus;

/// Pause between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// How it is shown.
enum Shown {
    Terminal(Screen<std::io::Stdout>),
    Lines { json: bool, last: Vec<String> },
}

/// Shows what changes until Ctrl-C. A server that goes away is waited for.
pub(super) async fn watch(
    client: &Client,
    json: bool,
    select: impl Fn(ServerStatus) -> ServerStatus,
) -> Result<u8, Fault> {
    let mut interrupt = Interrupt::new()?;
    let mut shown = Shown::new(json);
    let mut reached: Option<Instant> = None;
    loop {
        match client.status().await {
            Ok(status) => {
                shown.show(&select(status))?;
                reached = Some(Instant::now());
            }
            Err(fault) if reached.is_none_or(|at| at.elapsed() > AWAY) => return Err(fault),
            Err(fault) => shown.away(&fault),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = interrupt.wait() => return Ok(0),
        }
    }
}

impl Shown {
    fn new(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if json || dumb || !std::io::stdout().is_terminal() {
            return Self::Lines { json, last: Vec::new() };
        }
        Self::Terminal(Screen::new(std::io::stdout(), Look::of_stdout()))
    }

    fn show(&mut self, status: &ServerStatus) -> Result<(), Fault> {
        match self {
            Self::Terminal(screen) => {
                screen.draw(&[], board::lines(status));
            }
            Self::Lines { json, last } => {
                let now: Vec<String> = status.apps.iter().map(glance).collect();
                for (app, glance) in status.apps.iter().zip(&now) {
                    if last.contains(glance) {
                        continue;
                    }
                    let line = if *json { as_json(app)? } else { format!("{} {glance}", time()) };
                    say_line(&line)?;
                }
                *last = now;
            }
        }
        Ok(())
    }

    fn away(&mut self, fault: &Fault) {
        let words = format!("waiting for the server: {fault}");
        match self {
            Self::Terminal(screen) => screen.draw(&[], vec![Line::default().plain(words)]),
            Self::Lines { json: false, last } if !last.is_empty() => {
                last.clear();
                // Whoever reads these lines may be gone; the next one finds that out.
                let _told = say_line(&format!("{} {words}", time()));
            }
            Self::Lines { .. } => {}
        }
    }
}

/// A reader that went away (`| head`) is the end.
fn say_line(line: &str) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|e| Fault::environment(format!("stdout cannot be written: {e}")))
}

fn as_json(app: &AppStatus) -> Result<String, Fault> {
    serde_json::to_string(app)
        .map_err(|e| Fault::internal(format!("the status cannot be written: {e}")))
}

fn time() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    say::utc(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// One line of what does not change by itself: no counts of what is open, no pids.
pub(super) fn glance(app: &AppStatus) -> String {
    let coarse = match app.coarse {
        Coarse::Healthy => "healthy",
        Coarse::Progressing => "progressing",
        Coarse::Paused => "paused",
        Coarse::Degraded => "degraded",
    };
    let word = |text: &str| say::word(text);
    let stable = app.stable.as_deref().map_or("-".to_owned(), word);
    let mut pieces = vec![format!("{coarse:<11} app={} stable={stable}", app.app)];
    if let Some((run, version, phase)) = &app.rollout {
        pieces.push(format!("to={} phase={phase} run={}", word(version), word(run)));
    }
    let pools = app.pools.iter().map(|pool| {
        let percent = f64::from(pool.weight) / 100.0;
        format!("{}:{percent:.2}%", word(&pool.version))
    });
    let pools: Vec<String> = pools.collect();
    let traffic = if pools.is_empty() { "-".to_owned() } else { pools.join(",") };
    let ready = app.instances.iter().filter(|one| one.condition == "ready").count();
    pieces.push(format!("traffic={traffic} ready={ready}/{}", app.instances.len()));
    let next = app.next.as_ref().map(|(version, _)| version);
    let kept = app.kept.as_ref().map(|kept| &kept.version);
    let waits = app.progress.as_ref().and_then(|progress| progress.waits.as_ref());
    let told = [
        ("next", next),
        ("kept", kept),
        ("waits", waits),
        ("hook", app.hook.as_ref()),
        ("paused", app.paused.as_ref()),
        ("trouble", app.trouble.as_ref()),
    ];
    let told = told.into_iter().filter_map(|(name, words)| Some((name, words?)));
    pieces.extend(told.map(|(name, words)| format!("{name}={}", say::quoted(words))));
    pieces.join(" ")
}
