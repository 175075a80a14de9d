//! The contract of a router: from any routes to any others, also over reloads and restarts, never touching
//! what belongs to somebody else. Users' requests are not sent here: that nothing is lost is tried by each
//! driver's own tests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use drivers::router::{Router, RoutesHave};
use model::{AppName, Fault, Generation, Instance, InstanceId, Kind, Mark, Plan, Pool, PoolState};
use model::{ReleaseId, Routes, Rule, Selector, Version, Weight};

/// What the contract must be told of a driver and the server behind it.
pub(crate) trait RouterBed {
    /// The driver.
    fn router(&self) -> &dyn Router;
    /// Everything the server carries that is not this app's, in words that can be compared.
    fn foreign(&self, app: &AppName) -> String;
    /// Where the n-th instance of every release listens.
    fn address(&self, n: u16) -> SocketAddr {
        ([127, 0, 0, 1], 20_000 + n).into()
    }
    /// Where the n-th instance of a release listens, for a router that tells releases by their answers.
    fn address_of(&self, _release: u32, n: u16) -> SocketAddr {
        self.address(n)
    }
    /// Where an instance is to be that does not answer yet, for a router that sends nothing to those
    /// that do not; `None` for one that does not look.
    fn absent(&self) -> Option<SocketAddr> {
        None
    }
    /// It answers from now on.
    fn appear(&self) {}
    /// Has the server read its files again, if it has any.
    fn reload(&self) {}
    /// Ends the server at once, as a crash does, and starts it again as whoever looks after it would.
    /// What it has lost of foreign entries is put back by those they belong to.
    fn restart(&self);
    /// What is carried is carried by a server that was started again, too, before anybody acts.
    fn lasts(&self) -> bool {
        false
    }
    /// Each change takes so long that without `CUTOVER_FULL=1` only neighbouring states are tried.
    fn slow(&self) -> bool {
        false
    }
    /// Everything that the server and who it follows say of themselves, for whoever reads that it gave up.
    fn shown(&self) -> String {
        String::new()
    }
    /// Makes the server answer with these bytes until told otherwise (`None`: sanely again).
    fn answer(&self, nonsense: Option<&[u8]>);
}

/// Nothing is measured by it: on a machine that others keep busy, a server takes its time.
const LIMIT: Duration = Duration::from_mins(1);
/// Between rounds.
const ROUND: Duration = Duration::from_millis(25);
const PACE: Duration = Duration::from_millis(5);
/// How long nothing may change; checks of a bed are much shorter.
const WATCHED: Duration = Duration::from_millis(400);

/// Runs the whole contract for one app whose entries the bed may or may not have already.
pub(crate) async fn router_keeps_contract(bed: &impl RouterBed, app: &AppName) {
    let router = bed.router();
    let original = router.look(app).await.unwrap().routes;
    let foreign = bed.foreign(app);
    let mut states: Vec<Option<Routes>> = states(bed, app).into_iter().map(Some).collect();
    states.extend([None, original.clone()]);
    if !router.can().header_rules {
        rules_are_refused(bed, app, &states).await;
        let ruled = |routes: &Routes| !routes.rules.is_empty();
        states.retain(|routes| !routes.as_ref().is_some_and(ruled));
    }
    let sparse = bed.slow() && std::env::var_os("CUTOVER_FULL").is_none();
    let near = |n: usize, m: usize| (n + 1) % states.len() == m || (m + 1) % states.len() == n;
    for (n, from) in states.iter().enumerate() {
        for (_, to) in states.iter().enumerate().filter(|(m, _)| !sparse || near(n, *m)) {
            settle(bed, app, from.as_ref()).await;
            let have = settle(bed, app, to.as_ref()).await;
            assert!(
                Routes::same(have.routes.as_ref(), to.as_ref()),
                "{from:?} to {to:?}: {have:?}"
            );
            quiet(router, to.as_ref(), &have).await;
        }
    }
    if router.can().header_rules {
        rules_survive_and_go(bed, app, &states).await;
    }
    waiting_is_not_settled(bed, app, &states).await;
    interruptions_are_coped_with(bed, app, &states).await;
    stale_is_refused(bed, app, &states).await;
    nonsense_never_panics(bed, app).await;
    let restored = settle(bed, app, original.as_ref()).await;
    assert!(Routes::same(restored.routes.as_ref(), original.as_ref()));
    assert_eq!(bed.foreign(app), foreign, "foreign entries were touched");
}

