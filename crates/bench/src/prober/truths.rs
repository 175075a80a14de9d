//! What the prober must not get wrong, whatever the machine: every failure under its class, the quantiles
//! of a freeze, and its own standstill.
//!
//! How fast or how even it is does not belong here: that is measured in `paced`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use model::{Class, Lane};
use rustix::process::Signal;
use tokio::net::TcpSocket;

use super::arrival::monotonic_ns;
use super::echoes::Echoes;
use super::figures::{frozen_quantile, quantile};
use super::place::Place;
use super::script::Script;
use super::subject::{Account, Order};
use super::truth::Truth;
use crate::Outcome;

/// Attempts a second against the scripts of faults.
const RATE: u32 = 200;

/// Counts of one lane against what was played to it.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// What was done.
    pub(crate) story: &'static str,
    /// Class, as it must be, as it was counted. Zeros are left out.
    pub(crate) classes: Vec<(Class, u64, u64)>,
}

impl Counts {
    fn of(story: &'static str, wanted: &BTreeMap<Class, u64>, account: &Account) -> Self {
        let of = |all: &BTreeMap<Class, u64>, class| all.get(&class).copied().unwrap_or(0);
        let row = |class| (class, of(wanted, class), of(&account.classes, class));
        let rows = Class::ALL.into_iter().map(row);
        Self { story, classes: rows.filter(|(_, wanted, is)| wanted + is > 0).collect() }
    }

    /// Attempts under a wrong class, or missing.
    pub(crate) fn wrong(&self) -> u64 {
        self.classes.iter().map(|(_, wanted, is)| wanted.abs_diff(*is)).sum::<u64>().div_ceil(2)
    }
}

/// Every failure of every class, played and counted; all stories at the same time.
pub(crate) fn faults(place: &Place, count: u64) -> Outcome<Vec<Counts>> {
    type Story<'a> = &'a (dyn Fn() -> Outcome<Counts> + Sync);
    let lane = |lane, story| scripted(place, lane, story, count);
    let stories: [Story<'_>; 5] = [
        &|| lane(Lane::KeepAlive, "kept connections, every second request spoilt"),
        &|| lane(Lane::Fresh, "fresh connections, every second request spoilt"),
        &|| refused(place),
        &|| not_sent(place),
        &|| dropped(place),
    ];
    std::thread::scope(|scope| {
        // Errors cross threads as words.
        let told = |story: Story<'_>| story().map_err(|error| error.to_string());
        let running = stories.map(|story| scope.spawn(move || told(story)));
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.map(|counts| Ok(counts.map_err(|_| "a story broke down")??)).collect()
    })
}

fn scripted(place: &Place, lane: Lane, story: &'static str, count: u64) -> Outcome<Counts> {
    let script = Script::Faults(Duration::from_millis(1_750));
    let server = Truth::start(script, place.cores.load)?;
    let order = Order {
        lane,
        late_ms: 1_000,
        timeout_ms: 2_500,
        ..Order::plain(server.address, RATE, count)
    };
    let account = place.probe(&order)?.account()?;
    // What the prober says it did not send must not have come, and all else must.
    let mut wanted = BTreeMap::from([(Class::NotSent, account.not_sent)]);
    for number in 0..server.count() as u64 {
        *wanted.entry(script.class(number)).or_default() += 1;
    }
    Ok(Counts::of(story, &wanted, &account))
}

/// Nobody listens.
fn refused(place: &Place) -> Outcome<Counts> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let order = Order::plain(socket.local_addr()?, RATE, 40);
    let account = place.probe(&order)?.account()?;
    let sent = 40 - account.not_sent;
    let wanted = BTreeMap::from([(Class::Refused, sent), (Class::NotSent, account.not_sent)]);
    Ok(Counts::of("nobody listens", &wanted, &account))
}

/// More are asked for than may be in flight.
fn not_sent(place: &Place) -> Outcome<Counts> {
    let server = Truth::start(Script::Hang, place.cores.load)?;
    let order =
        Order { most: Some(5), timeout_ms: 2_000, ..Order::plain(server.address, RATE, 40) };
    let account = place.probe(&order)?.account()?;
    let wanted = BTreeMap::from([(Class::Timeout, 5), (Class::NotSent, 35)]);
    Ok(Counts::of("no answer at all, five in flight at most", &wanted, &account))
}

