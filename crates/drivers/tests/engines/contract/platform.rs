//! The contract of a platform: from any state to any other, who is named leaves and nobody else notices,
//! and nothing that it reads makes it panic. What a driver does beside it (checks, restarts, words) is not
//! in here.

use std::time::Duration;

use drivers::platform::{Condition, FleetHave, FleetWant, Leave, Platform, ReleaseWant};
use model::{AppName, InstanceId, Release, RunState};

/// What the contract must be told of a driver and its surroundings.
pub(crate) trait PlatformBed {
    /// The driver.
    fn platform(&self) -> &dyn Platform;
    /// Two releases of one app that become ready quickly.
    fn releases(&self) -> [Release; 2];
    /// Breaks what the driver reads about an app that has instances; undone with `false`.
    fn damage(&self, app: &AppName, broken: bool);
}

/// Nothing is measured by it: on a machine that others keep busy, a server takes its time.
const LIMIT: Duration = Duration::from_mins(1);
const EPOCH: u64 = 10;

/// Runs the whole contract; `foreign` is another app that already runs and must not notice.
pub(crate) async fn platform_keeps_contract(bed: &impl PlatformBed, foreign: &AppName) {
    let platform = bed.platform();
    let app = &bed.releases()[0].app;
    let theirs = ids(&platform.look(foreign).await.unwrap());
    assert!(!theirs.is_empty(), "the bed must run something foreign");
    let states = states(&bed.releases());
    for from in &states {
        for to in &states {
            let before = settle(platform, from).await;
            let have = settle(platform, to).await;
            is_as_wanted(to, &before, &have);
            quiet(platform, to, &have).await;
        }
    }
    who_is_named_leaves(platform, &bed.releases()[0]).await;
    stale_is_refused(platform, &states).await;
    nonsense_never_panics(bed, app).await;
    let nothing = FleetWant { app: app.clone(), releases: vec![] };
    assert!(settle(platform, &nothing).await.instances.is_empty(), "the original state comes back");
    assert_eq!(ids(&platform.look(foreign).await.unwrap()), theirs, "foreign instances changed");
}

fn ids(have: &FleetHave) -> Vec<(InstanceId, Option<u32>)> {
    have.instances.iter().map(|i| (i.id.clone(), i.pid)).collect()
}

async fn settle(platform: &dyn Platform, want: &FleetWant) -> FleetHave {
    let rounds = async {
        loop {
            let have = platform.look(&want.app).await.unwrap();
            let plan = platform.plan(want, &have);
            assert_eq!(plan, platform.plan(want, &have), "a plan is pure");
            if plan.settled() {
                return have;
            }
            for change in &plan.changes {
                platform.act(change, EPOCH).await.unwrap();
            }
            platform.changed(have.change).await;
        }
    };
    tokio::time::timeout(LIMIT, rounds).await.expect("it converges")
}

fn is_as_wanted(want: &FleetWant, before: &FleetHave, have: &FleetHave) {
    for release in &want.releases {
        let seen = have.seen(release.release.id);
        match release.state {
            RunState::Running => {
                // More than wanted are left alone.
                let there = before.of(release.release.id).filter(|i| i.stays()).count();
                let most = release.instances.max(u16::try_from(there).unwrap());
                assert_eq!((seen.existing, seen.ready), (most, most), "{have:?}");
            }
            RunState::Terminating => {
                assert!(have.of(release.release.id).all(|i| i.told_at_ms.is_some()), "{have:?}");
            }
            RunState::Gone => assert_eq!(seen.existing, 0),
        }
        assert_eq!(seen.crashes, 0, "{have:?}");
    }
    let wanted = |i: &drivers::platform::InstanceHave| {
        want.releases.iter().any(|r| r.release.id == i.release)
    };
    assert!(have.instances.iter().all(wanted), "unnamed releases are gone: {have:?}");
}

/// Settled stays settled and nothing moves (told instances may end at any time).
async fn quiet(platform: &dyn Platform, want: &FleetWant, have: &FleetHave) {
    let again = platform.look(&want.app).await.unwrap();
    let staying = |have: &FleetHave| {
        let stay = have.instances.iter().filter(|i| i.condition == Condition::Ready && i.stays());
        stay.map(|i| (i.id.clone(), i.pid)).collect::<Vec<_>>()
    };
    assert_eq!(staying(&again), staying(have));
    if want.releases.iter().all(|r| r.state != RunState::Terminating) {
        assert!(platform.plan(want, &again).settled(), "{again:?}");
    }
}

