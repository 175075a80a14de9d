//! SIGTERM with requests in flight: are they answered, does it end in time, whom does it turn away, and does its
//! health check say so?
//!
//! A deploy tells an instance to end when nothing is open on it any more, so this is harder than what a
//! deploy does; it is what happens when a drain reaches its deadline, and behind routers that learn late.
//! The words for what was found are in `finding`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drivers::check::{Kept, NoAnswer, ask};
use drivers::platform::Condition;
use model::{Class, Fault};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::finding;
use super::start::Started;
use super::ward::Ward;
use super::{Asked, Chart, ms};

/// Connections on which requests follow each other.
const CONNECTIONS: usize = 32;
/// Of those, this many ask for the slow path, where there is one.
const SLOW: usize = 4;
/// For so long they ask before the signal.
const WARM_UP: Duration = Duration::from_millis(250);
/// For so long connections that the app leaves open are used after the signal.
const ASK_ON: Duration = Duration::from_secs(1);
/// Fewer requests that were sent after the signal may have crossed the close of an idle connection.
const CROSSED: usize = CONNECTIONS / 4;
/// Pause between two newcomers after the signal.
const NEWCOMERS: Duration = Duration::from_millis(20);
/// Pause between two questions for its health after the signal.
const READINESS: Duration = Duration::from_millis(100);
/// How long a newcomer's answer is waited for.
const NEWCOMER_LIMIT: Duration = Duration::from_secs(1);
/// One that lives on for so long while it refuses connections refuses them early.
const REFUSES_EARLY: Duration = Duration::from_millis(500);

/// What those who ask must know.
#[derive(Debug, Default)]
struct Signs {
    /// The app was told to end: nobody opens a new connection.
    told: AtomicBool,
    /// Nobody asks any more.
    over: AtomicBool,
}

/// One request.
struct Sent {
    /// When the app's side had it.
    at: Instant,
    /// When its answer was whole, or it was clear that there is none.
    over: Instant,
    failure: Option<NoAnswer>,
}

/// Somebody who came after the signal.
struct Newcomer {
    at: Instant,
    /// Status, or why there was none.
    answer: Result<u16, NoAnswer>,
}

/// What happened after the signal.
struct Course {
    told: Instant,
    /// When it had ended; `None`: it had not within its time.
    ended: Option<Instant>,
    sent: Vec<Sent>,
    /// Requests of before the signal that were still open when its time was over.
    open: usize,
    newcomers: Vec<Newcomer>,
    /// When its health check was last seen to pass; `None` where it failed after the signal, or nobody asked.
    ready: Option<Instant>,
}

/// Tells the instance to end while requests are in flight, watches, and puts it on the chart.
pub(super) async fn end(ward: &Ward, chart: &mut Chart<'_>, started: Started) -> Result<(), Fault> {
    let asked = Arc::new(Asked::of(chart, &started));
    let slow = chart.slow_path.map(str::to_owned);
    let limit = chart.config.stop_timeout;
    (chart.say)("sending it SIGTERM with requests in flight");
    // From here on it is told and watched by us alone: it ends once, and nobody starts it again.
    ward.let_be(started.release).await;
    let signs = Arc::new(Signs::default());
    let mut asking = JoinSet::new();
    for number in 0..CONNECTIONS {
        let path = slow.clone().filter(|_| number < SLOW).unwrap_or_else(|| asked.path.clone());
        let patience = if slow.is_some() { limit + asked.limit } else { asked.limit };
        asking.spawn(stream(Arc::clone(&asked), path, patience, Arc::clone(&signs)));
    }
    sleep(WARM_UP).await;
    let told = Instant::now();
    signal(started.pid)?;
    signs.told.store(true, Ordering::Relaxed);
    let asked_on = async {
        sleep(ASK_ON.min(limit / 2)).await;
        signs.over.store(true, Ordering::Relaxed);
    };
    let health = chart.config.health.path.as_deref();
    let ((), ended, newcomers, ready) = tokio::join!(
        asked_on,
        watched(ward, &started, told + limit),
        newcomers(&asked, told, told + limit),
        still_ready(&asked, health, told)
    );
    let ended = ended?;
    let (sent, open) = gathered(asking).await;
    judge(chart, &Course { told, ended, sent, open, newcomers, ready });
    Ok(())
}

/// One request after the other on one connection, a new one when the app ends it. After the signal the
/// connection is used as long as the app leaves it open, as a router would that has not heard of it.
async fn stream(asked: Arc<Asked>, path: String, limit: Duration, signs: Arc<Signs>) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut kept = None;
    while !signs.over.load(Ordering::Relaxed) {
        let opened = match kept.take() {
            Some(kept) => Ok(kept),
            None if signs.told.load(Ordering::Relaxed) => break,
            None => Kept::open(asked.address, &asked.host, limit).await,
        };
        let Ok(mut connection) = opened else { break };
        if connection.send(&path).await.is_err() {
            // It was closed while it was idle: nothing was sent.
            continue;
        }
        let at = Instant::now();
        let received = connection.receive(limit).await;
        let failure = match received {
            Ok((_, next)) => {
                kept = next;
                None
            }
            Err(failure) => Some(failure),
        };
        sent.push(Sent { at, over: Instant::now(), failure });
    }
    sent
}

