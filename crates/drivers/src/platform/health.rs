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

/// What the checks of one instance add up to.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) condition: Condition,
    pub(super) last: VecDeque<CheckResult>,
    row: Row,
}

impl Health {
    /// Nothing is known yet, except whether it was ready under an earlier controller.
    pub(super) fn new(ready_before: bool) -> Self {
        let condition = if ready_before { Condition::Adopted } else { Condition::Starting };
        Self { condition, last: VecDeque::new(), row: Row::default() }
    }

    /// Where it would stand after one more result.
    pub(super) fn after(&self, passed: bool, how: &HealthCheck) -> Condition {
        let row = self.row.add(passed);
        match self.condition {
            Condition::Ended => Condition::Ended,
            _ if row.risen(how) => Condition::Ready,
            Condition::Ready | Condition::Adopted if row.fallen(how) => Condition::Unready,
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
    use super::{CheckResult, Clue, Health};
    use crate::platform::fleet::Condition;
    use model::fleet::HealthCheck;

    fn walk(ready_before: bool, results: &str) -> Vec<Condition> {
        let how = HealthCheck {
            path: None,
            command: Vec::new(),
            interval_ms: 1,
            timeout_ms: 1,
            rise: 2,
            fall: 3,
        };
        let mut health = Health::new(ready_before);
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
        use Condition::{Adopted, Ready, Starting, Unready};
        assert_eq!(walk(false, "+-++"), [Starting, Starting, Starting, Ready]);
        assert_eq!(
            walk(false, "++--+---"),
            [Starting, Ready, Ready, Ready, Ready, Ready, Ready, Unready]
        );
        assert_eq!(walk(true, "+---++"), [Adopted, Adopted, Adopted, Unready, Unready, Ready]);
        assert_eq!(walk(false, "-----"), [Starting; 5]);
    }
}
