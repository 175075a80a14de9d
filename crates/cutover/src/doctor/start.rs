//! Starting: how long until it is ready, how long until it really answers, and whether what its health
//! check says is true.
//!
//! It ends nothing: that is tried in `end`. The words are in `finding`.

use std::net::SocketAddr;
use std::time::Duration;

use drivers::check::{NoAnswer, ask};
use drivers::platform::{Condition, FleetHave, InstanceHave};
use model::{Class, Fault, InstanceId, Release, ReleaseId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::finding::{self, Finding};
use super::ward::Ward;
use super::{Asked, Chart, ms};
use crate::config::{AppConfig, Strategy};

/// Pause between two questions to one that does not answer yet.
const PACE: Duration = Duration::from_millis(10);
/// How long one whose health check passes may take to answer users as well.
const GRACE: Duration = Duration::from_secs(2);
/// An answer that comes so long after the health check passed is late.
const EARLY: Duration = Duration::from_millis(100);
/// One that listens elsewhere for so long will not listen where it was told.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// How often an instance that is ready is asked what users ask.
const QUESTIONS: usize = 20;

/// An instance that passed its health check.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) release: ReleaseId,
    pub(super) id: InstanceId,
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    /// From its start until then.
    pub(super) ready: Duration,
    /// From its start until it answered what users ask, if it did in time.
    pub(super) answers: Option<Duration>,
}

/// What came of a start.
pub(super) enum Trial {
    /// It is ready.
    Up(Started),
    /// It never was, and why.
    Down(Box<Finding>),
}

/// Starts an instance of `release` and waits until it is ready, or cannot be.
pub(super) async fn start(
    ward: &Ward,
    chart: &Chart<'_>,
    release: &Release,
) -> Result<Trial, Fault> {
    ward.want(release).await;
    let begun = Instant::now();
    let deadline = begun + chart.config.health.deadline;
    // Dropped, it asks no more.
    let mut asking = JoinSet::new();
    let mut elsewhere: Option<Instant> = None;
    loop {
        let have = ward.turn(release.id).await?;
        let seen = have.seen(release.id);
        if seen.crashes > 0 {
            return Ok(Trial::Down(Box::new(finding::does_not_start(seen.trouble))));
        }
        if let Some(instance) = have.of(release.id).find(|i| i.condition != Condition::Ended) {
            if asking.is_empty() {
                asking.spawn(answering(chart, instance.address, begun));
            }
            if instance.condition == Condition::Ready {
                let ready = begun.elapsed();
                let answered = timeout(GRACE, asking.join_next()).await;
                let answers = answered.ok().flatten().and_then(Result::ok);
                return Ok(Trial::Up(started(release.id, instance, (ready, answers))));
            }
            elsewhere =
                listens_elsewhere(ward, instance).then(|| elsewhere.unwrap_or(Instant::now()));
            if elsewhere.is_some_and(|since| since.elapsed() > ELSEWHERE) {
                let ports = ward.listening(instance);
                return Ok(Trial::Down(Box::new(finding::ignores_port(instance.address, &ports))));
            }
        }
        if Instant::now() > deadline {
            return Ok(Trial::Down(Box::new(never_ready(chart, &have, release.id))));
        }
        ward.changed(&have).await;
    }
}

fn started(
    release: ReleaseId,
    instance: &InstanceHave,
    (ready, answers): (Duration, Option<Duration>),
) -> Started {
    let (id, address) = (instance.id.clone(), instance.address);
    Started { release, id, address, pid: instance.pid.unwrap_or_default(), ready, answers }
}

/// Asks what users ask from now on, and says when the first good answer came.
fn answering(
    chart: &Chart<'_>,
    address: SocketAddr,
    begun: Instant,
) -> impl Future<Output = Duration> + use<> {
    let (host, path) = (chart.host(address), chart.config.rollout.preview_path.clone());
    async move {
        while !ask(address, &host, &path, GRACE).await.is_ok_and(|answer| answer.status < 400) {
            sleep(PACE).await;
        }
        begun.elapsed()
    }
}

fn listens_elsewhere(ward: &Ward, instance: &InstanceHave) -> bool {
    let found = ward.listening(instance);
    let reaches = |at: &SocketAddr| {
        at.port() == instance.address.port()
            && (at.ip() == instance.address.ip() || at.ip().is_unspecified())
    };
    !found.is_empty() && !found.iter().any(reaches)
}

fn never_ready(chart: &Chart<'_>, have: &FleetHave, release: ReleaseId) -> Finding {
    let trouble = have.of(release).flat_map(|instance| instance.trouble.iter().cloned());
    finding::never_ready(chart.config.health.deadline, trouble.collect())
}

/// Judges a start, then asks the instance what users ask.
pub(super) async fn asked(chart: &mut Chart<'_>, started: &Started) {
    let budget = budget(chart.config);
    if started.ready > budget / 2 {
        chart.find(finding::slow_start(started.ready, budget));
    }
    let asked = Asked::of(chart, started);
    (chart.say)(&format!("asking GET {} {QUESTIONS} times", asked.path));
    let failures = questions(&asked).await;
    chart.examined.measured.answers_ms = started.answers.map(ms).filter(|_| failures.is_empty());
    chart.well = failures.is_empty();
    match started.answers {
        _ if !failures.is_empty() => {
            chart.find(finding::answers_badly(&asked.path, (failures, QUESTIONS)));
        }
        Some(answers) if answers > started.ready + EARLY => {
            chart.find(finding::ready_too_early(started.ready, answers));
        }
        _ => {}
    }
}

/// How long a start may take in a deploy.
fn budget(config: &AppConfig) -> Duration {
    let deadline = config.health.deadline;
    match config.rollout.strategy {
        Strategy::Recreate { hold, .. } => deadline.min(hold / 2),
        _ => deadline,
    }
}

/// What went wrong, in words, with the class of each.
async fn questions(asked: &Asked) -> Vec<(Class, String)> {
    let mut failures = Vec::new();
    for _ in 0..QUESTIONS {
        match ask(asked.address, &asked.host, &asked.path, asked.limit).await {
            Ok(answer) if answer.status < 400 => {}
            Ok(answer) => {
                let words = format!("status {}: `{}`", answer.status, answer.body_head);
                let class =
                    if answer.status < 500 { Class::WrongContent } else { Class::BadStatus };
                failures.push((class, words));
            }
            Err(NoAnswer { class, words, .. }) => failures.push((class, words)),
        }
    }
    failures
}
