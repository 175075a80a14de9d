//! Why an instance is not ready or has ended, in lines for people, with a guess at the cause.
//!
//! A guess is worded as one. Nothing here has an effect.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use model::InstanceId;
use model::fleet::HealthCheck;

use super::log::tail;
use super::procfs::{Mark, listening, marked_in_group};
use super::signal::DONE;
use super::watch::End;
use crate::platform::health::{Clue, Health};
use crate::words::{clean, span};

/// A living instance that is not ready.
#[derive(Debug)]
pub(super) struct Unwell<'a> {
    pub(super) id: &'a InstanceId,
    pub(super) pid: u32,
    pub(super) address: SocketAddr,
    pub(super) how: &'a HealthCheck,
    pub(super) health: &'a Health,
    pub(super) log: &'a Path,
    pub(super) mark: &'a Mark,
}

impl Unwell<'_> {
    /// The lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let asked = match &self.how.path {
            _ if !self.how.command.is_empty() => format!("`{}`", self.how.command.join(" ")),
            Some(path) => format!("GET http://{}{path}", self.address),
            None => format!("connecting to {}", self.address),
        };
        let mut lines = vec![format!("{} (pid {}) is not ready", self.id, self.pid)];
        lines.extend(self.health.lines(&asked, self.how, Instant::now()));
        let said = self.health.last.back().map_or(&[][..], |last| &last.tail);
        lines.extend(said.iter().map(|line| format!("  it said: {line}")));
        lines.extend(tail(self.log).into_iter().map(|line| format!("  log: {line}")));
        if let Some(cause) = self.health.last.back().and_then(|last| self.likely(&last.clue)) {
            lines.push(format!("  likely cause: {cause}"));
        }
        lines
    }

    fn likely(&self, clue: &Clue) -> Option<String> {
        let path = self.how.path.as_deref().unwrap_or_default();
        let limit = span(Duration::from_millis(self.how.timeout_ms));
        match clue {
            Clue::None => None,
            Clue::Refused => self.nobody_listens(),
            Clue::Hangs => Some(format!(
                "the server accepts connections and does not answer within {limit}: it hangs, or \
                 it needs longer than the check's timeout"
            )),
            Clue::Redirect(to) => Some(format!(
                "the server redirects {path} to `{}`: a check wants 2xx; give a health path that \
                 answers itself",
                clean(to.as_bytes(), 80)
            )),
            Clue::Status(404) => Some(format!("the server has no {path}: correct the health path")),
            Clue::Status(status @ (400 | 421)) => Some(format!(
                "status {status}: the server may check the Host header; allow {}",
                self.address
            )),
            Clue::Status(401 | 403) => Some(format!("{path} asks for a login: leave it open")),
            Clue::Status(500..) => {
                Some("the server answers and says itself that it is in trouble; see its log".into())
            }
            Clue::Status(status) => Some(format!("a check wants 2xx and gets {status}")),
            Clue::NotHttp => {
                Some("what listens there does not speak HTTP/1.1 in plain text".into())
            }
        }
    }

    fn nobody_listens(&self) -> Option<String> {
        let nothing = format!("nothing listens on {}", self.address);
        let mut pids = marked_in_group(self.pid, self.mark);
        pids.push(self.pid);
        let elsewhere = listening(&pids);
        if elsewhere.is_empty() {
            return Some(format!(
                "{nothing}; the process listens nowhere yet: does the server read PORT or {{port}}, \
                 or does it need longer to start?"
            ));
        }
        let reaches = |found: &SocketAddr| {
            found.port() == self.address.port()
                && (found.ip() == self.address.ip() || found.ip().is_unspecified())
        };
        if elsewhere.iter().any(reaches) {
            // It began to listen after the last check: the next one will tell.
            return None;
        }
        // The right port of another address, as it is where `address` is new under [router].
        let reads = if elsewhere.iter().any(|found| found.port() == self.address.port()) {
            "HOST or {host}"
        } else {
            "PORT or {port}"
        };
        let elsewhere: Vec<_> = elsewhere.iter().map(ToString::to_string).collect();
        let elsewhere = elsewhere.join(", ");
        Some(format!(
            "{nothing}; the process listens on {elsewhere} instead: does the server read {reads}?"
        ))
    }
}

/// An instance that ended without having been told to.
pub(super) fn crash(id: &InstanceId, end: &End, begun_ms: u64, log: &Path) -> Vec<String> {
    let how = end.words.as_deref().unwrap_or("ended, nobody saw how,");
    let lived = span(Duration::from_millis(end.at_ms.saturating_sub(begun_ms)));
    let mut lines = vec![format!("{id} {how} after {lived}")];
    let said = tail(log);
    if said.is_empty() {
        lines.push("  it wrote nothing to its log".to_owned());
    }
    lines.extend(said.into_iter().map(|line| format!("  log: {line}")));
    if how == DONE {
        let cause = "it serves in the background, or it had nothing to do: the command must stay";
        lines.push(format!("  likely cause: {cause} while it serves"));
    }
    lines
}
