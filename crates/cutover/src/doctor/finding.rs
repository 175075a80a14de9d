//! What can be found, in words: what is wrong, what was seen, and the fix; each with its race.
//!
//! Every finding is worded here and nowhere else. Nothing is tried here.

use std::net::SocketAddr;
use std::time::Duration;

use model::Class;
use serde::Serialize;

use crate::config::AppConfig;
use crate::duration::show;

/// How bad it is; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// It cannot be deployed, or a deploy loses requests.
    Loses,
    /// Cutover's own order of things avoids the loss, as long as nothing else goes wrong.
    Risks,
    /// Good to know.
    Note,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Its name for scripts.
    pub(crate) id: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The race it loses, as docs/races.md numbers them.
    pub(crate) race: &'static str,
    /// What is wrong, in a sentence.
    pub(crate) what: String,
    /// What was seen.
    pub(crate) seen: Vec<String>,
    /// What to do.
    pub(crate) fix: String,
}

impl Finding {
    fn new(id: &'static str, race: &'static str, what: impl Into<String>) -> Self {
        let (what, severity) = (what.into(), Severity::Loses);
        Self { id, severity, race, what, seen: Vec::new(), fix: String::new() }
    }

    fn of(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    fn seen(mut self, seen: impl Into<String>) -> Self {
        self.seen.push(seen.into());
        self
    }

    fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }
}

/// What the configuration alone shows.
pub(super) fn of_configuration(app: &AppConfig) -> Vec<Finding> {
    if app.health.path.is_some() || !app.health.command.is_empty() {
        return Vec::new();
    }
    let what = "its health check only connects: it passes as soon as the port is open";
    let finding = Finding::new("health-only-connects", "R16", what).of(Severity::Note);
    vec![finding.fix(
        "write `path` in place of `tcp = true` under [app.NAME.health], and let that path answer \
         2xx only when the app can serve",
    )]
}

/// It ended before it was ready.
pub(super) fn does_not_start(trouble: Vec<String>) -> Finding {
    let finding = Finding::new("does-not-start", "R7", "it ends by itself before it is ready");
    Finding { seen: trouble, ..finding }.fix("mend what its log says; nothing else could be tried")
}

/// It listens, and not where it was told.
pub(super) fn ignores_port(wanted: SocketAddr, found: &[SocketAddr]) -> Finding {
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    Finding::new("ignores-port", "R7", "it does not listen on the port that it is given")
        .seen(format!("told to listen on {wanted}, it listens on {}", found.join(", ")))
        .fix("read the variable PORT, or write {port} into `command`; each instance has its own")
}

/// It lives, and never passed its health check often enough.
pub(super) fn never_ready(deadline: Duration, trouble: Vec<String>) -> Finding {
    let what = format!("it does not pass its health check within {}", show(deadline));
    Finding { seen: trouble, ..Finding::new("never-ready", "R7", what) }
        .fix("mend the cause above, or raise `deadline` under [app.NAME.health]")
}

/// It was ready, late.
pub(super) fn slow_start(ready: Duration, budget: Duration) -> Finding {
    let what = format!("it needs {} to be ready, more than half of what it may", short(ready));
    Finding::new("slow-start", "R7", what)
        .of(Severity::Risks)
        .seen(format!("it may take {}; on a busy machine a deploy would be given up", show(budget)))
        .fix("start faster, or raise `deadline` under [app.NAME.health] (`hold` with \"recreate\")")
}

/// The health check passes, and users get errors.
pub(super) fn answers_badly(path: &str, (failures, of): (Vec<(Class, String)>, usize)) -> Finding {
    let count = format!("{} of {of}", failures.len());
    let (class, words) = failures.into_iter().next().unwrap_or((Class::Ok, String::new()));
    let (id, race, what, fix) = match class {
        Class::WrongContent => (
            "wrong-path",
            "R7",
            format!("GET {path}, which the prober asks, is refused: a deploy would be given up"),
            "name a path that answers 2xx as `path` under [app.NAME.probe]",
        ),
        Class::Truncated => (
            "cuts-answers",
            "R11",
            format!("answers to GET {path} are cut short"),
            "send what Content-Length says; see the app's log for a crash",
        ),
        _ => (
            "health-lies",
            "R7",
            format!("its health check passes while GET {path} fails"),
            "let the health path ask what requests need (database, caches), and answer 503 until then",
        ),
    };
    Finding::new(id, race, what).seen(format!("{count} failed; the first: {words}")).fix(fix)
}

/// The health check passed a while before users were answered.
pub(super) fn ready_too_early(ready: Duration, answers: Duration) -> Finding {
    let what = "its health check passes before it answers requests";
    Finding::new("ready-too-early", "R7", what)
        .of(Severity::Risks)
        .seen(format!("ready after {}, a good answer after {}", short(ready), short(answers)))
        .fix("let the health path answer 503 until the app can serve")
}

/// Whatever is asked, it answers 2xx.
pub(super) fn answers_anything() -> Finding {
    let what =
        "it answers 2xx to a path that does not exist, so a wrong health path is not noticed";
    Finding::new("answers-anything", "R7", what)
        .of(Severity::Note)
        .fix("see that the health path is one that the app itself answers")
}

/// What it answers to the health path it answers to any.
pub(super) fn catch_all(path: &str, other: &str) -> Finding {
    let what = format!("its health check asks GET {path}, which is answered as any other path is");
    Finding::new("health-is-catch-all", "R7", what)
        .of(Severity::Risks)
        .seen(format!("GET {other} has the same answer, byte for byte as far as it was read"))
        .fix(
            "name a path that the app itself answers as `path` under [app.NAME.health]: a page that is sent for \
             whatever is asked says nothing of what requests need",
        )
}

