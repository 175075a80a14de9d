//! What stands between the routes the proxy carries and those it should. Pure.
//!
//! The proxy swaps the routes of an app in one step, so there is one change or none, and nothing to wait
//! for. Beside it there may be proxies that are being replaced: when the routes are right here, each that
//! carries others is told once more. Nobody is spoken to here.

use std::fmt::Write as _;

use model::admin::AppSeen;
use model::{AppName, Change, Fault, Generation, Hold, Kind, Plan, PoolState, Routes, Rule};
use serde::{Deserialize, Serialize};

use crate::router::driver::RoutesHave;

/// What a change does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Replaces the routes; the proxy itself refuses when it carries another generation.
    Publish {
        /// The generation that is replaced; 0 when the app is not carried.
        expected: Generation,
        /// The new routes.
        routes: Box<Routes>,
    },
    /// Forgets the app.
    Withdraw {
        /// The app.
        app: AppName,
    },
    /// Tells a proxy that is being replaced once more.
    CatchUp {
        /// The app.
        app: AppName,
        /// What holds at the other one; `None` when the app is not carried.
        routes: Option<Box<Routes>>,
        /// Who, and what it carries.
        late: Late,
    },
}

/// A proxy beside the one that is driven, where other routes of an app are in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Late {
    /// Its process.
    pub(super) pid: u32,
    /// Of what it carries; 0 when that is nothing.
    pub(super) generation: Generation,
}

impl Late {
    /// Holds what one carries against the routes that are to hold. Only what says where requests may go is
    /// compared: an older version may not know all the rest, and would be late for ever.
    pub(super) fn of(pid: u32, routes: Option<&Routes>, there: Option<&AppSeen>) -> Option<Self> {
        let there = there.map(|seen| &seen.routes);
        let same = match (routes, there) {
            (Some(routes), Some(there)) => same_way(routes, there),
            (routes, there) => routes.is_none() && there.is_none(),
        };
        let generation = there.map(|there| there.generation).unwrap_or_default();
        (!same).then_some(Self { pid, generation })
    }
}

/// True when both send the same requests to the same instances.
fn same_way(one: &Routes, other: &Routes) -> bool {
    (&one.hosts, &one.path_prefix) == (&other.hosts, &other.path_prefix)
        && one.pools == other.pools
        && one.rules == other.rules
        && one.hold.is_some() == other.hold.is_some()
        && one.hand_over == other.hand_over
}

impl Step {
    /// Reads it back.
    pub(super) fn read(change: &Change) -> Result<Self, Fault> {
        let read: Result<Self, _> = serde_json::from_value(change.payload.clone());
        let step = read.map_err(|error| {
            let what = format!("the change `{}` is none of the proxy's driver", change.words);
            Fault::internal(format!("{what}: {error}"))
        })?;
        match &step {
            Self::Publish { expected, .. } if expectation(*expected) != change.expected_before => {
                Err(Fault::internal(format!("the change `{}` contradicts itself", change.words)))
            }
            _ => Ok(step),
        }
    }
}

/// Plans for one app.
pub(super) fn plan(want: Option<&Routes>, have: &RoutesHave) -> Plan {
    let expected = generation(have);
    let (words, step) = match (want, &have.routes) {
        (None, None) => return catch_up(have),
        (Some(want), Some(there)) if want.same_as(there) => return catch_up(have),
        (None, Some(_)) => {
            (format!("withdraw {}", have.app), Step::Withdraw { app: have.app.clone() })
        }
        (Some(want), _) => {
            let next = Generation(expected.0.saturating_add(1));
            let routes = Routes { generation: next, ..want.clone() };
            (in_words(&routes), Step::Publish { expected, routes: Box::new(routes) })
        }
    };
    let payload = serde_json::to_value(&step).unwrap_or_default();
    let change = Change { words, expected_before: expectation(expected), payload };
    Plan { changes: vec![change], waiting: Vec::new() }
}

/// The routes are right here, and not everywhere.
fn catch_up(have: &RoutesHave) -> Plan {
    let one = |late: Late| {
        let routes = have.routes.clone().map(Box::new);
        let what = match &routes {
            Some(routes) => in_words(routes),
            None => format!("withdraw {}", have.app),
        };
        let step = Step::CatchUp { app: have.app.clone(), routes, late };
        let payload = serde_json::to_value(&step).unwrap_or_default();
        let words = format!("have the proxy that is being replaced (pid {}) {what}", late.pid);
        Change { words, expected_before: expectation(late.generation), payload }
    };
    Plan { changes: late(have).into_iter().map(one).collect(), waiting: Vec::new() }
}

/// Who is late, as the look said.
pub(super) fn late(have: &RoutesHave) -> Vec<Late> {
    serde_json::from_value(have.detail.clone()).unwrap_or_default()
}

/// Refuses when the proxy no longer carries what the change relies on.
pub(super) fn still_holds(change: &Change, have: &RoutesHave) -> Result<(), Fault> {
    let actual = expectation(generation(have));
    if change.expected_before == actual {
        return Ok(());
    }
    let what =
        format!("`{}` was not done: the routes have changed since it was planned", change.words);
    let why = format!("expected `{}`, found `{actual}`", change.expected_before);
    Err(Fault::new(Kind::Conflict, what).note(why).help("look and plan again"))
}

fn generation(have: &RoutesHave) -> Generation {
    have.routes.as_ref().map_or_else(Generation::default, |routes| routes.generation)
}

fn expectation(generation: Generation) -> String {
    format!("generation {}", generation.0)
}

fn in_words(routes: &Routes) -> String {
    let mut words = format!("route {} (generation {}):", routes.app, routes.generation.0);
    for (i, pool) in routes.pools.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let version = &pool.version;
        let n = pool.instances.len();
        let share = match pool.state {
            PoolState::Serving => pool.weight.to_string(),
            PoolState::Retiring => "retiring".to_owned(),
        };
        // Writing to a string cannot fail.
        let _written = write!(words, "{comma} {version} {share} on {n}");
    }
    for Rule { mark, release } in &routes.rules {
        // Writing to a string cannot fail.
        let _written = write!(words, "; {mark} to release {}", release.0);
    }
    if let Some(hold) = &routes.hold {
        let Hold { wait_ms, requests, .. } = hold;
        // Writing to a string cannot fail.
        let _written = write!(words, " held: up to {requests} requests for {wait_ms} ms");
    } else if routes.pools.is_empty() {
        words.push_str(" nowhere");
    }
    words
}
