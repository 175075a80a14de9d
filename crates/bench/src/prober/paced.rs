//! The prober at a rate, as the server of truth saw it: rate, lateness, evenness, CPU time, memory.
//!
//! The first tenth, in which connections are opened, is left out.

use std::time::{Duration, Instant};

use model::Class;
use probe::Pace;

use super::alone::Away;
use super::figures::{bin_ns, dispersion, error_ppm, rate, three};
use super::memory::growth;
use super::place::Place;
use super::subject::{Account, Order, USUAL};
use super::truth::Truth;
use crate::Outcome;
use crate::cores::stolen;

/// Fewest attempts that are left out at the beginning.
const WARM: usize = 16;
/// A rate is sustained when it is met as well as this, parts per million,
const SUSTAINED_PPM: f64 = 1_000.0;
/// and no send of a hundred is later than this, µs.
const SUSTAINED_US: f64 = 10_000.0;
/// Rates that are tried for the highest.
const LADDER: [u32; 12] =
    [2_000, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000];

/// What one rate has shown.
#[derive(Clone, Debug)]
pub(crate) struct Paced {
    /// Attempts a second, as asked for.
    pub(crate) asked: u32,
    pub(crate) pace: Pace,
    /// How far the rate was off, parts per million.
    pub(crate) error_ppm: f64,
    /// Arrival at the server less intended time, the way there included: p50, p99, largest, µs.
    pub(crate) late_us: [f64; 3],
    /// The same lateness in the prober's own words (until it takes an attempt up).
    pub(crate) own_us: [u64; 3],
    /// Variance to mean of arrivals in bins of a millisecond or an interval.
    pub(crate) dispersion: f64,
    /// CPU time per request, µs.
    pub(crate) cpu_us: f64,
    /// Growth of its memory for each attempt recorded, bytes; not of short runs.
    pub(crate) bytes: Option<f64>,
    /// Sent, failed, not sent.
    pub(crate) counts: [u64; 3],
    /// Times in which it saw nothing.
    pub(crate) blind: usize,
    /// Who had its core; and what the host took of the server's, ms in each second.
    pub(crate) away: Away,
    pub(crate) server_away: f64,
}

impl Paced {
    /// True when the prober keeps this up.
    fn sustained(&self) -> bool {
        self.counts[1] == 0
            && self.counts[2] == 0
            && self.error_ppm.abs() <= SUSTAINED_PPM
            && self.late_us[1] <= SUSTAINED_US
    }
}

/// Measures one rate at one pace.
pub(crate) fn paced(place: &Place, (asked, at): (u32, Pace), window: Duration) -> Outcome<Paced> {
    let server = Truth::awake(place.cores)?;
    let count = (f64::from(asked) * window.as_secs_f64()).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and small"
    )]
    let count = (count as u64).max(4 * WARM as u64);
    let mut subject =
        place.probe(&Order { pace: at, ..Order::plain(server.address, asked, count) })?;
    let (began, taken) = (Instant::now(), host(place));
    let bytes = growth(&mut subject, &server, count)?;
    let (lasted_s, now_taken) = (began.elapsed().as_secs_f64(), host(place));
    let away = Away::of(lasted_s, subject.waited_s(), now_taken[0] - taken[0]);
    let server_away = Away::of(lasted_s, 0.0, now_taken[1] - taken[1]).host;
    let account = subject.account()?;
    let judged = judge((asked, at), &account, &server.seen().received_ns)?;
    Ok(Paced { bytes, away, server_away, ..judged })
}

/// What the host has taken so far of the prober's core and of the server's, s.
fn host(place: &Place) -> [f64; 2] {
    [place.cores.proxy, place.cores.load].map(stolen)
}

/// The highest rate of the ladder that is kept up, and what it has shown.
pub(crate) fn highest(place: &Place, window: Duration) -> Outcome<Option<Paced>> {
    let mut best = None;
    for asked in LADDER {
        eprintln!("highest rate: {asked}/s");
        // One disturbance of the machine is not the prober's limit.
        let mut tries = (0..2).map(|_| paced(place, (asked, USUAL), window));
        match tries.find(|tried| tried.as_ref().is_ok_and(Paced::sustained)) {
            Some(kept_up) => best = Some(kept_up?),
            None => break,
        }
    }
    Ok(best)
}

fn judge((asked, pace): (u32, Pace), account: &Account, received: &[u64]) -> Outcome<Paced> {
    let sent = account.intended_us.len();
    let of = |class| account.classes.get(&class).copied().unwrap_or(0);
    if received.len() != sent {
        return Err(format!("{sent} were sent and {} arrived", received.len()).into());
    }
    let warm = (sent / 10).max(WARM);
    let mut arrived = received.to_vec();
    arrived.sort_unstable();
    let pairs = arrived.iter().zip(&account.intended_us).skip(warm);
    let late = pairs.map(|(arrived, intended_us)| {
        let intended_ns = account.t0_ns + intended_us * 1_000;
        (arrived.saturating_sub(intended_ns)) as f64 / 1e3
    });
    let late_us = three(late.collect());
    let kept = arrived.get(warm..).unwrap_or_default();
    let (Some(rate), Some(dispersion)) = (rate(kept), dispersion(kept, bin_ns(asked))) else {
        return Err("too few requests arrived".into());
    };
    Ok(Paced {
        asked,
        pace,
        error_ppm: error_ppm(rate, f64::from(asked)),
        late_us,
        own_us: account.lateness_us,
        dispersion,
        cpu_us: account.cpu_s / sent as f64 * 1e6,
        bytes: None,
        counts: [sent as u64, sent as u64 - of(Class::Ok), account.not_sent],
        blind: account.blind_us.len(),
        away: Away::default(),
        server_away: 0.0,
    })
}
