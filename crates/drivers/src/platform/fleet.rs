//! What is wanted of an app's instances, and what a platform found.
//!
//! Plain data, the same for every platform, and what the rollout machine and the router are told
//! of it. No IO.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{AppName, FleetSeen, Instance, InstanceId, Release, ReleaseId, RunState};

/// What is wanted of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseWant {
    /// The release, frozen.
    pub release: Release,
    /// How many instances, when it is to run.
    pub instances: u16,
    /// Whether it is to run, to be told to end, or to be gone.
    pub state: RunState,
    /// Some of a running release should make room; `instances` then counts those that stay.
    pub leave: Option<Leave>,
}

/// Some instances of a running release should make room, one by one or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// How many beyond the ones that stay may be left alone.
    pub instances: u16,
    /// Which, once named; empty while picked.
    pub named: Vec<InstanceId>,
    /// Running: out of the routes and left alone; Terminating: told to end; Gone: also killed when
    /// their stop timeout is over.
    pub state: RunState,
}

/// What is wanted of one app: everything, each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetWant {
    /// The app.
    pub app: AppName,
    /// Its releases; others are wanted gone.
    pub releases: Vec<ReleaseWant>,
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It lives, but that it was started is not on record yet.
    Found,
    /// It never was ready.
    Starting,
    /// It was ready under an earlier controller and has not been judged by this one.
    Adopted,
    /// The same, but it failed a check since: it gets requests only when nobody better is there, and is
    /// called neither ready nor not until it passed, or failed, often enough in a row.
    Doubted,
    /// It passes its checks.
    Ready,
    /// It was judged and does not pass.
    Unready,
    /// It is not alive any more.
    Ended,
}

/// One instance as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceHave {
    /// Its id.
    pub id: InstanceId,
    /// The release it is a copy of.
    pub release: ReleaseId,
    /// Where it listens, or should.
    pub address: SocketAddr,
    /// Its process, where the platform has one.
    pub pid: Option<u32>,
    /// What the platform recognises it by, in words; part of what changes rely on.
    pub identity: String,
    /// Where it stands.
    pub condition: Condition,
    /// It was ready at some time.
    pub ready_before: bool,
    /// When it was told to end, on the clock of [`FleetHave::now_ms`].
    pub told_at_ms: Option<u64>,
    /// When it was last about to be told, while it is not known whether it was: the controller died
    /// between deciding and doing.
    pub telling_ms: Option<u64>,
    /// It was killed, and should be gone any moment.
    pub killed: bool,
    /// It has ended, but processes it started are still there.
    pub left_behind: bool,
    /// Why it is not ready or how it ended, in words.
    pub trouble: Vec<String>,
}

impl InstanceHave {
    /// True when it is alive and has not been told to end.
    pub fn stays(&self) -> bool {
        self.condition != Condition::Ended && self.told_at_ms.is_none()
    }

    /// True while a process of it is there, be it one that its leader left behind.
    pub fn exists(&self) -> bool {
        self.condition != Condition::Ended || self.left_behind
    }

    /// True when requests may go there: it is ready, or was under an earlier controller and is not
    /// judged yet.
    fn serves(&self) -> bool {
        self.stays() && matches!(self.condition, Condition::Ready | Condition::Adopted)
    }

    /// Its number within the release: ids end in it.
    pub(crate) fn number(&self) -> u32 {
        self.id.0.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }
}

/// What a platform remembers of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseHave {
    /// The release as it was first started.
    pub release: Release,
    /// Instances that ended without having been told to, so far.
    pub crashes: u32,
    /// Of those: could not be started at all.
    pub unstarted: u32,
    /// No start before this (back-off), on the clock of [`FleetHave::now_ms`]; 0 when there is none.
    pub not_before_ms: u64,
    /// How the last crash came about, in words.
    pub last_crash: Vec<String>,
    /// What is known of it besides, when somebody else starts its instances.
    pub discovered: Option<Discovered>,
}

/// What is known of a release whose instances are found and not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Users have left it: its instances are whoever's who started them.
    pub let_go: bool,
    /// Those of a release that was let go that are still found.
    pub left: Vec<Instance>,
    /// Who is found where, in words.
    pub words: String,
    /// Why what is known is not what the source says, in words.
    pub trouble: Option<String>,
    /// The source answered since it is followed.
    pub heard: bool,
}

/// What a platform found of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetHave {
    /// The app.
    pub app: AppName,
    /// For [`Platform::changed`](super::Platform::changed).
    pub change: u64,
    /// The platform's clock when it looked, ms.
    pub now_ms: u64,
    /// Every instance it knows, in the order of release and number.
    pub instances: Vec<InstanceHave>,
    /// Every release it knows.
    pub releases: Vec<ReleaseHave>,
    /// The last number given to an instance of a release, also of forgotten releases.
    pub last_numbers: BTreeMap<ReleaseId, u32>,
    /// Ports that new instances may use now.
    pub free_ports: Vec<u16>,
}

impl FleetHave {
    /// The instances of one release.
    pub fn of(&self, release: ReleaseId) -> impl Iterator<Item = &InstanceHave> {
        self.instances.iter().filter(move |i| i.release == release)
    }

    /// What is remembered of one release.
    pub fn release(&self, release: ReleaseId) -> Option<&ReleaseHave> {
        self.releases.iter().find(|r| r.release.id == release)
    }

    /// True while a living process of a release is not on record as started: it is not certain yet
    /// how many live, so nothing is started and nobody is picked for good.
    pub fn unrecorded(&self, release: ReleaseId) -> bool {
        self.of(release).any(|i| i.condition == Condition::Found)
    }

