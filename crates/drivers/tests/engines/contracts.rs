//! Every driver and the bed it is tested on. The contract itself stands in `contract/`.
//!
//! That of the own proxy is tested on the real one, which this crate must not know: in `cutover`'s tests,
//! `e2e/router_contract`.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use crate::common::consul;
use crate::common::followers;
use crate::common::haproxy;
use crate::common::load;
use crate::common::nginx;
use crate::common::relay;
use crate::common::stall;
use crate::common::{Site, release, settle};
use crate::contract::platform::{PlatformBed, platform_keeps_contract};
use crate::contract::router::{RouterBed, router_keeps_contract};
use drivers::platform::process::Process;
use drivers::platform::{FleetWant, PLATFORMS, Platform, ReleaseWant};
use drivers::router::follower;
use drivers::router::haproxy::{Address, HaProxy};
use drivers::router::{ROUTERS, Router};
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

struct RealHaProxy {
    /// Where its servers come from, if it finds them by itself.
    consul: Option<consul::Bed>,
    haproxy: Mutex<haproxy::Bed>,
    relay: relay::Relay,
    driver: HaProxy,
    apps: [load::App; 2],
    /// Nobody listens there until it appears.
    late: load::Place,
    appeared: Mutex<Option<load::App>>,
}

impl RouterBed for RealHaProxy {
    fn router(&self) -> &dyn Router {
        &self.driver
    }

    fn foreign(&self, _app: &AppName) -> String {
        let haproxy = self.haproxy.lock().unwrap();
        let file = |name: &str| std::fs::read_to_string(haproxy.path(name)).unwrap();
        let map = haproxy.path("cutover-demo-1.map");
        let map = haproxy.tell(&format!("show map {}", map.display()));
        // Without the address in memory in front of each entry.
        let map: Vec<_> =
            map.lines().filter_map(|line| line.split_once(' ')).map(|l| l.1).collect();
        let servers = haproxy.tell("show servers state");
        let theirs = |line: &&str| {
            let one = line.contains(" theirs ") || line.contains(" cutover_demo-1_");
            one && !line.contains(" cutover_entrance ") && !line.contains(" - 0 32 ")
        };
        let servers: Vec<Vec<&str>> = servers
            .lines()
            .filter(theirs)
            // Without how long it has been so, and what its checks just do.
            .map(|line| {
                line.split(' ')
                    .enumerate()
                    .filter(|(at, _)| !(9..=13).contains(at))
                    // Found by DNS, or in the file of states.
                    .map(|(at, word)| if (at, word) == (6, "64") { "0" } else { word })
                    .collect()
            })
            .collect();
        assert!(servers.len() == 3 && map.len() > 5, "{servers:?} {map:?}");
        let files = ["zz-foreign.cfg", "cutover-demo-1.cfg", "cutover-demo-1.map"].map(file);
        let registered = self.consul.as_ref().map(|consul| {
            let services = consul.get("/v1/agent/services");
            let theirs = |name: &str| services.as_object().unwrap()[name].to_string();
            [theirs("demo-1.a.demo-7-0"), theirs("theirs")]
        });
        format!("{map:?}{servers:?}{files:?}{registered:?}")
    }

    fn shown(&self) -> String {
        let haproxy = self.haproxy.lock().unwrap();
        let asked = ["show servers state", "show servers conn", "show resolvers"];
        let mut said = asked.map(|question| haproxy.tell(question)).join("\n");
        let saved = haproxy.path("cutover-demo.state");
        said += &std::fs::read_to_string(saved).unwrap_or_default();
        let entries = self.consul.as_ref().map(|consul| consul.get("/v1/health/service/demo"));
        entries.map_or(said.clone(), |entries| format!("{said}\n{entries:#}"))
    }

    fn slow(&self) -> bool {
        self.consul.is_some()
    }

    fn address(&self, n: u16) -> SocketAddr {
        self.apps[usize::from(n)].address
    }

    fn absent(&self) -> Option<SocketAddr> {
        Some(self.late.address)
    }

    fn appear(&self) {
        *self.appeared.lock().unwrap() = Some(load::App::at(self.late.address, "v1"));
    }

    fn reload(&self) {
        self.haproxy.lock().unwrap().reload();
    }

    fn restart(&self) {
        let mut haproxy = self.haproxy.lock().unwrap();
        haproxy.crash();
        haproxy.launch();
    }

    fn lasts(&self) -> bool {
        true
    }

    fn answer(&self, nonsense: Option<&[u8]>) {
        self.relay.say(nonsense);
    }
}