/// All requests that are over, and how many connections still wait for an answer.
async fn gathered(mut asking: JoinSet<Vec<Sent>>) -> (Vec<Sent>, usize) {
    let mut sent = Vec::new();
    let done = async {
        while let Some(one) = asking.join_next().await {
            sent.extend(one.unwrap_or_default());
        }
    };
    // Whoever has an answer has it by now; the rest waits for an app that does not end.
    let _late = tokio::time::timeout(NEWCOMERS, done).await;
    (sent, asking.len())
}

/// When the instance, with all that it started, had ended.
async fn watched(
    ward: &Ward,
    started: &Started,
    deadline: Instant,
) -> Result<Option<Instant>, Fault> {
    while Instant::now() < deadline {
        let have = ward.look().await?;
        let mut instances = have.of(started.release);
        let lives = |i: &drivers::platform::InstanceHave| {
            i.id == started.id && (i.condition != Condition::Ended || i.left_behind)
        };
        if !instances.any(lives) {
            return Ok(Some(Instant::now()));
        }
        ward.changed(&have).await;
    }
    Ok(None)
}

/// Comes anew, again and again, until nobody is there any more.
async fn newcomers(asked: &Asked, told: Instant, deadline: Instant) -> Vec<Newcomer> {
    let mut came = Vec::new();
    while Instant::now() < deadline {
        sleep(NEWCOMERS).await;
        let at = Instant::now();
        let answer = ask(asked.address, &asked.host, &asked.path, NEWCOMER_LIMIT).await;
        let refused = matches!(&answer, Err(none) if none.class == Class::Refused);
        came.push(Newcomer { at, answer: answer.map(|answer| answer.status) });
        if refused || told.elapsed() > WARM_UP {
            // A server that waits for a pause would wait for us.
            break;
        }
    }
    came
}

/// Asks the health path for a moment after the signal; answers when it last passed, unless it ever failed.
async fn still_ready(asked: &Asked, path: Option<&str>, told: Instant) -> Option<Instant> {
    let path = path?;
    let mut passed = None;
    while told.elapsed() < REFUSES_EARLY {
        sleep(READINESS).await;
        let answer = ask(asked.address, &asked.host, path, NEWCOMER_LIMIT).await;
        let well = answer.is_ok_and(|answer| (200..300).contains(&answer.status));
        passed = well.then(Instant::now);
        passed?;
    }
    passed
}

/// One that lives on after the signal, and looks as if nothing were.
fn found_ready(chart: &mut Chart<'_>, course: &Course) {
    let (told, ended) = (course.told, course.ended);
    // That it does not end at all, or that its check says nothing of requests, is found elsewhere.
    let worse = !chart.well || ended.is_none() && course.open == 0;
    if let Some(last) =
        course.ready.filter(|last| !worse && ended.is_none_or(|ended| ended >= *last))
    {
        chart.find(finding::ready_to_the_end(last - told, ended.map(|at| at - told)));
    }
}

fn judge(chart: &mut Chart<'_>, course: &Course) {
    let Course { told, ended, sent, open, newcomers, .. } = course;
    let ended_after: Vec<&Sent> = sent.iter().filter(|one| one.over > *told).collect();
    let lost: Vec<&NoAnswer> = ended_after.iter().filter_map(|one| one.failure.as_ref()).collect();
    let crossing: Vec<&&Sent> = ended_after.iter().filter(|one| one.at < *told).collect();
    let cut = crossing.iter().filter(|one| one.failure.is_some()).count();
    let in_flight = crossing.len() + open;
    let measured = &mut chart.examined.measured;
    (measured.in_flight, measured.answered) = (in_flight, crossing.len() - cut);
    measured.ended_ms = ended.map(|at| ms(at - *told));
    let limit = chart.config.stop_timeout;
    match ended {
        None if *open > 0 => chart.find(finding::stop_timeout_too_short(limit, *open)),
        None => chart.find(finding::ignores_sigterm(limit, &chart.config.command)),
        Some(at) if cut > 0 || lost.len() >= CROSSED => {
            let of = ended_after.len();
            let (after, words) = (*at - *told, &lost[0].words);
            chart.find(finding::cuts_at_sigterm((lost.len(), of), after, words));
        }
        Some(_) => {}
    }
    if in_flight == 0 {
        chart.not_tried("SIGTERM with a request in flight: answers come too fast; name a slow one with --slow-path");
    }
    found_ready(chart, course);
    let turned_away = newcomers.iter().filter_map(|one| one.answer.as_ref().ok());
    if let Some(status) = turned_away.copied().find(|status| chart.well && *status >= 500) {
        return chart.find(finding::turns_away(status));
    }
    let refused = newcomers.iter().find(|one| {
        matches!(&one.answer, Err(none) if none.class == Class::Refused)
            && ended.is_none_or(|ended| ended > one.at + REFUSES_EARLY)
    });
    if let Some(refused) = refused {
        chart.find(finding::refuses_early(refused.at - *told, ended.map(|at| at - *told)));
    }
}

/// SIGTERM to the group that the platform made for the instance, as the platform sends it.
fn signal(pid: u32) -> Result<(), Fault> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Fault::internal("the instance has no process"))?;
    match kill_process_group(pid, Signal::TERM) {
        // It has ended by itself: what is lost shows it.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Fault::environment(format!("pid {pid:?} cannot be signalled: {error}"))),
    }
}