/// Sockets end without a word.
fn dropped(place: &Place) -> Outcome<Counts> {
    let server = Echoes::start()?;
    let order = Order { lane: Lane::Websocket, ..Order::plain(server.address, 40, 48) };
    let account = place.probe(&order)?.account()?;
    let (messages, dropped) = server.count();
    let wanted = BTreeMap::from([
        (Class::Ok, messages - dropped),
        (Class::WsDropped, dropped),
        (Class::NotSent, account.not_sent),
    ]);
    Ok(Counts::of("every eighth message ends its WebSocket", &wanted, &account))
}

/// What a server that stood still has shown.
#[derive(Clone, Debug)]
pub(crate) struct Freeze {
    /// How long it stood still, s.
    pub(crate) frozen_s: f64,
    /// Quantile, what it must be and what it was, s.
    pub(crate) quantiles: Vec<(f64, f64, f64)>,
}

impl Freeze {
    /// The largest error, as a share of the freeze.
    pub(crate) fn error(&self) -> f64 {
        let apart = |(_, wanted, is): &(f64, f64, f64)| (wanted - is).abs() / self.frozen_s;
        self.quantiles.iter().map(apart).fold(0.0, f64::max)
    }
}

/// The server stands still for `lasts` of ten times that.
pub(crate) fn freeze(place: &Place, lasts: Duration) -> Outcome<Freeze> {
    let count = 10 * u64::from(RATE) * lasts.as_secs();
    let server = Truth::start(Script::Freeze(count / 2, lasts), place.cores.load)?;
    let account = place.probe(&Order::plain(server.address, RATE, count))?.account()?;
    let (from_ns, to_ns) = server.seen().frozen_ns.ok_or("the server did not stand still")?;
    let frozen_s = (to_ns - from_ns) as f64 / 1e9;
    let length = account.ttlb_us.len() as f64 / f64::from(RATE);
    let mut all: Vec<f64> = account.ttlb_us.iter().map(|us| *us as f64 / 1e6).collect();
    all.sort_by(f64::total_cmp);
    let at = |per_mille: usize| {
        let p = per_mille as f64 / 1e3;
        Some((p, frozen_quantile(p, frozen_s, length)?, quantile(&all, per_mille)))
    };
    let quantiles = [920, 940, 950, 960, 980, 990, 999].into_iter().filter_map(at).collect();
    Ok(Freeze { frozen_s, quantiles })
}

/// What a prober that was stopped says.
#[derive(Clone, Debug)]
pub(crate) struct Standstill {
    /// For how long it was stopped, ms.
    pub(crate) stopped_ms: f64,
    /// For how long it says it saw nothing in that time, ms.
    pub(crate) said_ms: f64,
    /// Attempts it blames on the server.
    pub(crate) blamed: u64,
}

/// Stops the prober for 200 ms in the middle of a run.
pub(crate) fn standstill(place: &Place) -> Outcome<Standstill> {
    let server = Truth::start(Script::Answer, place.cores.load)?;
    let mut subject = place.probe(&Order::plain(server.address, RATE, u64::from(RATE)))?;
    subject.until(|| server.count() >= RATE as usize / 4)?;
    let from_ns = monotonic_ns();
    subject.signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(200));
    subject.signal(Signal::CONT)?;
    let to_ns = monotonic_ns();
    let account = subject.account()?;
    let within = |(from, to): &(u64, u64)| {
        let (from, to) = (account.t0_ns + from * 1_000, account.t0_ns + to * 1_000);
        to.min(to_ns).saturating_sub(from.max(from_ns))
    };
    let said: u64 = account.blind_us.iter().map(within).sum();
    let fine = [Class::Ok, Class::NotSent].map(|class| account.classes.get(&class).unwrap_or(&0));
    let all: u64 = account.classes.values().sum();
    Ok(Standstill {
        stopped_ms: (to_ns - from_ns) as f64 / 1e6,
        said_ms: said as f64 / 1e6,
        blamed: all - fine.into_iter().sum::<u64>(),
    })
}