async fn real_haproxy(program: std::path::PathBuf) {
    haproxy_with(program, None).await;
}

async fn real_haproxy_that_follows_consul(program: std::path::PathBuf) {
    let Some(consul) = consul::program() else { return };
    haproxy_with(program, Some(consul::Bed::start(&consul, false))).await;
}

async fn haproxy_with(program: std::path::PathBuf, consul: Option<consul::Bed>) {
    let discovery = consul.as_ref().map(consul::Bed::discovery);
    let haproxy = haproxy::Bed::following(&program, discovery).await;
    let apps = [load::App::start("v1"), load::App::start("v1")];
    let relay = relay::Relay::start(&haproxy.path("relay.sock"), &haproxy.path("master.sock"));
    let mut driver = HaProxy::new(Address::Unix(haproxy.path("relay.sock")));
    if let Some(consul) = &consul {
        driver = driver.following(Arc::new(consul.consul("the contract", None)));
        // Of the same name, and nobody's that Cutover knows.
        let theirs =
            serde_json::json!({ "ID": "theirs", "Name": "demo", "Tags": ["mine"], "Port": 9 });
        consul.tell("PUT", "/v1/agent/service/register", "", &theirs).unwrap();
    }
    let mut foreign = haproxy::routes(vec![haproxy::pool(
        7,
        10_000,
        model::PoolState::Serving,
        &[apps[0].address],
    )]);
    foreign.app = AppName::new("demo-1").unwrap();
    haproxy::settle(&driver, &foreign).await;
    let late = load::Place::new();
    let (haproxy, appeared) = (Mutex::new(haproxy), Mutex::default());
    let bed = RealHaProxy { consul, haproxy, relay, driver, apps, late, appeared };
    router_keeps_contract(&bed, &AppName::new("demo").unwrap()).await;
}

haproxy::on_each_haproxy!(real_haproxy, real_haproxy_that_follows_consul);

struct RealNginx {
    nginx: Mutex<nginx::Bed>,
    driver: drivers::router::nginx::Nginx,
    apps: [load::App; 2],
    late: load::Place,
    appeared: Mutex<Option<load::App>>,
}

impl RouterBed for RealNginx {
    fn router(&self) -> &dyn Router {
        &self.driver
    }

    fn foreign(&self, _app: &AppName) -> String {
        let nginx = self.nginx.lock().unwrap();
        let file = |name: &str| std::fs::read_to_string(nginx.setup.directory.join(name)).unwrap();
        let said = load::get(nginx.entrance(), "/demo-1/").unwrap();
        format!("{:?}{}", ["demo-1.conf", "demo-1.json"].map(file), said.body)
    }

    fn address(&self, n: u16) -> SocketAddr {
        self.apps[usize::from(n)].address
    }

    fn absent(&self) -> Option<SocketAddr> {
        Some(self.late.address)
    }

    fn appear(&self) {
        *self.appeared.lock().unwrap() = Some(load::App::at(self.late.address, "v1"));
    }

    fn reload(&self) {
        self.nginx.lock().unwrap().reload();
    }

    fn restart(&self) {
        let mut nginx = self.nginx.lock().unwrap();
        nginx.crash();
        nginx.launch();
    }

    fn lasts(&self) -> bool {
        true
    }

    fn slow(&self) -> bool {
        true
    }

    /// Into the pid file: what nginx itself says is read by a parser with tests of its own.
    fn answer(&self, nonsense: Option<&[u8]>) {
        let pid = self.nginx.lock().unwrap().setup.pid.clone();
        let aside = pid.with_extension("aside");
        match nonsense {
            Some(bytes) => {
                if !aside.exists() {
                    std::fs::copy(&pid, &aside).unwrap();
                }
                std::fs::write(&pid, bytes).unwrap();
            }
            None => std::fs::rename(&aside, &pid).unwrap(),
        }
    }
}

async fn real_nginx(nginx: nginx::Bed) {
    let apps = [load::App::start("v1"), load::App::start("v1")];
    let driver = nginx.driver();
    let serving = haproxy::pool(7, 10_000, model::PoolState::Serving, &[apps[0].address]);
    let mut foreign = haproxy::routes(vec![serving]);
    foreign.app = AppName::new("demo-1").unwrap();
    haproxy::settle(&driver, &foreign).await;
    let late = load::Place::new();
    let (nginx, appeared) = (Mutex::new(nginx), Mutex::default());
    let bed = RealNginx { nginx, driver, apps, late, appeared };
    router_keeps_contract(&bed, &AppName::new("demo").unwrap()).await;
}

nginx::on_each_nginx!(real_nginx);

