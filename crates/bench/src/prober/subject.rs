//! The prober as the subject: one run of it, the product's own code, in a process of its own.
//!
//! It is told what to do by one word of JSON and answers with its account, one line of JSON. Measures
//! nothing but its own CPU time.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Class, Lane};
use probe::{Options, Pace, Run, Stop, Target, Told};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::Outcome;
use crate::process::own_cpu;

/// The pace that nobody has to ask for, as it is on a machine of two cores or more. The prober of the bench is
/// bound to one of them, which it would take for the only one.
pub(crate) const USUAL: Pace = Pace::steady(2);

/// What one run is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) url: String,
    pub(crate) lane: Lane,
    /// Attempts a second.
    pub(crate) rate: u32,
    pub(crate) pace: Pace,
    /// Attempts.
    pub(crate) count: u64,
    pub(crate) timeout_ms: u64,
    /// An answer after this is late.
    pub(crate) late_ms: u64,
    /// Most attempts in flight.
    pub(crate) most: Option<u32>,
}

impl Order {
    /// A run on kept connections with limits that nothing meets, at the usual pace.
    pub(crate) fn plain(address: std::net::SocketAddr, rate: u32, count: u64) -> Self {
        Self {
            url: format!("http://{address}/"),
            lane: Lane::KeepAlive,
            rate,
            pace: USUAL,
            count,
            timeout_ms: 20_000,
            late_ms: 15_000,
            most: None,
        }
    }
}

/// What it says of the run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    /// CLOCK_MONOTONIC at microsecond 0, ns.
    pub(crate) t0_ns: u64,
    pub(crate) not_sent: u64,
    /// Attempts by class.
    pub(crate) classes: BTreeMap<Class, u64>,
    /// Of the attempts that were sent, each in order: when it was meant to be, us.
    pub(crate) intended_us: Vec<u64>,
    /// Time to the last byte, from the intended time, us.
    pub(crate) ttlb_us: Vec<u64>,
    /// When it saw nothing, us.
    pub(crate) blind_us: Vec<(u64, u64)>,
    /// Median, 99th percentile and largest of its lateness, in its own words, us.
    pub(crate) lateness_us: [u64; 3],
    /// CPU time of the process, s.
    pub(crate) cpu_s: f64,
}

/// Runs the order and prints the account.
pub(crate) fn run(order: &str) -> Outcome<()> {
    let order: Order = serde_json::from_str(order)?;
    let options = Options {
        pace: order.pace,
        lanes: vec![(order.lane, 1.0)],
        stop: Stop::Count(order.count),
        late_after: Duration::from_millis(order.late_ms),
        timeout: Duration::from_millis(order.timeout_ms),
        max_in_flight: order.most,
        ..Options::new(Target::parse(&order.url).map_err(|fault| fault.what)?, order.rate)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (_going, told) = watch::channel(Told::Go);
    let run = runtime.block_on(probe::run(options, told, None)).map_err(|fault| fault.what)?;
    println!("{}", serde_json::to_string(&account(&run, own_cpu()))?);
    Ok(())
}

fn account(run: &Run, cpu_s: f64) -> Account {
    let mut classes = BTreeMap::new();
    for attempt in &run.attempts {
        *classes.entry(attempt.class).or_default() += 1;
    }
    let mut sent: Vec<_> = run.attempts.iter().filter(|a| a.class != Class::NotSent).collect();
    sent.sort_by_key(|attempt| attempt.id);
    let footer = run.footer.clone().unwrap_or_default();
    Account {
        t0_ns: run.header.t0_mono_ns,
        not_sent: footer.not_sent,
        classes,
        intended_us: sent.iter().map(|attempt| attempt.intended_us).collect(),
        ttlb_us: sent.iter().map(|attempt| attempt.ttlb_us()).collect(),
        blind_us: run.blind.iter().map(|window| (window.from_us, window.to_us)).collect(),
        lateness_us: footer.lateness_us,
        cpu_s,
    }
}
