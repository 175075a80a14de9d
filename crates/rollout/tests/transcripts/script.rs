//! A rollout told by hand: events with their times, and the text that comes of them.
//!
//! It decides nothing and reads no clock; the stories are those of the other files.

use std::fmt::Write as _;

use model::event::PoolSeen;
use model::{
    AppName, Class, Counted, Counter, Event, FleetSeen, InstanceId, Offender, Offenders, PoolState,
    ReleaseId, RunState, Tally, Tick, Version, Weight, Window,
};
use rollout::{Named, Rollout, Settings, Start, Wants};

/// The machine and its story so far.
pub(crate) struct Script {
    machine: Rollout,
    now: u64,
    text: String,
    moments: Vec<(u64, Rollout)>,
}

impl Script {
    /// v2 after v1, two instances, default settings; `change` may change all of that.
    pub(crate) fn new(change: impl FnOnce(&mut Start)) -> Self {
        let named = |id, version: &str| Named {
            id: ReleaseId(id),
            version: Version::new(version).unwrap(),
        };
        let mut start = Start {
            app: AppName::new("shop").unwrap(),
            stable: Some(named(1, "v1")),
            candidate: named(2, "v2"),
            instances: 2,
            settings: Settings::default(),
        };
        change(&mut start);
        let machine = Rollout::new(start);
        let mut script = Self { machine, now: 0, text: String::new(), moments: Vec::new() };
        script.tell_phases(0);
        script
    }

    /// Lets time pass, then tells one event. Told like this: `phase <- event`, then each phase
    /// entered and what is wanted, if that changed.
    pub(crate) fn at(mut self, ms: u64, event: &Event) -> Self {
        self.now += ms;
        let (before, told) = (self.machine.wants(), self.machine.entered().len());
        let notes = self.machine.notes().len();
        let phase = self.machine.phase();
        writeln!(self.text, "{} ms  {phase} <- {}", self.now, event_words(event)).unwrap();
        self.machine.advance(self.now, event);
        self.machine.check_invariants().unwrap();
        self.moments.push((self.now, self.machine.clone()));
        for note in &self.machine.notes()[notes..] {
            writeln!(self.text, "    note: {}", note.words).unwrap();
        }
        if let Some(barrier) = self.machine.awaits() {
            writeln!(self.text, "    waits at {barrier}").unwrap();
        }
        if self.machine.entered().len() > told {
            self.tell_phases(told);
        } else if before != self.machine.wants() {
            self.text += &wants_words(&self.machine.wants());
        }
        self
    }

    /// Tells one event at the time the machine asked to be woken.
    pub(crate) fn wake(self) -> Self {
        let ms = self.machine.wake().unwrap() - self.now;
        self.at(ms, &Event::Tick)
    }

    /// Lets time pass.
    pub(crate) fn wake_at(self, ms: u64) -> Self {
        self.at(ms, &Event::Tick)
    }

    /// The machine after each event.
    pub(crate) fn moments(self) -> Vec<(u64, Rollout)> {
        self.moments
    }

    /// Every event at once.
    pub(crate) fn all(self, events: &[Event]) -> Self {
        events.iter().fold(self, |script, event| script.at(10, event))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now
    }

    pub(crate) fn machine(&self) -> &Rollout {
        &self.machine
    }

    pub(crate) fn into_machine(self) -> Rollout {
        self.machine
    }

    fn tell_phases(&mut self, from: usize) {
        for entered in &self.machine.entered()[from..] {
            let why = entered.why.replace('\n', "\n        ");
            writeln!(self.text, "    -> {}: {why}", entered.phase).unwrap();
        }
        self.text += &wants_words(&self.machine.wants());
    }

    /// Compares the story with the golden file, or writes it where `CUTOVER_UPDATE` is set.
    pub(crate) fn is(self, name: &str) {
        self.tells(name);
    }

    /// The same; answers the machine.
    pub(crate) fn tells(mut self, name: &str) -> Rollout {
        let outcome = self.machine.outcome();
        writeln!(self.text, "outcome: {outcome:?}").unwrap();
        compare(name, &self.text);
        self.machine
    }
}

/// Compares a text with its golden file, or writes it where `CUTOVER_UPDATE` is set.
#[expect(clippy::disallowed_methods, reason = "golden files are files")]
pub(crate) fn compare(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("CUTOVER_UPDATE").is_ok() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} tells another story (CUTOVER_UPDATE=1 takes it):\n{text}");
}

pub(crate) fn fleet(release: u32, ready: u16, existing: u16) -> Event {
    let trouble =
        if ready < existing { vec![format!("#{release}: GET /healthz: 503")] } else { vec![] };
    let seen = FleetSeen { existing, ready, crashes: 0, unstarted: 0, trouble };
    Event::Fleet { release: ReleaseId(release), seen }
}