/// Three run and two stay: the third is left alone while it is only picked, then told, then gone.
/// The others never notice, and nobody takes its place.
async fn who_is_named_leaves(platform: &dyn Platform, release: &Release) {
    let app = &release.app;
    let want = |instances, leave| FleetWant {
        app: app.clone(),
        releases: vec![ReleaseWant {
            release: release.clone(),
            instances,
            state: RunState::Running,
            leave,
        }],
    };
    let leaves = |named: &[InstanceId], state| {
        let (instances, named) = (1, named.to_vec());
        want(2, Some(Leave { instances, named, state }))
    };
    let all = ids(&settle(platform, &want(3, None)).await);
    let pick = leaves(&[], RunState::Running);
    for surplus in [&want(2, None), &pick] {
        let have = settle(platform, surplus).await;
        assert_eq!(ids(&have), all, "who is only too many is left alone");
        assert!(have.instances.iter().all(drivers::platform::InstanceHave::stays), "{have:?}");
        quiet(platform, surplus, &have).await;
    }
    let named = platform.look(app).await.unwrap().picked(&pick.releases[0]);
    assert_eq!(named, [all[0].0.clone()], "all are ready: the lowest number");
    let others = |have: &FleetHave| {
        ids(have).into_iter().filter(|(id, _)| !named.contains(id)).collect::<Vec<_>>()
    };
    for state in [RunState::Terminating, RunState::Gone] {
        let want = leaves(&named, state);
        let have = settle(platform, &want).await;
        assert!(have.picked(&want.releases[0]).iter().all(|id| named.contains(id)), "{have:?}");
        assert!(have.of(release.id).all(|i| i.stays() != named.contains(&i.id)), "{have:?}");
        assert_eq!((others(&have), have.seen(release.id).crashes), (all[1..].to_vec(), 0));
    }
    for after in [&leaves(&named, RunState::Gone), &want(2, None)] {
        let have = settle(platform, after).await;
        assert_eq!((ids(&have), have.picked(&after.releases[0])), (all[1..].to_vec(), vec![]));
        quiet(platform, after, &have).await;
    }
}

async fn stale_is_refused(platform: &dyn Platform, states: &[FleetWant]) {
    let have = settle(platform, &states[0]).await;
    let start = platform.plan(&states[1], &have).changes;
    let have = settle(platform, &states[1]).await;
    let stop = platform.plan(&states[0], &have).changes;
    for change in &start {
        assert!(platform.act(change, EPOCH).await.is_err(), "done twice: {}", change.words);
    }
    for change in &stop {
        assert!(platform.act(change, EPOCH - 1).await.is_err(), "an older controller acted");
        platform.act(change, EPOCH).await.unwrap();
        assert!(platform.act(change, EPOCH).await.is_err(), "done twice: {}", change.words);
    }
    settle(platform, &states[0]).await;
}

async fn nonsense_never_panics(bed: &impl PlatformBed, app: &AppName) {
    let platform = bed.platform();
    for change in super::nonsense() {
        assert!(platform.act(&change, EPOCH).await.is_err(), "{change:?}");
    }
    let [release, _] = bed.releases();
    let running = ReleaseWant { release, instances: 1, state: RunState::Running, leave: None };
    let want = FleetWant { app: app.clone(), releases: vec![running] };
    let before = ids(&settle(platform, &want).await);
    bed.damage(app, true);
    assert!(platform.look(app).await.is_err(), "damage was believed");
    bed.damage(app, false);
    assert_eq!(ids(&settle(platform, &want).await), before);
}

fn states([one, two]: &[Release; 2]) -> Vec<FleetWant> {
    let release = |release: &Release, instances, state| ReleaseWant {
        release: release.clone(),
        instances,
        state,
        leave: None,
    };
    let want = |releases| FleetWant { app: one.app.clone(), releases };
    vec![
        want(vec![]),
        want(vec![release(one, 1, RunState::Running)]),
        want(vec![release(one, 2, RunState::Running), release(two, 1, RunState::Running)]),
        want(vec![release(one, 0, RunState::Terminating), release(two, 2, RunState::Running)]),
        want(vec![release(one, 0, RunState::Gone), release(two, 1, RunState::Running)]),
    ]
}