async fn settle(bed: &impl RouterBed, app: &AppName, want: Option<&Routes>) -> RoutesHave {
    rounds_until(bed, app, want, Plan::settled).await.0
}

/// Rounds of look, plan, act until the plan is such.
async fn rounds_until(
    bed: &impl RouterBed,
    app: &AppName,
    want: Option<&Routes>,
    enough: fn(&Plan) -> bool,
) -> (RoutesHave, Plan) {
    let router = bed.router();
    let mut last = String::new();
    let rounds = async {
        loop {
            let Some(have) = or_again(router.look(app).await, &mut last).await else { continue };
            let plan = router.plan(want, &have);
            assert_eq!(plan, router.plan(want, &have), "a plan is pure");
            if enough(&plan) {
                return (have, plan);
            }
            last = format!("{plan:?} {have:?}");
            for change in &plan.changes {
                let seen = or_again(router.look(app).await, &mut last).await;
                let Some(seen) = seen else { break };
                let done = router.act(change, seen.epoch).await;
                if or_again(done, &mut last).await.is_none() {
                    break;
                }
            }
            // As a controller does: who follows Consul looks at every connection of the machine.
            tokio::time::sleep(ROUND).await;
        }
    };
    let ended = tokio::time::timeout(LIMIT, rounds).await;
    ended.unwrap_or_else(|_| panic!("it does not converge: {last}\n{}", bed.shown()))
}