pub(crate) fn crashed(release: u32, ready: u16, crashes: u32) -> Event {
    let trouble = vec!["exit code 101: thread 'main' panicked".to_owned()];
    let seen = FleetSeen { existing: ready, ready, crashes, unstarted: 0, trouble };
    Event::Fleet { release: ReleaseId(release), seen }
}

/// Pools by release: `All`, a `Part` in percent, `Spare` (weight 0) or `Retiring`.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    All,
    Part(u16),
    Spare,
    Retiring,
}

pub(crate) fn routes(pools: &[(u32, Role)]) -> Event {
    let pool = |&(release, role): &(u32, Role)| {
        let (weight, state) = match role {
            Role::All => (Weight::ALL, PoolState::Serving),
            Role::Part(percent) => (Weight::new(percent * 100).unwrap(), PoolState::Serving),
            Role::Spare => (Weight::NONE, PoolState::Serving),
            Role::Retiring => (Weight::NONE, PoolState::Retiring),
        };
        PoolSeen { release: ReleaseId(release), weight, state }
    };
    Event::RoutesSettled { pools: pools.iter().map(pool).collect() }
}

pub(crate) fn open(release: u32, requests: u64, tunnels: u64) -> Event {
    Event::Open { release: ReleaseId(release), requests, tunnels }
}

/// Paths that are open on stable, the first one for longest, and how many more there are.
pub(crate) fn lingering(paths: &[&str], more: u64) -> Event {
    let age = |n: usize| 4_200 - 1_000 * n as u64;
    let one = |(n, path): (usize, &&str)| Offender {
        instance: InstanceId("shop-1-1".into()),
        tunnel: *path == "/ws",
        method: "GET".into(),
        path: (*path).into(),
        age_ms: age(n),
    };
    Event::Lingering(Offenders { oldest: paths.iter().enumerate().map(one).collect(), more })
}

/// Both releases with weights in proportion to their instances; one without any is out.
pub(crate) fn parts(stable: u32, candidate: u32) -> Event {
    let points = u16::try_from(candidate * 10_000 / (stable + candidate)).unwrap();
    let weight = Weight::new(points).unwrap();
    let pool = |release, weight| PoolSeen {
        release: ReleaseId(release),
        weight,
        state: PoolState::Serving,
    };
    let pools = [pool(1, weight.rest()), pool(2, weight)];
    let pools = pools.into_iter().filter(|pool| pool.weight > Weight::NONE).collect();
    Event::RoutesSettled { pools }
}

/// Those of a release that leave and still exist, by number, and what is open on them.
pub(crate) fn leaving(release: u32, numbers: &[u32], requests: u64, tunnels: u64) -> Event {
    let instances = numbers.iter().map(|n| InstanceId(format!("shop-{release}-{n}"))).collect();
    Event::Leaving { release: ReleaseId(release), instances, requests, tunnels }
}

pub(crate) fn tally(ok: u64, errors: u64) -> Tally {
    let mut tally = Tally { ok, ..Tally::default() };
    (0..errors).for_each(|_| tally.count(Class::BadStatus));
    tally
}

pub(crate) fn preview(ok: u64, errors: u64) -> Event {
    let failures = if errors > 0 { vec!["GET /: 500 \"no database\"".to_owned()] } else { vec![] };
    Event::Preview { tally: tally(ok, errors), failures }
}

pub(crate) fn window(version: &str, ok: u64, errors: u64) -> Event {
    let by_version = [(version.to_owned(), tally(ok, errors))].into();
    Event::Window(Window { by_version, ..Window::default() })
}

/// Units and errors of candidate and stable in one second.
pub(crate) fn units(at_s: u64, candidate: (u64, u64), stable: (u64, u64)) -> Event {
    let counted = |(units, errors)| Counted { units, errors, slow: Vec::new() };
    let tick = Tick { candidate: counted(candidate), stable: counted(stable) };
    Event::Units { at_s, tick }
}

/// What counters say, by who counts: its release (0: none), its requests, and those that failed.
pub(crate) fn counters(until_ms: u64, all: &[(&str, u32, u64, u64)]) -> Event {
    let one = |(by, release, requests, failed): &(&str, u32, u64, u64)| {
        let release = Some(ReleaseId(*release)).filter(|release| release.0 > 0);
        ((*by).to_owned(), Counter { release, requests: *requests, failed: *failed })
    };
    Event::Counters { counters: all.iter().map(one).collect(), until_ms }
}

pub(crate) fn abort() -> Event {
    Event::AbortAsked { reason: "ctrl-c".to_owned() }
}

fn names(instances: &[InstanceId]) -> String {
    let all: Vec<_> = instances.iter().map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join("+") }
}

