//! A world in which all is well: whatever is wanted is so at once, and is told. Nothing is drawn here.

use model::{
    Class, Counted, Event, FleetSeen, InstanceId, Measured, Phase, ReleaseId, RunState, Tally,
    Tick, Window,
};
use rollout::{LeaveWant, ProbeWant, Rollout, Wants};

use crate::plan::{CANDIDATE, STABLE};

/// A look at something in a second of its own, when that is wanted, and what it brings.
type Look = fn(&Rollout, &Wants, u64) -> Option<Event>;

/// Everything that there is to look at, in the order of a controller.
pub(crate) const LOOKS: [Look; 15] = [
    |machine, wants, _| machine.start().stable.as_ref().map(|_| fleet(wants, STABLE)),
    |_, wants, _| Some(fleet(wants, CANDIDATE)),
    |_, wants, _| Some(Event::RoutesSettled { pools: wants.pools.clone() }),
    |machine, _, _| machine.start().stable.as_ref().map(|_| open(machine, STABLE)),
    |machine, _, _| Some(open(machine, CANDIDATE)),
    |machine, wants, _| wants.leave.as_ref().map(|leave| leaving(machine, leave)),
    |_, wants, _| movable(wants),
    |_, wants, _| preview(wants),
    |_, wants, _| (wants.probe == ProbeWant::Armed).then_some(Event::Armed),
    |machine, _, at_s| machine.start().settings.analysis.map(|_| units(at_s)),
    |machine, _, _| machine.start().settings.analysis.map(|_| all_told()),
    |_, _, _| Some(Event::Window(window(0))),
    |_, wants, _| hook(wants),
    |machine, _, _| measured(machine),
    |machine, _, _| machine.awaits().map(|barrier| Event::BarrierOpened { barrier }),
];

/// As many as are wanted, and all of them ready.
pub(crate) fn fleet(wants: &Wants, release: ReleaseId) -> Event {
    let want = wants.fleet.iter().find(|want| want.release == release);
    let leaving = wants.leave.iter().filter(|leave| leave.release == release);
    let leaving = leaving.filter(|leave| leave.state == RunState::Running);
    let surplus: u16 = leaving.map(|leave| leave.instances).sum();
    let running = want.filter(|want| want.state == RunState::Running);
    let existing = running.map_or(0, |want| want.instances + surplus);
    Event::Fleet {
        release,
        seen: FleetSeen {
            existing,
            ready: existing,
            crashes: 0,
            unstarted: 0,
            trouble: Vec::new(),
        },
    }
}

/// A tunnel is left when the requests have ended, so that it is handed over.
fn open(machine: &Rollout, release: ReleaseId) -> Event {
    let tunnels = u64::from(machine.phase() == Phase::Draining);
    Event::Open { release, requests: 0, tunnels }
}

/// Those that are to leave, until they are told to end.
pub(crate) fn leaving(machine: &Rollout, leave: &LeaveWant) -> Event {
    let picked = || (0..leave.instances).map(|n| InstanceId(n.to_string())).collect();
    let instances = match leave.state {
        RunState::Running if leave.named.is_empty() => picked(),
        RunState::Running => leave.named.clone(),
        RunState::Terminating | RunState::Gone => Vec::new(),
    };
    let tunnels = u64::from(machine.phase() == Phase::Draining && !instances.is_empty());
    Event::Leaving { release: leave.release, instances, requests: 0, tunnels }
}

fn movable(wants: &Wants) -> Option<Event> {
    let release = wants.hand_over.as_ref()?.release;
    Some(Event::Movable { release, sockets: 0 })
}

fn preview(wants: &Wants) -> Option<Event> {
    let tally = Tally { ok: wants.preview?.into(), ..Tally::default() };
    Some(Event::Preview { tally, failures: Vec::new() })
}

/// What the prober saw of both: as many failures of the candidate.
pub(crate) fn window(failures: u64) -> Window {
    let failed = (failures > 0).then_some((Class::BadStatus, failures)).into_iter().collect();
    let stable = Tally { ok: 20, ..Tally::default() };
    let by_version = [("v1", stable), ("v2", Tally { ok: 20, failed })];
    let by_version = by_version.map(|(version, tally)| (version.to_owned(), tally));
    Window { by_version: by_version.into_iter().collect(), ..Window::default() }
}

fn units(at_s: u64) -> Event {
    let counted = || Counted { units: 50, ..Counted::default() };
    Event::Units { at_s, tick: Tick { candidate: counted(), stable: counted() } }
}

/// Until now, whenever that is.
fn all_told() -> Event {
    Event::Surveyed { until_ms: u64::MAX }
}

fn hook(wants: &Wants) -> Option<Event> {
    let name = wants.hook.clone()?;
    Some(Event::HookEnded { name, passed: true, words: "status 0".to_owned() })
}

fn measured(machine: &Rollout) -> Option<Event> {
    let metric = machine.measures().next()?.name.clone();
    Some(Event::Measured { metric, found: Measured::Within, words: "1 of 2".to_owned() })
}