/// It stands still, and its check passes.
pub(super) fn survives_stall(patience: Duration, command: &[String]) -> Finding {
    let what =
        "its health check passes although the app stands still: one that hangs keeps its users";
    let fix = match command.first() {
        Some(program) => format!(
            "let `{program}` ask the app and fail where no answer comes, or write `path` in its place under \
             [app.NAME.health]"
        ),
        None => "let the app's own process answer the health path, not one beside it".to_owned(),
    };
    Finding::new("health-survives-stall", "R6", what)
        .of(Severity::Risks)
        .seen(survives(patience))
        .fix(fix)
}

/// What was seen then.
pub(super) fn survives(patience: Duration) -> String {
    format!("stopped (SIGSTOP), it still passed {} later", short(patience))
}

/// It was told to end, lived on, and nobody could see that by its check.
pub(super) fn ready_to_the_end(last: Duration, ended: Option<Duration>) -> Finding {
    let lived =
        ended.map_or("it lived on".to_owned(), |at| format!("it ended after {}", short(at)));
    Finding::new("ready-to-the-end", "R8", "told to end, it passes its health check until it is gone")
        .of(Severity::Note)
        .seen(format!("passed {} after SIGTERM; {lived}", short(last)))
        .fix(
            "harmless behind Cutover, which sends nobody there any more; behind routers that look at the health \
             path themselves, answer 503 there from SIGTERM on, and go on serving until they have seen it",
        )
}

/// Idle connections end sooner than the router stops using them.
pub(super) fn closes_idle(after: Duration, reuse: Duration) -> Finding {
    let what = "it closes idle connections sooner than the router stops using them";
    let reuse = show(reuse);
    Finding::new("closes-idle", "R2", what)
        .of(Severity::Risks)
        .seen(format!("closed after {} idle; the router uses one again for {reuse}", short(after)))
        .fix(format!(
            "raise the server's keep-alive timeout well above {reuse}. Cutover's proxy sends a POST \
             on a fresh connection and a GET again; other routers answer 502"
        ))
}

/// SIGTERM changes nothing.
pub(super) fn ignores_sigterm(limit: Duration, command: &[String]) -> Finding {
    let shell = command.first().is_some_and(|program| {
        ["sh", "bash", "dash"].contains(&program.rsplit('/').next().unwrap_or_default())
    });
    let fix = if shell {
        "write `exec` before the program in the shell's command, and end on SIGTERM"
    } else {
        "end on SIGTERM: stop accepting, finish what is open, exit"
    };
    let what = format!("SIGTERM does not end it within {}: it would be killed", show(limit));
    Finding::new("ignores-sigterm", "R17", what)
        .seen("no request was open any more, and it lived on")
        .fix(fix)
}

/// It wanted to finish, and had no time.
pub(super) fn stop_timeout_too_short(limit: Duration, open: usize) -> Finding {
    let what = format!("requests outlast `stop_timeout` ({}): they would be cut", show(limit));
    Finding::new("stop-timeout-too-short", "R18", what)
        .seen(format!("{open} sent before SIGTERM were still open then"))
        .fix("raise `stop_timeout` under [app.NAME] above the longest request")
}

/// It ended with requests in flight.
pub(super) fn cuts_at_sigterm((lost, of): (usize, usize), after: Duration, words: &str) -> Finding {
    Finding::new("cuts-at-sigterm", "R8", "told to end, it drops the requests it is working on")
        .seen(format!("{lost} of {of} were lost on open connections, it ended after {}: {words}", short(after)))
        .fix(
            "on SIGTERM finish what is open before the process exits. Cutover sees requests off \
             before it tells an instance to end, but not WebSockets, nor what outlasts `drain_timeout`",
        )
}

/// Newcomers get errors while it drains.
pub(super) fn turns_away(status: u16) -> Finding {
    Finding::new("turns-away", "R9", "told to end, it answers new requests with an error")
        .of(Severity::Risks)
        .seen(format!("status {status} after SIGTERM"))
        .fix(
            "serve whoever still comes until the process exits: routers learn late that it ends. \
             Cutover's own proxy sends nobody there any more",
        )
}

/// It closed its listener early.
pub(super) fn refuses_early(after: Duration, ended: Option<Duration>) -> Finding {
    let lived =
        ended.map_or("it lived on".to_owned(), |at| format!("it ended after {}", short(at)));
    Finding::new("refuses-early", "R9", "told to end, it stops accepting at once")
        .of(Severity::Note)
        .seen(format!("connections refused {} after SIGTERM; {lived}", short(after)))
        .fix(
            "harmless behind Cutover, which sends nobody there any more; behind routers that learn \
             late, accept for a few more seconds",
        )
}

/// A second instance does not come up beside the first.
pub(super) fn one_copy_only(why: &Finding) -> Finding {
    let what = "a second instance does not come up beside the first";
    let mut finding = Finding::new("one-copy-only", "R7", what).seen(why.what.clone());
    finding.seen.extend(why.seen.iter().cloned());
    finding.fix(
        "let nothing be shared that only one can have (port, lock file, socket), or write \
         `strategy = \"recreate\"` under [app.NAME.rollout]",
    )
}

/// A time for people.
fn short(time: Duration) -> String {
    show(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}
