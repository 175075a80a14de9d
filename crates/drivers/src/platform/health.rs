//! From single checks to a judgement: rise, fall, and the last results for people.
//!
//! Pure apart from making one check; who calls it how often is `watch`'s affair.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use model::Class;
use model::fleet::HealthCheck;

use crate::check::command::{self, Program};
use crate::check::{Answer, NoAnswer, Row, ask, connect};
use crate::platform::fleet::Condition;
use crate::words::span;

/// Results that are remembered.
const REMEMBERED: usize = 5;

/// What a failed check hints at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clue {
    /// Nothing: it passed, or it could be anything.
    None,
    /// Nobody listens.
    Refused,
    /// Somebody listens and does not answer.
    Hangs,
    /// It sends us elsewhere.
    Redirect(String),
    /// It answers with this status.
    Status(u16),
    /// It speaks, but not HTTP.
    NotHttp,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckResult {
    pub(super) passed: bool,
    pub(super) words: String,
    pub(super) clue: Clue,
    /// The last lines of what a program said.
    pub(super) tail: Vec<String>,
}

impl CheckResult {
    fn new(passed: bool, words: String, clue: Clue) -> Self {
        Self { passed, words, clue, tail: Vec::new() }
    }
}

/// What a check asks.
#[derive(Clone, Debug)]
pub(super) enum Asks {
    /// This path, over HTTP.
    Path(String),
    /// For a connection.
    Connection,
    /// A program; in words why there is none.
    Program(Result<Box<Program>, String>),
}

/// Makes one check of an instance.
pub(super) async fn check(address: SocketAddr, asks: &Asks, how: &HealthCheck) -> CheckResult {
    let limit = Duration::from_millis(how.timeout_ms);
    match asks {
        Asks::Path(path) => match ask(address, &address.to_string(), path, limit).await {
            Ok(answer) => from_answer(&answer),
            Err(failure) => from_failure(failure),
        },
        Asks::Connection => match connect(address, limit).await {
            Ok(latency) => {
                CheckResult::new(true, format!("connected in {}", span(latency)), Clue::None)
            }
            Err(failure) => from_failure(failure),
        },
        Asks::Program(Ok(program)) => {
            let judged = command::run(program, limit).await;
            let result = CheckResult::new(judged.passed, judged.words, Clue::None);
            CheckResult { tail: judged.tail, ..result }
        }
        Asks::Program(Err(why)) => CheckResult::new(false, why.clone(), Clue::None),
    }
}

fn from_answer(answer: &Answer) -> CheckResult {
    let passed = answer.passes();
    let clue = match answer.status {
        _ if passed => Clue::None,
        300..400 => Clue::Redirect(answer.location.clone().unwrap_or_default()),
        status => Clue::Status(status),
    };
    let mut words = format!("status {} in {}", answer.status, span(answer.latency));
    if !answer.body_head.is_empty() {
        words = format!("{words}: `{}`", answer.body_head);
    }
    CheckResult::new(passed, words, clue)
}

fn from_failure(failure: NoAnswer) -> CheckResult {
    let clue = match failure.class {
        Class::Refused => Clue::Refused,
        Class::Timeout => Clue::Hangs,
        Class::WrongContent => Clue::NotHttp,
        _ => Clue::None,
    };
    let words = match failure.class {
        Class::Timeout => failure.words,
        _ => format!("{} ({})", failure.words, span(failure.latency)),
    };
    CheckResult::new(false, words, clue)
}

/// What is on record of the checks that an earlier controller made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// It never was ready.
    Unknown,
    /// It was ready.
    Ready,
    /// It was ready, and when it was last judged it was not.
    Unready,
}

impl Past {
    /// From what records say: that it was ready at some time, and that it was last seen failing.
    pub(super) const fn of(ready_before: bool, unready: bool) -> Self {
        match (ready_before, unready) {
            (false, _) => Self::Unknown,
            (true, false) => Self::Ready,
            (true, true) => Self::Unready,
        }
    }
}

/// What the checks of one instance add up to.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) condition: Condition,
    pub(super) last: VecDeque<CheckResult>,
    row: Row,
}

impl Health {
    /// Nothing is known yet, except how it was under an earlier controller.
    pub(super) fn new(past: Past) -> Self {
        let condition = match past {
            Past::Unknown => Condition::Starting,
            Past::Ready => Condition::Adopted,
            Past::Unready => Condition::Unready,
        };
        Self { condition, last: VecDeque::new(), row: Row::default() }
    }

    /// Where it would stand after one more result. What is only said to have been well is in doubt with
    /// the first check that fails.
    pub(super) fn after(&self, passed: bool, how: &HealthCheck) -> Condition {
        use Condition::{Adopted, Doubted, Ended, Ready, Unready};
        let row = self.row.add(passed);
        match self.condition {
            Ended => Ended,
            _ if row.risen(how) => Ready,
            Ready | Adopted | Doubted if row.fallen(how) => Unready,
            Adopted if !passed => Doubted,
            unchanged => unchanged,
        }
    }

    /// Takes one more result.
    pub(super) fn note(&mut self, result: CheckResult, how: &HealthCheck) {
        self.condition = self.after(result.passed, how);
        self.row = self.row.add(result.passed);
        self.last.push_back(result);
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CheckResult, Clue, Health, Past};
    use crate::platform::fleet::Condition;
    use model::fleet::HealthCheck;

    fn walk(past: Past, results: &str) -> Vec<Condition> {
        let how = HealthCheck {
            path: None,
            command: Vec::new(),
            interval_ms: 1,
            timeout_ms: 1,
            rise: 2,
            fall: 3,
        };
        let mut health = Health::new(past);
        let step = |c: char| {
            let passed = c == '+';
            health.note(CheckResult::new(passed, String::new(), Clue::None), &how);
            health.condition
        };
        let walked = results.chars().map(step).collect();
        assert!(health.last.len() <= 5);
        walked
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        use Condition::{Ready, Starting, Unready};
        let walk = |results| walk(Past::of(false, false), results);
        assert_eq!(walk("+-++"), [Starting, Starting, Starting, Ready]);
        assert_eq!(walk("++--+---"), [Starting, Ready, Ready, Ready, Ready, Ready, Ready, Unready]);
        assert_eq!(walk("-----"), [Starting; 5]);
    }

    #[test]
    fn who_was_ready_is_doubted_from_the_first_failure_and_who_was_not_has_to_rise() {
        use Condition::{Adopted, Doubted, Ready, Unready};
        let ready = |results| walk(Past::of(true, false), results);
        assert_eq!(ready("++-"), [Adopted, Ready, Ready]);
        assert_eq!(ready("+-+-++"), [Adopted, Doubted, Doubted, Doubted, Doubted, Ready]);
        assert_eq!(ready("---++"), [Doubted, Doubted, Unready, Unready, Ready]);
        let unready = |results| walk(Past::of(true, true), results);
        assert_eq!(unready("-+-++"), [Unready, Unready, Unready, Unready, Ready]);
        assert_eq!(Health::new(Past::of(true, true)).condition, Unready);
        assert_eq!(Health::new(Past::of(false, true)).condition, Condition::Starting);
    }
}
