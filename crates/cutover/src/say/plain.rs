//! Progress as plain lines for logs and CI: one line per change, stable, greppable, UTC.
//!
//! `14:02:31.204Z shifting           app=shop at_ms=4200 why="…"`. No colours, no redraws. What comes before the
//! rollout has begun bears the time at which it is written.

use std::fmt;
use std::fmt::Write as _;
use std::io::Write;

use super::clean::{clean, word};
use super::progress::Progress;
use super::step::{Live, Step, sentence};

/// Least time between two lines about live traffic, ms: in the first minute, and after it.
const LIVE_EVERY_MS: [u64; 2] = [2_000, 5_000];
const FIRST_MS: u64 = 60_000;

/// Writes one line per change.
pub(crate) struct Plain<W> {
    out: W,
    app: String,
    /// The wall clock, ms since 1970.
    now_unix_ms: fn() -> u64,
    began_unix_ms: Option<u64>,
    last_live_ms: Option<u64>,
}

impl<W: Write> Plain<W> {
    /// A renderer that writes to `out` what becomes of an app.
    pub(crate) fn new(out: W, app: &str, now_unix_ms: fn() -> u64) -> Self {
        let app = app.to_owned();
        Self { out, app, now_unix_ms, began_unix_ms: None, last_live_ms: None }
    }

    fn line(&mut self, at_ms: u64, what: &str, rest: &str) {
        let began = self.began_unix_ms.map(|began| began.saturating_add(at_ms));
        let time = utc(began.unwrap_or_else(self.now_unix_ms));
        let line = format!("{time} {what:<18} app={} {rest}\n", self.app);
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }

    fn live(&mut self, live: &Live) {
        if !live.has_data() {
            return;
        }
        // The first rate takes a moment; later, none is the news that nobody answers.
        if self.last_live_ms.is_none() && live.per_version.is_empty() {
            return;
        }
        let every_ms = LIVE_EVERY_MS[usize::from(live.at_ms >= FIRST_MS)];
        if self.last_live_ms.is_some_and(|last| live.at_ms < last + every_ms) {
            return;
        }
        self.last_live_ms = Some(live.at_ms);
        self.line(live.at_ms, "live", &figures(live));
    }
}

impl<W> fmt::Debug for Plain<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl<W: Write + Send> Progress for Plain<W> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Began { app, from, to, run, began_unix_ms } => {
                self.app = app.to_string();
                self.began_unix_ms = Some(*began_unix_ms);
                let from = from.as_ref().map_or("-", |version| version.as_str());
                self.line(0, "began", &format!("from={from} to={to} run={}", word(run)));
            }
            Step::Phase { phase, at_ms, why } => {
                self.line(
                    *at_ms,
                    phase.name(),
                    &format!("at_ms={at_ms} why={}", quoted(sentence(why))),
                );
            }
            Step::Live(live) => self.live(live),
            Step::Note { at_ms, text } => {
                self.line(*at_ms, "note", &format!("text={}", quoted(text)));
            }
            Step::Ended { at_ms, outcome, verdict, sent, failed, why } => {
                let outcome = super::story::outcome(*outcome);
                let why = quoted(sentence(why));
                let traffic = verdict.map_or_else(String::new, |verdict| {
                    format!("verdict={verdict} sent={sent} failed={failed} ")
                });
                let rest = format!("outcome={outcome} {traffic}why={why}");
                self.line(*at_ms, "ended", &rest);
            }
        }
    }
}

fn figures(live: &Live) -> String {
    let mut rest = format!("sent={} failed={} rps=", live.sent, live.failed);
    if live.per_version.is_empty() {
        rest.push('-');
    }
    for (at, rate) in live.per_version.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(rest, "{comma}{}:{:.0}", word(&rate.version), rate.rps);
    }
    for (name, us) in [("p50_us", live.p50_us), ("late_us", live.late_us)] {
        if let Some(us) = us {
            let _ = write!(rest, " {name}={us}");
        }
    }
    if let Some(open) = live.open_old {
        let _ = write!(rest, " open_requests={} open_tunnels={}", open.requests, open.tunnels);
    }
    if let Some(waits) = &live.waits {
        let _ = write!(rest, " waits={}", quoted(waits));
    }
    rest
}

/// Text in quotes, for `key="value"`.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Time of day, UTC, with milliseconds.
pub(crate) fn utc(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}
