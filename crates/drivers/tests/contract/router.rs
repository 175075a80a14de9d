//! The contract of a router.

use std::net::SocketAddr;
use std::time::Duration;

use drivers::router::{Router, RoutesHave};
use model::{AppName, Generation, Instance, InstanceId, Mark, Pool, PoolState, ReleaseId, Routes};
use model::{Rule, Selector, Version, Weight};

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
    /// Has the server read its files again, if it has any.
    fn reload(&self) {}
    /// Makes the server answer with these bytes until told otherwise (`None`: sanely again).
    fn answer(&self, nonsense: Option<&[u8]>);
}

const LIMIT: Duration = Duration::from_secs(10);

/// Runs the whole contract for one app whose entries the bed may or may not have already.
pub(crate) async fn router_keeps_contract(bed: &impl RouterBed, app: &AppName) {
    let router = bed.router();
    let original = router.look(app).await.unwrap().routes;
    let foreign = bed.foreign(app);
    let mut states: Vec<Option<Routes>> = states(bed, app).into_iter().map(Some).collect();
    states.extend([None, original.clone()]);
    for from in &states {
        for to in &states {
            settle(router, app, from.as_ref()).await;
            let have = settle(router, app, to.as_ref()).await;
            assert!(same(have.routes.as_ref(), to.as_ref()), "{from:?} to {to:?}: {have:?}");
            quiet(router, to.as_ref(), &have).await;
        }
    }
    rules_survive_and_go(bed, app, &states).await;
    stale_is_refused(router, app, &states).await;
    nonsense_never_panics(bed, app).await;
    let restored = settle(router, app, original.as_ref()).await;
    assert!(same(restored.routes.as_ref(), original.as_ref()));
    assert_eq!(bed.foreign(app), foreign, "foreign entries were touched");
}

async fn settle(router: &dyn Router, app: &AppName, want: Option<&Routes>) -> RoutesHave {
    let rounds = async {
        loop {
            let have = router.look(app).await.unwrap();
            let plan = router.plan(want, &have);
            assert_eq!(plan, router.plan(want, &have), "a plan is pure");
            if plan.settled() {
                return have;
            }
            for change in &plan.changes {
                let epoch = router.look(app).await.unwrap().epoch;
                router.act(change, epoch).await.unwrap();
            }
        }
    };
    tokio::time::timeout(LIMIT, rounds).await.expect("it converges")
}

/// Settled stays settled and nothing moves, and whatever generation is wanted changes nothing.
async fn quiet(router: &dyn Router, want: Option<&Routes>, have: &RoutesHave) {
    let again = router.look(&have.app).await.unwrap();
    assert_eq!(again.routes, have.routes);
    let other = want.map(|want| Routes { generation: Generation(12_345), ..want.clone() });
    assert!(router.plan(other.as_ref(), &again).settled());
}

/// Rules are as lasting as the routes they are part of, and go with them.
async fn rules_survive_and_go(bed: &impl RouterBed, app: &AppName, states: &[Option<Routes>]) {
    let router = bed.router();
    let some = |routes: &&Option<Routes>| routes.as_ref().is_some_and(|r| !r.rules.is_empty());
    let with: Vec<&Option<Routes>> = states.iter().filter(some).collect();
    assert!(with.len() >= 2 && router.can().header_rules);
    for want in with {
        settle(router, app, want.as_ref()).await;
        bed.reload();
        let have = router.look(app).await.unwrap();
        assert!(same(have.routes.as_ref(), want.as_ref()), "after a reload: {have:?}");
        quiet(router, want.as_ref(), &have).await;
        let bare = want.clone().map(|want| Routes { rules: vec![], ..want });
        assert!(!router.plan(bare.as_ref(), &have).settled(), "a rule that is left is settled");
        let have = settle(router, app, bare.as_ref()).await;
        assert_eq!(have.routes.unwrap().rules, []);
        bed.reload();
        assert_eq!(router.look(app).await.unwrap().routes.unwrap().rules, []);
    }
}

async fn stale_is_refused(router: &dyn Router, app: &AppName, states: &[Option<Routes>]) {
    let have = settle(router, app, states[0].as_ref()).await;
    let stale = router.plan(states[1].as_ref(), &have).changes;
    let leave = router.plan(None, &have).changes;
    let now = settle(router, app, states[2].as_ref()).await;
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

fn same(a: Option<&Routes>, b: Option<&Routes>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same_as(b),
        (a, b) => a.is_none() && b.is_none(),
    }
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
                address: bed.address(n),
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