/// What came of it, or nothing, a moment later, where a server could not be asked: a controller looks again then.
pub(crate) async fn or_again<T>(done: Result<T, Fault>, last: &mut String) -> Option<T> {
    match done {
        Ok(done) => return Some(done),
        Err(fault) if fault.kind == Kind::Environment => *last = fault.what,
        Err(fault) => panic!("{fault:?}"),
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    None
}

/// What a server carries that was just told to read its files again: it may not answer at once.
async fn found_again(router: &dyn Router, app: &AppName) -> RoutesHave {
    let looks = async {
        loop {
            if let Ok(have) = router.look(app).await {
                return have;
            }
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::time::timeout(LIMIT, looks).await.expect("it answers again")
}

/// [`found_again`], and all of `want` is back without anybody doing anything: a server that is told its
/// instances by somebody else is told them again.
async fn back_again(bed: &impl RouterBed, app: &AppName, want: Option<&Routes>) -> RoutesHave {
    let router = bed.router();
    let deadline = Instant::now() + LIMIT;
    loop {
        let have = found_again(router, app).await;
        if Routes::same(have.routes.as_ref(), want) {
            return have;
        }
        assert!(Instant::now() < deadline, "after a reload: {have:?}\n{}", bed.shown());
        tokio::time::sleep(PACE).await;
    }
}

/// Until it is settled on a server that was just interrupted: what fails is tried again.
async fn settle_again(bed: &impl RouterBed, app: &AppName, want: Option<&Routes>) -> RoutesHave {
    let router = bed.router();
    let mut last = String::new();
    let rounds = async {
        loop {
            match router.look(app).await {
                Ok(have) => {
                    let plan = router.plan(want, &have);
                    if plan.settled() {
                        return have;
                    }
                    last = format!("{plan:?}");
                    for change in &plan.changes {
                        if let Err(fault) = router.act(change, have.epoch).await {
                            last = format!("{}: {fault:?}", change.words);
                            break;
                        }
                    }
                }
                Err(fault) => last = format!("{fault:?}"),
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let settled = tokio::time::timeout(LIMIT, rounds).await;
    settled.unwrap_or_else(|_| {
        panic!("after an interruption it does not converge: {last}\n{}", bed.shown())
    })
}

/// Settled stays settled and nothing moves, and whatever generation is wanted changes nothing.
async fn quiet(router: &dyn Router, want: Option<&Routes>, have: &RoutesHave) {
    let again = router.look(&have.app).await.unwrap();
    assert_eq!(again.routes, have.routes);
    let other = want.map(|want| Routes { generation: Generation(12_345), ..want.clone() });
    assert!(router.plan(other.as_ref(), &again).settled());
}

/// A router without rules takes no routes that have some, and changes nothing.
async fn rules_are_refused(bed: &impl RouterBed, app: &AppName, states: &[Option<Routes>]) {
    let router = bed.router();
    let have = settle(bed, app, states[0].as_ref()).await;
    for want in states.iter().flatten().filter(|routes| !routes.rules.is_empty()) {
        let plan = router.plan(Some(want), &have);
        assert!(!plan.settled(), "a rule that nobody obeys is settled");
        for change in &plan.changes {
            router.act(change, have.epoch).await.unwrap_err();
        }
    }
    quiet(router, states[0].as_ref(), &have).await;
}

/// Rules are as lasting as the routes they are part of, and go with them.
async fn rules_survive_and_go(bed: &impl RouterBed, app: &AppName, states: &[Option<Routes>]) {
    let router = bed.router();
    let some = |routes: &&Option<Routes>| routes.as_ref().is_some_and(|r| !r.rules.is_empty());
    let with: Vec<&Option<Routes>> = states.iter().filter(some).collect();
    assert!(with.len() >= 2 && router.can().header_rules);
    for want in with {
        settle(bed, app, want.as_ref()).await;
        bed.reload();
        let have = back_again(bed, app, want.as_ref()).await;
        quiet(router, want.as_ref(), &have).await;
        let bare = want.clone().map(|want| Routes { rules: vec![], ..want });
        assert!(!router.plan(bare.as_ref(), &have).settled(), "a rule that is left is settled");
        let have = settle(bed, app, bare.as_ref()).await;
        assert_eq!(have.routes.unwrap().rules, []);
        bed.reload();
        assert_eq!(found_again(router, app).await.routes.unwrap().rules, []);
    }
}

/// An instance that does not answer is waited for: nothing is left to do, nothing is sent there, and that
/// is not called settled. A router that does not look at instances has nothing to wait for.
async fn waiting_is_not_settled(bed: &impl RouterBed, app: &AppName, states: &[Option<Routes>]) {
    let router = bed.router();
    let have = settle(bed, app, states[0].as_ref()).await;
    let Some(address) = bed.absent() else {
        let plans = states.iter().map(|want| router.plan(want.as_ref(), &have));
        assert!(plans.flat_map(|plan| plan.waiting).next().is_none(), "it waits, and for what?");
        return;
    };
    let mut want = states[1].clone().unwrap();
    let newest = want.pools.last_mut().unwrap();
    newest.instances[0].address = address;
    let release = newest.release;
    let (_, plan) = rounds_until(bed, app, Some(&want), |plan| plan.changes.is_empty()).await;
    assert!(!plan.waiting.is_empty(), "nobody answers, and there is nothing to wait for");
    // It goes on like that, whatever the router finds out meanwhile.
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        let plan = router.plan(Some(&want), &router.look(app).await.unwrap());
        assert!(!plan.settled(), "nobody answers, and that is settled");
        tokio::time::sleep(PACE).await;
    }
    let have = router.look(app).await.unwrap();
    let carried = have.routes.iter().flat_map(|routes| &routes.pools);
    let mut carried = carried.filter(|pool| pool.weight > Weight::NONE && pool.release == release);
    assert!(carried.all(|pool| pool.instances.is_empty()), "it is sent requests: {have:?}");
    assert!(!Routes::same(have.routes.as_ref(), Some(&want)), "{have:?}");
    bed.appear();
    let have = settle(bed, app, Some(&want)).await;
    assert!(Routes::same(have.routes.as_ref(), Some(&want)), "{have:?}");
    quiet(router, Some(&want), &have).await;
}

/// After each number of changes on the way from one state to another the server reads its files again,
/// or is ended and started; a change that was planned before may still arrive. The same rounds of look,
/// plan and act end where they should.
async fn interruptions_are_coped_with(
    bed: &impl RouterBed,
    app: &AppName,
    states: &[Option<Routes>],
) {
    let router = bed.router();
    let (from, to) = (states[0].as_ref(), states[2].as_ref());
    for restarted in [false, true] {
        let mut taken = 0;
        loop {
            settle(bed, app, from).await;
            let left = advance(router, app, to, taken).await;
            if restarted {
                bed.restart();
            } else {
                bed.reload();
            }
            if let Some(late) = left.changes.first() {
                // Refused or done; what matters is what becomes of it.
                drop(router.act(late, router.look(app).await.map_or(0, |have| have.epoch)).await);
            }
            if left.settled() && bed.lasts() {
                let have = back_again(bed, app, to).await;
                assert!(
                    Routes::same(have.routes.as_ref(), to),
                    "restarted: {restarted}, lost: {have:?}"
                );
            }
            let have = settle_again(bed, app, to).await;
            let words = format!("restarted: {restarted}, after {taken} changes: {have:?}");
            assert!(Routes::same(have.routes.as_ref(), to), "{words}");
            quiet(router, to, &have).await;
            if left.settled() {
                break;
            }
            taken += 1;
        }
        assert!(taken > 0);
    }
}

/// Takes so many changes on the way to a state, each planned anew; what is left then.
async fn advance(
    router: &dyn Router,
    app: &AppName,
    want: Option<&Routes>,
    mut changes: usize,
) -> Plan {
    let rounds = async {
        loop {
            let have = router.look(app).await.unwrap();
            let plan = router.plan(want, &have);
            if changes == 0 || plan.settled() {
                return plan;
            }
            if let Some(next) = plan.changes.first() {
                router.act(next, have.epoch).await.unwrap();
                changes -= 1;
            }
        }
    };
    tokio::time::timeout(LIMIT, rounds).await.expect("it gets on")
}

async fn stale_is_refused(bed: &impl RouterBed, app: &AppName, states: &[Option<Routes>]) {
    let router = bed.router();
    let have = settle(bed, app, states[0].as_ref()).await;
    let stale = router.plan(states[1].as_ref(), &have).changes;
    let leave = router.plan(None, &have).changes;
    let now = settle(bed, app, states[2].as_ref()).await;
    for change in stale.iter().chain(&leave) {
        assert!(router.act(change, now.epoch).await.is_err(), "stale: {}", change.words);
    }
    let fresh = router.plan(states[1].as_ref(), &now).changes;
    router.act(&fresh[0], now.epoch + 1).await.unwrap();
    let newer = router.look(app).await.unwrap();
    for change in router.plan(states[2].as_ref(), &newer).changes {
        assert!(router.act(&change, now.epoch).await.is_err(), "an older controller acted");
    }
    assert_eq!(router.look(app).await.unwrap().routes, newer.routes);
}

async fn nonsense_never_panics(bed: &impl RouterBed, app: &AppName) {
    let router = bed.router();
    let before = router.look(app).await.unwrap();
    for change in super::nonsense() {
        assert!(router.act(&change, before.epoch).await.is_err(), "{change:?}");
    }
    let answers: [&[u8]; 8] = [
        b"",
        b"\n",
        b"{}\n",
        b"\xff\xfe\x00\n",
        b"{\"reply\":\"done\"}\n",
        b"{\"reply\":\"seen\",\"pid\":-1}\n",
        b"{\"reply\":\"seen\"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ];
    for answer in answers {
        bed.answer(Some(answer));
        assert!(router.look(app).await.is_err(), "{answer:?} was believed");
    }
    bed.answer(None);
    assert_eq!(router.look(app).await.unwrap().routes, before.routes);
}

fn states(bed: &impl RouterBed, app: &AppName) -> Vec<Routes> {
    let pool = |release: u32, weight: Weight, state, instances: u16| Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight,
        state,
        instances: (0..instances)
            .map(|n| Instance {
                id: InstanceId(format!("{app}-{release}-{n}")),
                address: bed.address_of(release, n),
            })
            .collect(),
    };
    let routes = |pools| Routes {
        app: app.clone(),
        generation: Generation(0),
        hosts: vec!["shop.example".into()],
        path_prefix: "/".into(),
        pools,
        rules: vec![],
        hold: None,
        hand_over: None,
        spread: model::Spread::default(),
    };
    let rule = |on: &Selector, value, release| {
        let mark = Mark::new(on.clone(), value).unwrap();
        Rule { mark, release: ReleaseId(release) }
    };
    let with = |routes, rules| Routes { rules, ..routes };
    let header = &Selector::Header("x-canary".into());
    let cookie = &Selector::Cookie("canary".into());
    let some = Weight::new(2500).unwrap();
    vec![
        routes(vec![pool(1, Weight::ALL, PoolState::Serving, 2)]),
        routes(vec![
            pool(1, some.rest(), PoolState::Serving, 2),
            pool(2, some, PoolState::Serving, 1),
        ]),
        routes(vec![
            pool(1, Weight::NONE, PoolState::Retiring, 2),
            pool(2, Weight::ALL, PoolState::Serving, 2),
        ]),
        routes(vec![]),
        with(
            routes(vec![
                pool(1, some.rest(), PoolState::Serving, 2),
                pool(2, some, PoolState::Serving, 1),
            ]),
            vec![rule(header, "new", 2), rule(cookie, "a b,\"c\"", 2), rule(header, "old", 1)],
        ),
        with(
            routes(vec![
                pool(1, Weight::ALL, PoolState::Serving, 1),
                pool(2, Weight::NONE, PoolState::Retiring, 2),
            ]),
            vec![rule(header, "new", 2), rule(header, "new", 1), rule(cookie, "1", 9)],
        ),
    ]
}