/// A Fabio (a FAKE, see `common/followers`) that follows a real Consul, which is what is reloaded and restarted.
struct Followed {
    consul: Mutex<consul::Bed>,
    way: stall::Stall,
    _fabio: followers::Follower,
    driver: follower::Follower,
    /// Two of each version, which say who they are.
    apps: [[load::App; 2]; 2],
    late: load::Place,
    appeared: Mutex<Option<load::App>>,
}

impl RouterBed for Followed {
    fn router(&self) -> &dyn Router {
        &self.driver
    }

    fn foreign(&self, _app: &AppName) -> String {
        let consul = self.consul.lock().unwrap();
        let services = consul.get("/v1/agent/services");
        let theirs = ["theirs", "demo-1.release-7.demo-1-7-0"].map(|id| services[id].to_string());
        assert!(theirs.iter().all(|one| one.len() > 10), "{services}");
        let key = consul.get("/v1/kv/cutover/demo-1/routes")[0]["ModifyIndex"].to_string();
        format!("{theirs:?}{key}")
    }

    fn slow(&self) -> bool {
        true
    }

    fn address_of(&self, release: u32, n: u16) -> SocketAddr {
        self.apps[usize::try_from(release).unwrap() - 1][usize::from(n)].address
    }

    fn absent(&self) -> Option<SocketAddr> {
        Some(self.late.address)
    }

    fn appear(&self) {
        *self.appeared.lock().unwrap() =
            Some(load::App::named(self.late.address, "v2", Some("demo-2-0")));
    }

    fn reload(&self) {
        self.consul.lock().unwrap().reload();
    }

    fn restart(&self) {
        let mut consul = self.consul.lock().unwrap();
        consul.crash();
        consul.launch();
    }

    fn lasts(&self) -> bool {
        true
    }

    fn answer(&self, nonsense: Option<&[u8]>) {
        self.way.say(nonsense);
    }
}

/// Takes more than a minute, most of it in looks at all connections of the machine: whole runs only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_a_real_consul() {
    if std::env::var_os("CUTOVER_FULL").is_none() {
        return;
    }
    let Some(program) = consul::program() else { return };
    let consul = consul::Bed::start(&program, false);
    let entrance = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fabio = followers::Follower::fabio(consul.http, entrance);
    let way = stall::Stall::before(consul.http);
    let theirs = [
        serde_json::json!({ "ID": "theirs", "Name": "demo", "Tags": ["mine"], "Port": 9 }),
        serde_json::json!({ "ID": "demo-1.release-7.demo-1-7-0", "Name": "demo-1", "Port": 9,
            "Meta": { "cutover-instance": "demo-1-7-0", "cutover-group": "release-7" } }),
    ];
    for one in theirs {
        consul.tell("PUT", "/v1/agent/service/register", "", &one).unwrap();
    }
    let record = serde_json::json!({ "generation": 7 });
    consul.tell("PUT", "/v1/kv/cutover/demo-1/routes", "", &record).unwrap();
    let app = follower::AppSetup {
        name: AppName::new("demo").unwrap(),
        host: "shop.example".into(),
        path: "/".into(),
        version_header: "x-app-version".into(),
    };
    let driver = follower::Follower::new(
        consul::Bed::consul_by((way.address, None), "the contract", None),
        follower::Setup { entrances: vec![entrance], apps: vec![app] },
    );
    let named = [("v1", ["demo-1-0", "demo-1-1"]), ("v2", ["demo-2-0", "demo-2-1"])];
    let apps = named.map(|(version, names)| {
        names.map(|name| load::App::named(([127, 0, 0, 1], 0).into(), version, Some(name)))
    });
    let late = load::Place::new();
    let (consul, appeared) = (Mutex::new(consul), Mutex::default());
    let bed = Followed { consul, way, _fabio: fabio, driver, apps, late, appeared };
    router_keeps_contract(&bed, &AppName::new("demo").unwrap()).await;
}

#[test]
fn drivers_are_registered_under_distinct_names() {
    let platforms: Vec<_> = PLATFORMS.iter().map(|entry| entry.name).collect();
    let routers: Vec<_> = ROUTERS.iter().map(|entry| entry.name).collect();
    assert_eq!(
        (platforms, routers),
        (vec!["process", "discovered"], vec!["proxy", "haproxy", "consul", "nginx"])
    );
    let folder = tempfile::tempdir().unwrap();
    assert!((PLATFORMS[0].open)(folder.path()).is_ok());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let fault = (PLATFORMS[0].open)(&file).unwrap_err();
    assert!(fault.what.contains(file.to_str().unwrap()), "{fault:?}");
}
