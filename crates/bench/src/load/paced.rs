//! Requests at a fixed rate: how long answers take, from the moment at which they should have been asked
//! for.
//!
//! A request that is late because an earlier one was slow counts as slow too. How much can be asked at most
//! is not measured here, but by the bursts of `mod`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::streams::Open;
use super::{LAST_ANSWERS, Target, once, question};
use crate::Outcome;
use crate::cases::Case;

/// Two points of the distribution of latencies, and its failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Half took less, µs.
    pub(crate) p50: f64,
    /// All but one in a hundred took less, µs.
    pub(crate) p99: f64,
    /// How long after the last request the last answer came, as a share of the window: who does not keep up with the
    /// rate has a tail of work left.
    pub(crate) left: f64,
    /// Requests that failed.
    pub(crate) failed: u64,
}

type Times = Rc<RefCell<Vec<Option<Duration>>>>;

/// Asks at the fixed rate of the case, in turn on each of its connections.
pub(crate) async fn latency(target: &Target, case: Case, window: Duration) -> Outcome<Latency> {
    let times: Times = Rc::default();
    let mut lanes = JoinSet::new();
    let mut orders = Vec::new();
    for _ in 0..case.paced_lanes() {
        let (order, due) = unbounded_channel();
        orders.push(order);
        let (target, times) = (target.clone(), Rc::clone(&times));
        lanes.spawn_local(async move {
            if case == Case::Http2 {
                streams(target, due, times).await;
            } else {
                lane((target, case), due, times).await;
            }
        });
    }
    let began = Instant::now();
    let interval = Duration::from_secs(1) / case.rate();
    let mut next = began + interval;
    // A timer is too coarse; the thread is there for nothing else.
    for order in orders.iter().cycle() {
        while Instant::now() < next {
            yield_now().await;
        }
        if order.send(next).is_err() || began.elapsed() > window {
            break;
        }
        next += interval;
    }
    drop(orders);
    let all_end = async { while lanes.join_next().await.is_some() {} };
    if timeout(LAST_ANSWERS, all_end).await.is_err() {
        return Err(format!("{}, at a fixed rate: an answer never came", case.name()).into());
    }
    let left = next.elapsed().as_secs_f64() / window.as_secs_f64();
    summary(times.take(), left)
}

fn summary(mut all: Vec<Option<Duration>>, left: f64) -> Outcome<Latency> {
    // The first ones open connections.
    all.drain(..all.len() / 10);
    let mut good: Vec<f64> = all.iter().flatten().map(|time| time.as_secs_f64() * 1e6).collect();
    good.sort_by(f64::total_cmp);
    let at = |percent: usize| good.get(good.len() * percent / 100).copied();
    let (Some(p50), Some(p99)) = (at(50), at(99)) else { return Err("no answer at all".into()) };
    Ok(Latency { p50, p99, left, failed: (all.len() - good.len()) as u64 })
}

/// One request at a time.
async fn lane((target, case): (Target, Case), mut due: UnboundedReceiver<Instant>, times: Times) {
    let (mut kept, question) = (None, question(&target, case));
    while let Some(meant) = due.recv().await {
        let good = once(&target, case, &question, &mut kept).await.ok().map(|()| meant.elapsed());
        if good.is_none() {
            kept = None;
        }
        times.borrow_mut().push(good);
    }
}

/// As many at a time as are due, on one connection.
async fn streams(target: Target, mut due: UnboundedReceiver<Instant>, times: Times) {
    let (mut open, mut under_way) = (None, JoinSet::new());
    let broken = Rc::new(Cell::new(false));
    while let Some(meant) = due.recv().await {
        if broken.take() {
            open = None;
        }
        if open.is_none() {
            open = Open::new(&target).await.ok();
        }
        let Some(Open { client, .. }) = &open else {
            times.borrow_mut().push(None);
            continue;
        };
        let (client, times, broken) = (client.clone(), Rc::clone(&times), Rc::clone(&broken));
        under_way.spawn_local(async move {
            let good = client.ask().await.ok().map(|()| meant.elapsed());
            broken.set(broken.get() || good.is_none());
            times.borrow_mut().push(good);
        });
        // Those that have ended already are forgotten.
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}