fn pools_words(pools: &[PoolSeen]) -> String {
    let one = |pool: &PoolSeen| {
        let state = if pool.state == PoolState::Retiring { " retiring" } else { "" };
        format!("{} {}{state}", pool.release, pool.weight)
    };
    let all: Vec<_> = pools.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn wants_words(wants: &Wants) -> String {
    let one = |want: &rollout::FleetWant| match want.state {
        RunState::Running => format!("{} running x{}", want.release, want.instances),
        RunState::Terminating => format!("{} terminating", want.release),
        RunState::Gone => format!("{} gone", want.release),
    };
    let fleet: Vec<_> = wants.fleet.iter().map(one).collect();
    let pools = pools_words(&wants.pools);
    let mut line = format!("       {} | routes {pools}", fleet.join(", "));
    if let Some(leave) = &wants.leave {
        let what = match leave.state {
            RunState::Running => format!("leave x{}", leave.instances),
            RunState::Terminating => format!("terminate {}", names(&leave.named)),
            RunState::Gone => format!("end {}", names(&leave.named)),
        };
        write!(line, " | {} {what}", leave.release).unwrap();
    }
    if let Some(hold) = &wants.hold {
        write!(line, " | hold {} for {} ms", hold.requests, hold.wait_ms).unwrap();
    }
    if let Some(hook) = &wants.hook {
        write!(line, " | hook {hook}").unwrap();
    }
    write!(line, " | probe {:?}", wants.probe).unwrap();
    if let Some(n) = wants.preview {
        write!(line, " | preview {n}").unwrap();
    }
    line.to_lowercase() + "\n"
}

pub(crate) fn event_words(event: &Event) -> String {
    match event {
        Event::Tick => "time".to_owned(),
        Event::Fleet { release, seen } => {
            let (ready, existing, crashes) = (seen.ready, seen.existing, seen.crashes);
            format!("fleet {release}: {ready} ready of {existing}, {crashes} crashes")
        }
        Event::RoutesSettled { pools } => format!("routes {}", pools_words(pools)),
        Event::Open { release, requests, tunnels } => {
            format!("open {release}: {requests} requests, {tunnels} tunnels")
        }
        Event::Leaving { release, instances, requests, tunnels } => {
            let who = names(instances);
            format!("leaving {release}: {who} there, {requests} requests, {tunnels} tunnels")
        }
        Event::Movable { release, sockets } => format!("movable {release}: {sockets} sockets"),
        Event::Lingering(offenders) => {
            format!("lingering {}", offenders.lines().collect::<Vec<_>>().join("; "))
        }
        Event::Preview { tally, .. } => {
            format!("preview {} ok, {} errors", tally.ok, tally.errors())
        }
        Event::Armed => "armed".to_owned(),
        Event::ProberLost => "prober lost".to_owned(),
        Event::Window(window) => {
            let one =
                |(v, t): (&String, &Tally)| format!("{v:?} {} ok, {} errors", t.ok, t.errors());
            let all: Vec<_> = window.by_version.iter().map(one).collect();
            format!("window {}", all.join("; "))
        }
        Event::Thresholds { thresholds } => format!("{} thresholds", thresholds.len()),
        Event::Surveyed { until_ms } => format!("all told until {until_ms} ms"),
        Event::Units { at_s, tick } => {
            let (new, old) = (&tick.candidate, &tick.stable);
            let words = |one: &Counted| format!("{} of {} failed", one.errors, one.units);
            format!("tick {at_s}: {}, {} of stable", words(new), words(old))
        }
        Event::Counters { counters, .. } => {
            let words = |(by, one): (&String, &Counter)| {
                let of = one.release.map_or("nobody".to_owned(), |release| release.to_string());
                format!("{by} {of}: {} of {} failed", one.failed, one.requests)
            };
            let all: Vec<_> = counters.iter().map(words).collect();
            format!("counters {}", all.join("; "))
        }
        Event::HookEnded { name, passed, .. } => {
            format!("hook {name} {}", if *passed { "passed" } else { "failed" })
        }
        Event::BarrierOpened { barrier } => format!("all came to {barrier}"),
        Event::Deserted { app, .. } => format!("{app} turned back"),
        Event::Measured { words, .. } => format!("measured: {words}"),
        Event::AbortAsked { reason } => format!("abort asked: {reason}"),
        Event::PauseAsked { reason } => format!("pause asked: {reason}"),
        Event::ResumeAsked => "resume asked".to_owned(),
        Event::PromoteAsked { full: false } => "promote asked".to_owned(),
        Event::PromoteAsked { full: true } => "promote asked, in full".to_owned(),
        Event::WeightAsked { weight } => format!("share asked: {weight}"),
        Event::SupersedeAsked { by } => format!("{} is to follow as {}", by.version, by.run),
        Event::Resumed => "resumed".to_owned(),
    }
}
