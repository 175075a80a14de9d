//! From single checks to a judgement: rise, fall, and the last results for people.
//!
//! Pure apart from making one check and from when it begins; who calls it how often is `watch`'s affair.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::Class;
use model::fleet::HealthCheck;

use crate::check::command::{self, Program};
use crate::check::{Answer, NoAnswer, Row, ask, connect};
use crate::platform::fleet::Condition;
use crate::words::span;

/// Results that are remembered.
const REMEMBERED: usize = 5;
/// How much later than it should a check may end before that is worth a word.
const SLACK: Duration = Duration::from_secs(1);

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
    /// For how long no check had ended before it, where that is longer than it should be.
    pub(super) gap: Option<Duration>,
}

impl CheckResult {
    fn new(passed: bool, words: String, clue: Clue) -> Self {
        Self { passed, words, clue, tail: Vec::new(), gap: None }
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
    /// When the last check ended, or when they began.
    at: Instant,
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
        Self { condition, last: VecDeque::new(), at: Instant::now(), row: Row::default() }
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

    /// For how long no check has ended, where one should have: whoever makes them had no time to.
    pub(super) fn gap(&self, how: &HealthCheck, now: Instant) -> Option<Duration> {
        let most = Duration::from_millis(how.interval_ms.saturating_add(how.timeout_ms)) + SLACK;
        Some(now.saturating_duration_since(self.at)).filter(|gap| *gap > most)
    }

    /// The results as lines for people, oldest first, with the times in which there was none.
    pub(super) fn lines(&self, asked: &str, how: &HealthCheck, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if self.last.is_empty() {
            lines.push(format!("  no result yet of {asked}"));
        }
        for result in &self.last {
            lines.extend(result.gap.map(|gap| not_made(gap, how)));
            lines.push(format!("  {asked}: {}", result.words));
        }
        lines.extend(self.gap(how, now).map(|gap| not_made(gap, how)));
        lines
    }

    /// Takes one more result, of a check that ended then.
    pub(super) fn note(&mut self, result: CheckResult, how: &HealthCheck, now: Instant) {
        let result = CheckResult { gap: self.gap(how, now), ..result };
        self.at = now;
        self.condition = self.after(result.passed, how);
        self.row = self.row.add(result.passed);
        self.last.push_back(result);
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
    }
}

/// That checks were not made in time; in whole seconds, so that it is not another thing at each look.
fn not_made(gap: Duration, how: &HealthCheck) -> String {
    let (gap, due) = (gap.as_secs(), Duration::from_millis(how.interval_ms));
    format!(
        "  for {gap} s no check was made, and one is due every {}: Cutover itself was not run in time (a busy \
         machine, or a process that was stopped)",
        span(due)
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
            health.note(CheckResult::new(passed, String::new(), Clue::None), &how, Instant::now());
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

    #[test]
    fn a_check_that_was_not_made_in_time_is_said_and_for_how_long() {
        let how = HealthCheck {
            path: None,
            command: Vec::new(),
            interval_ms: 200,
            timeout_ms: 2_000,
            rise: 2,
            fall: 3,
        };
        let mut health = Health::new(Past::Unknown);
        let begun = health.at;
        let after = |ms| begun + Duration::from_millis(ms);
        let passes = || CheckResult::new(true, "status 200".to_owned(), Clue::None);
        let none = "  no result yet of GET /";
        assert_eq!(health.lines("GET /", &how, after(3_200)), [none]);
        let late = "  for 58 s no check was made, and one is due every 200 ms: Cutover itself was not run \
                    in time (a busy machine, or a process that was stopped)";
        assert_eq!(health.lines("GET /", &how, after(58_900)), [none, late]);
        // Also when one has been made since.
        health.note(passes(), &how, after(58_900));
        health.note(passes(), &how, after(59_100));
        let told = health.lines("GET /", &how, after(59_200));
        assert_eq!(told, [late, "  GET /: status 200", "  GET /: status 200"]);
    }
}
