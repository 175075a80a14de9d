//! The client: requests as fast as they are answered, over every kind of connection.
//!
//! Lanes are tasks of one thread; each has one request under way. It repeats nothing: a request that
//! fails is counted as failed.

pub(crate) mod connection;
pub(crate) mod held;
pub(crate) mod paced;
mod streams;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Outcome;
use crate::cases::Case;
use connection::{Kept, Question};

/// Failed requests after which a lane gives up.
const FAILURES: u64 = 100;
/// Lanes must have ended this long after they were told to.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Without TLS.
    pub(crate) plain: SocketAddr,
    /// With TLS; not everybody has one.
    pub(crate) secure: Option<SocketAddr>,
    /// Knows the certificate and resumes no sessions.
    pub(crate) tls: Arc<ClientConfig>,
    /// What each of its clients sends as cookies.
    pub(crate) cookie: Arc<str>,
}

/// What lanes have done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: Cell<u64>,
    failed: Cell<u64>,
    stop: Cell<bool>,
}

impl Tally {
    /// One more, or one that failed. False when the lane is to end.
    fn note(&self, asked: &io::Result<()>) -> bool {
        let count = if asked.is_ok() { &self.done } else { &self.failed };
        count.set(count.get() + 1);
        !self.stop.get() && self.failed.get() < FAILURES
    }
}

/// What one window has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Requests answered.
    pub(crate) done: u64,
    /// Requests that failed, warming included.
    pub(crate) failed: u64,
    /// CPU time of the proxy, seconds.
    pub(crate) cpu: f64,
    /// How long it was, seconds.
    pub(crate) took: f64,
}

/// Asks for as long as the window is, after a third of that to warm up; `cpu` reads the proxy's clock.
pub(crate) async fn burst(
    target: &Target,
    case: Case,
    window: Duration,
    cpu: impl Fn() -> f64,
) -> Outcome<Window> {
    let tally = Rc::new(Tally::default());
    let mut lanes = JoinSet::new();
    for _ in 0..case.lanes().0 {
        let (target, tally) = (target.clone(), Rc::clone(&tally));
        lanes.spawn_local(async move { lane(&target, case, &tally).await });
    }
    sleep(window / 3).await;
    let (began, cpu_before, done_before) = (Instant::now(), cpu(), tally.done.get());
    sleep(window).await;
    let (took, cpu, done) = (began.elapsed(), cpu() - cpu_before, tally.done.get() - done_before);
    tally.stop.set(true);
    let all_end = async { while lanes.join_next().await.is_some() {} };
    if timeout(LAST_ANSWERS, all_end).await.is_err() {
        return Err(format!("{}: an answer never came", case.name()).into());
    }
    Ok(Window { done, failed: tally.failed.get(), cpu, took: took.as_secs_f64() })
}

async fn lane(target: &Target, case: Case, tally: &Rc<Tally>) {
    if case == Case::Http2 {
        return streams::lane(target, case.lanes().1, tally).await;
    }
    let question = question(target, case);
    let mut kept = None;
    loop {
        let asked = once(target, case, &question, &mut kept).await;
        if asked.is_err() {
            kept = None;
        }
        if !tally.note(&asked) {
            return;
        }
    }
}

/// What a case asks for.
fn question(target: &Target, case: Case) -> Question {
    match case {
        Case::Body => Question::large(target),
        Case::Fresh | Case::Handshake => Question::last(target),
        _ => Question::small(target),
    }
}

/// One request, on the kept connection or on one of its own.
async fn once(
    target: &Target,
    case: Case,
    question: &Question,
    kept: &mut Option<Kept>,
) -> io::Result<()> {
    match case {
        Case::Fresh => Kept::open(target).await?.ask(question).await,
        Case::Handshake => connection::ask_over_tls(target, question).await,
        _ => {
            if kept.is_none() {
                *kept = Some(Kept::open(target).await?);
            }
            match kept {
                Some(kept) => kept.ask(question).await,
                None => Ok(()),
            }
        }
    }
}
