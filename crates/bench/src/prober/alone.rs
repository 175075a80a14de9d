//! The machine alone: a bare loop that wakes at a rate, on the prober's core and between its runs, with no
//! prober and no socket. What it is late by, nobody on this machine can do better.
//!
//! The server of truth is awake on the other core meanwhile, as in the runs of the prober, and nobody asks it: whoever
//! else is on the machine is then driven to the prober's core, and the host of a virtual machine has as much to give.
//! It tells whose lateness it is that a run has shown, and it measures no prober.

use std::process::Command;
use std::time::Duration;

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec};
use serde::{Deserialize, Serialize};

use super::arrival::monotonic_ns;
use super::figures::{bin_ns, dispersion, three};
use super::place::Place;
use super::truth::Truth;
use crate::Outcome;
use crate::cores::stolen;
use crate::process::waited;

const NS_PER_S: u64 = 1_000_000_000;

/// Fewest wakes of a run.
const FEWEST: u64 = 32;

/// How the loop waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Loop {
    /// In the kernel, until the absolute time of the next wake.
    Asleep,
    /// By reading the clock.
    Awake,
}

/// What the loop is to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) kind: Loop,
    /// Wakes a second.
    rate: u32,
    count: u64,
}

/// What it says of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Woken {
    /// How late each wake was, ns.
    pub(crate) late_ns: Vec<u64>,
    /// Variance to mean of the wakes, in bins as long as those of the prober's sends.
    pub(crate) dispersion: f64,
    /// How long it lasted, could have run while others did, and had its core taken by the host, s.
    pub(crate) away_s: [f64; 3],
}

/// Who had the core when it was wanted, ms in each second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Away {
    /// Others on the machine.
    pub(crate) others: f64,
    /// The host; all the time of the core counts, also when nobody wanted it.
    pub(crate) host: f64,
}

impl Away {
    /// Of so many seconds.
    pub(crate) fn of(lasted_s: f64, others_s: f64, host_s: f64) -> Self {
        let each = |seconds: f64| seconds * 1e3 / lasted_s.max(f64::MIN_POSITIVE);
        Self { others: each(others_s), host: each(host_s) }
    }
}

/// What the machine has shown at one rate by one kind of loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    /// p50, p99 and largest, µs.
    pub(crate) late_us: [f64; 3],
    pub(crate) dispersion: f64,
    pub(crate) away: Away,
}

/// The machine alone at one rate, over all its turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone {
    /// Attempts a second, of the prober's runs around it.
    pub(crate) asked: u32,
    pub(crate) asleep: Bare,
    pub(crate) awake: Bare,
}

impl Alone {
    /// Puts the turns together.
    pub(crate) fn of(asked: u32, turns: &[(Loop, Woken)]) -> Self {
        let bare = |kind| {
            let own = || turns.iter().filter(|turn| turn.0 == kind).map(|turn| &turn.1);
            let late = own().flat_map(|woken| woken.late_ns.iter().map(|ns| *ns as f64 / 1e3));
            let spread: f64 = own().map(|woken| woken.dispersion).sum();
            let away = |part: usize| own().map(|woken| woken.away_s[part]).sum::<f64>();
            Bare {
                late_us: three(late.collect()),
                dispersion: spread / own().count().max(1) as f64,
                away: Away::of(away(0), away(1), away(2)),
            }
        };
        Self { asked, asleep: bare(Loop::Asleep), awake: bare(Loop::Awake) }
    }
}

/// One turn at a rate, of so long.
pub(crate) fn turn(
    place: &Place,
    kind: Loop,
    rate: u32,
    lasts: Duration,
) -> Outcome<(Loop, Woken)> {
    let count = u64::from(rate) * u64::try_from(lasts.as_millis())? / 1_000;
    let task = Task { kind, rate, count: count.max(FEWEST) };
    let lasts = Duration::from_secs(task.count / u64::from(rate.max(1)) + 1);
    let mut command = Command::new(std::env::current_exe()?);
    let _awake = Truth::awake(place.cores)?;
    let stolen_before = stolen(place.cores.proxy);
    let said = place.tool(command.arg("alone").arg(serde_json::to_string(&task)?), lasts)?;
    let mut woken: Woken =
        serde_json::from_str(&said).map_err(|_| format!("the bare loop: {said:.300}"))?;
    woken.away_s[2] = stolen(place.cores.proxy) - stolen_before;
    Ok((kind, woken))
}

/// Runs the loop in this process and prints what it says.
pub(crate) fn run(task: &str) -> Outcome<()> {
    let Task { kind, rate, count } = serde_json::from_str(task)?;
    let mut stamps_ns = Vec::with_capacity(usize::try_from(count)?);
    let mut late_ns = stamps_ns.clone();
    let waited_before = waited(std::process::id());
    let start_ns = monotonic_ns();
    for number in 1..=count {
        let due_ns = start_ns + number * NS_PER_S / u64::from(rate.max(1));
        wait(kind, due_ns)?;
        let now_ns = monotonic_ns();
        stamps_ns.push(now_ns);
        late_ns.push(now_ns.saturating_sub(due_ns));
    }
    let dispersion = dispersion(&stamps_ns, bin_ns(rate)).unwrap_or(0.0);
    let lasted_s = (monotonic_ns() - start_ns) as f64 / 1e9;
    let away_s = [lasted_s, waited(std::process::id()) - waited_before, 0.0];
    println!("{}", serde_json::to_string(&Woken { late_ns, dispersion, away_s })?);
    Ok(())
}

fn wait(kind: Loop, due_ns: u64) -> Outcome<()> {
    match kind {
        Loop::Awake => while monotonic_ns() < due_ns {},
        Loop::Asleep => {
            let due = Timespec {
                tv_sec: i64::try_from(due_ns / NS_PER_S)?,
                tv_nsec: i64::try_from(due_ns % NS_PER_S)?,
            };
            clock_nanosleep_absolute(ClockId::Monotonic, &due)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Alone, Loop, Woken};

    #[test]
    fn turns_of_one_kind_are_put_together_and_kinds_kept_apart() {
        let away_s = [2.0, 0.003, 0.5];
        let turn =
            |kind, late_ns: Vec<u64>, dispersion| (kind, Woken { late_ns, dispersion, away_s });
        let turns = [
            turn(Loop::Asleep, vec![1_000; 99], 0.5),
            turn(Loop::Awake, vec![7_000; 10], 0.0),
            turn(Loop::Asleep, [vec![1_000; 98], vec![90_000; 3]].concat(), 0.25),
        ];
        let alone = Alone::of(1_000, &turns);
        assert_eq!(alone.asleep.late_us.map(f64::to_bits), [1.0, 90.0, 90.0].map(f64::to_bits));
        assert_eq!(alone.awake.late_us.map(f64::to_bits), [7.0; 3].map(f64::to_bits));
        assert!((alone.asleep.dispersion - 0.375).abs() < 1e-12);
        let away = alone.asleep.away;
        assert!((away.others - 1.5).abs() < 1e-9 && (away.host - 250.0).abs() < 1e-9, "{away:?}");
    }
}
