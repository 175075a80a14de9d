//! Every driver and the bed it is tested on. The contract itself stands in `contract/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod contract;
#[path = "common/fake_proxy.rs"]
mod fake_proxy;
#[path = "common/haproxy.rs"]
mod haproxy;
#[path = "common/load.rs"]
mod load;
#[path = "common/relay.rs"]
mod relay;

use common::{Site, release, settle};
use contract::platform::{PlatformBed, platform_keeps_contract};
use contract::router::{RouterBed, router_keeps_contract};
use drivers::platform::process::Process;
use drivers::platform::{FleetWant, PLATFORMS, Platform, ReleaseWant};
use drivers::router::haproxy::{Address, HaProxy};
use drivers::router::proxy::Proxy;
use drivers::router::{ROUTERS, Router};
use fake_proxy::{FakeProxy, Mood};
use model::{AppName, Release, RunState};

struct Processes {
    site: Site,
    platform: Process,
}

impl PlatformBed for Processes {
    fn platform(&self) -> &dyn Platform {
        &self.platform
    }

    fn releases(&self) -> [Release; 2] {
        [release(1, &[]), release(2, &[])]
    }

    fn damage(&self, app: &AppName, broken: bool) {
        let record = self.site.path().join("instances").join(format!("{app}-1.json"));
        let aside = record.with_extension("aside");
        if broken {
            std::fs::rename(&record, &aside).unwrap();
            std::fs::write(&record, "{\"release\":{\"app\":").unwrap();
        } else {
            std::fs::rename(&aside, &record).unwrap();
        }
    }
}

#[tokio::test]
async fn processes() {
    let site = Site::new();
    let platform = site.open();
    let foreign = AppName::new("demo-1").unwrap();
    let theirs = Release { app: foreign.clone(), ..release(1, &[]) };
    let running =
        ReleaseWant { release: theirs, instances: 1, state: RunState::Running, leave: None };
    settle(&platform, &FleetWant { app: foreign.clone(), releases: vec![running] }).await;
    platform_keeps_contract(&Processes { site, platform }, &foreign).await;
}

struct OwnProxy {
    fake: FakeProxy,
    driver: Proxy,
}

impl RouterBed for OwnProxy {
    fn router(&self) -> &dyn Router {
        &self.driver
    }

    fn foreign(&self, app: &AppName) -> String {
        let state = self.fake.state.lock().unwrap();
        let others = state.seen.apps.iter().filter(|seen| seen.routes.app != *app);
        format!("{:?}", others.collect::<Vec<_>>())
    }

    fn answer(&self, nonsense: Option<&[u8]>) {
        self.fake.mood(nonsense.map_or(Mood::Honest, |bytes| Mood::Says(bytes.to_vec())));
    }
}

#[tokio::test]
async fn own_proxy() {
    let fake = FakeProxy::start();
    let driver = Proxy::new(&fake.socket());
    let bed = OwnProxy { fake, driver };
    let (app, other) = (AppName::new("demo").unwrap(), AppName::new("demo-1").unwrap());
    let foreign = model::Routes {
        app: other.clone(),
        generation: model::Generation(0),
        hosts: vec![],
        path_prefix: "/other".into(),
        pools: vec![],
        rules: vec![],
        hold: None,
    };
    let have = bed.driver.look(&other).await.unwrap();
    let plan = bed.driver.plan(Some(&foreign), &have);
    bed.driver.act(&plan.changes[0], 1).await.unwrap();
    router_keeps_contract(&bed, &app).await;
}

struct RealHaProxy {
    haproxy: haproxy::Bed,
    relay: relay::Relay,
    driver: HaProxy,
    apps: [load::App; 2],
}

impl RouterBed for RealHaProxy {
    fn router(&self) -> &dyn Router {
        &self.driver
    }

    fn foreign(&self, _app: &AppName) -> String {
        let file = |name: &str| std::fs::read_to_string(self.haproxy.path(name)).unwrap();
        let map = self.haproxy.path("cutover-demo-1.map");
        let map = self.haproxy.tell(&format!("show map {}", map.display()));
        // Without the address in memory in front of each entry.
        let map: Vec<_> =
            map.lines().filter_map(|line| line.split_once(' ')).map(|l| l.1).collect();
        let servers = self.haproxy.tell("show servers state");
        let theirs = |line: &&str| line.contains(" theirs ") || line.contains(" cutover_demo-1_");
        let servers: Vec<Vec<&str>> = servers
            .lines()
            .filter(theirs)
            // Without how long it has been so, and what its checks just do.
            .map(|line| {
                line.split(' ')
                    .enumerate()
                    .filter(|(at, _)| !(9..=13).contains(at))
                    .map(|w| w.1)
                    .collect()
            })
            .collect();
        assert!(servers.len() == 3 && map.len() > 5, "{servers:?} {map:?}");
        let files = ["zz-foreign.cfg", "cutover-demo-1.cfg", "cutover-demo-1.map"].map(file);
        format!("{map:?}{servers:?}{files:?}")
    }

    fn address(&self, n: u16) -> std::net::SocketAddr {
        self.apps[usize::from(n)].address
    }

    fn reload(&self) {
        self.haproxy.reload();
    }

    fn answer(&self, nonsense: Option<&[u8]>) {
        self.relay.say(nonsense);
    }
}

async fn real_haproxy(program: std::path::PathBuf) {
    let haproxy = haproxy::Bed::start(&program).await;
    let apps = [load::App::start("v1"), load::App::start("v1")];
    let relay = relay::Relay::start(&haproxy.path("relay.sock"), &haproxy.path("master.sock"));
    let driver = HaProxy::new(Address::Unix(haproxy.path("relay.sock")));
    let mut foreign = haproxy::routes(vec![haproxy::pool(
        7,
        10_000,
        model::PoolState::Serving,
        &[apps[0].address],
    )]);
    foreign.app = AppName::new("demo-1").unwrap();
    haproxy::settle(&driver, &foreign).await;
    let bed = RealHaProxy { haproxy, relay, driver, apps };
    router_keeps_contract(&bed, &AppName::new("demo").unwrap()).await;
}

on_each_haproxy!(real_haproxy);

#[test]
fn drivers_are_registered_under_distinct_names() {
    let platforms: Vec<_> = PLATFORMS.iter().map(|entry| entry.name).collect();
    let routers: Vec<_> = ROUTERS.iter().map(|entry| entry.name).collect();
    assert_eq!((platforms, routers), (vec!["process"], vec!["proxy", "haproxy"]));
    let folder = tempfile::tempdir().unwrap();
    assert!((PLATFORMS[0].open)(folder.path()).is_ok());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let fault = (PLATFORMS[0].open)(&file).unwrap_err();
    assert!(fault.what.contains(file.to_str().unwrap()), "{fault:?}");
}
