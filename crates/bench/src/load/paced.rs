//! Requests at a fixed rate: how long answers take, from the moment at which they should have been asked
//! for.
//!
//! A request that is late because an earlier one was slow counts as slow too. How much can be asked at most
//! is not measured here, but by the bursts of `mod`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, yield_now};

use super::Target;
use super::connection::{Kept, Question};
use crate::Outcome;
use crate::cases::{Case, RATE};

/// Two points of the distribution of latencies, and its failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Half took less, µs.
    pub(crate) p50: f64,
    /// All but one in a hundred took less, µs.
    pub(crate) p99: f64,
    /// Requests that failed.
    pub(crate) failed: u64,
}

type Times = Rc<RefCell<Vec<Option<Duration>>>>;

/// Asks at the fixed rate, in turn on each of the connections.
pub(crate) async fn latency(target: &Target, window: Duration) -> Outcome<Latency> {
    let times: Times = Rc::default();
    let mut lanes = JoinSet::new();
    let mut orders = Vec::new();
    for _ in 0..Case::Latency.lanes().0 {
        let (order, due) = unbounded_channel();
        orders.push(order);
        lanes.spawn_local(lane(target.clone(), due, Rc::clone(&times)));
    }
    let began = Instant::now();
    let interval = Duration::from_secs(1) / RATE;
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
    while lanes.join_next().await.is_some() {}
    let mut all: Vec<Option<Duration>> = times.take();
    // The first ones open connections.
    all.drain(..all.len() / 10);
    let mut good: Vec<f64> = all.iter().flatten().map(|time| time.as_secs_f64() * 1e6).collect();
    good.sort_by(f64::total_cmp);
    let at = |percent: usize| good.get(good.len() * percent / 100).copied();
    let (Some(p50), Some(p99)) = (at(50), at(99)) else { return Err("no answer at all".into()) };
    Ok(Latency { p50, p99, failed: (all.len() - good.len()) as u64 })
}

async fn lane(target: Target, mut due: UnboundedReceiver<Instant>, times: Times) {
    let (mut kept, small) = (None, Question::small(&target));
    while let Some(meant) = due.recv().await {
        let asked = async {
            if kept.is_none() {
                kept = Some(Kept::open(&target).await.ok()?);
            }
            kept.as_mut()?.ask(&small).await.ok()
        };
        let good = asked.await.map(|()| meant.elapsed());
        if good.is_none() {
            kept = None;
        }
        times.borrow_mut().push(good);
    }
}