    /// True while an instance of a release lives that was ready under an earlier controller and has
    /// not been judged by this one: soon, it is ready or it is not.
    pub fn unjudged(&self, release: ReleaseId) -> bool {
        self.of(release).any(|i| matches!(i.condition, Condition::Adopted | Condition::Doubted))
    }

    /// What the rollout machine is told of one release. Crashes that were noticed and not yet
    /// entered in the records count.
    pub fn seen(&self, release: ReleaseId) -> FleetSeen {
        let known = self.release(release);
        let mut seen =
            FleetSeen { crashes: known.map_or(0, |k| k.crashes), ..FleetSeen::default() };
        seen.unstarted = known.map_or(0, |k| k.unstarted);
        let mut trouble = Vec::new();
        for instance in self.of(release) {
            seen.existing += u16::from(instance.exists());
            seen.ready += u16::from(instance.condition == Condition::Ready && instance.stays());
            if instance.told_at_ms.is_none() {
                let crashed = instance.condition == Condition::Ended && instance.pid.is_some();
                seen.crashes += u32::from(crashed);
                trouble.extend(instance.trouble.iter().cloned());
            }
        }
        let discovered = known.and_then(|known| known.discovered.as_ref());
        seen.trouble.extend(discovered.filter(|of| !of.let_go).map(|of| of.words.clone()));
        let all_ready = seen.ready > 0 && trouble.is_empty();
        if let Some(known) = known.filter(|_| !all_ready) {
            seen.trouble.extend(known.last_crash.iter().cloned());
        }
        seen.trouble.append(&mut trouble);
        seen
    }

    /// Which instances of a release are to leave now; none without a `leave`.
    ///
    /// Once they are named, those of them that still exist: that changes by their end only. Before,
    /// the ones picked in this look: of the instances that live and were not told to end, those
    /// beyond the ones that stay, at most `leave.instances`, first those that are not ready, then
    /// the lowest number. What was ready under an earlier controller counts as ready until it is
    /// judged, so that a restart does not change the picks for a moment.
    pub fn picked(&self, want: &ReleaseWant) -> Vec<InstanceId> {
        let Some(leave) = &want.leave else { return Vec::new() };
        let ours = || self.of(want.release.id);
        if leave.state != RunState::Running || !leave.named.is_empty() {
            let left = ours().filter(|i| i.exists() && leave.named.contains(&i.id));
            return left.map(|i| i.id.clone()).collect();
        }
        let mut staying: Vec<_> = ours().filter(|i| i.stays()).collect();
        let surplus = staying.len().saturating_sub(usize::from(want.instances));
        staying.sort_by_key(|i| (i.serves(), i.number()));
        staying.truncate(surplus.min(usize::from(leave.instances)));
        staying.into_iter().map(|i| i.id.clone()).collect()
    }

    /// The instances a router should send requests of a release to: those that are ready (or were,
    /// under an earlier controller, and failed no check since). When there is none, those that are
    /// doubted; then every living one that was ready before, because a check may fail where requests
    /// would not; those that were told to end come last.
    pub fn serving_instances(&self, release: ReleaseId) -> Vec<Instance> {
        self.serving_without(release, &[])
    }

    /// The same as if the instances in `without` did not exist: no fallback brings one of them back,
    /// so the answer may be empty although they could serve.
    pub fn serving_without(&self, release: ReleaseId, without: &[InstanceId]) -> Vec<Instance> {
        let doubted = |i: &InstanceHave| i.stays() && i.condition == Condition::Doubted;
        let staying = |i: &InstanceHave| i.stays() && i.ready_before;
        let living = |i: &InstanceHave| i.condition != Condition::Ended && i.ready_before;
        let choices: [&dyn Fn(&InstanceHave) -> bool; 4] =
            [&InstanceHave::serves, &doubted, &staying, &living];
        let others = || self.of(release).filter(|i| !without.contains(&i.id));
        for choice in choices {
            let chosen: Vec<_> = others().filter(|i| choice(i)).map(as_instance).collect();
            if !chosen.is_empty() {
                return chosen;
            }
        }
        Vec::new()
    }

    /// The same, but when fewer percent than `fail_open` of those that were ready at some time are now,
    /// all of them: checks that fail nearly everywhere say little of each, and the few that pass could
    /// not carry what all did. Those that ended, or never were ready, do not count.
    pub fn serving_open(
        &self,
        release: ReleaseId,
        without: &[InstanceId],
        fail_open: u32,
    ) -> Vec<Instance> {
        let could = |i: &&InstanceHave| i.stays() && i.ready_before && !without.contains(&i.id);
        let all: Vec<_> = self.of(release).filter(could).collect();
        let pass = all.iter().filter(|i| i.serves()).count();
        let share = usize::try_from(fail_open).unwrap_or(100);
        if pass > 0 && pass * 100 < all.len() * share {
            return all.into_iter().map(as_instance).collect();
        }
        self.serving_without(release, without)
    }

    /// The instances of a release that were ready and fail their checks now.
    pub fn failing(&self, release: ReleaseId) -> impl Iterator<Item = &InstanceId> {
        let fails =
            |i: &&InstanceHave| i.stays() && i.ready_before && i.condition == Condition::Unready;
        self.of(release).filter(fails).map(|i| &i.id)
    }
}

fn as_instance(have: &InstanceHave) -> Instance {
    Instance { id: have.id.clone(), address: have.address }
}
