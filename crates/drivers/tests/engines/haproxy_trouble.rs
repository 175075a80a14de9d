//! The HAProxy driver where it cannot work: what is said, and that nothing was touched.
//!
//! Where somebody else has changed something, and it can work all the same, is in `haproxy_truth`.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::haproxy;
use crate::common::relay;
use drivers::router::Router;
use drivers::router::haproxy::config::{AppSetup, Setup, render};
use drivers::router::haproxy::{Address, HaProxy, review};
use haproxy::{Bed, app, pool, routes, settle};
use model::{AppName, Fault, Kind, PoolState};

haproxy::on_each_haproxy!(
    what_is_missing_is_named_with_the_fix,
    a_low_level_is_refused_before_anything_is_touched,
    preflight_says_what_is_otherwise,
    a_configuration_that_would_not_load_is_not_written,
    what_was_planned_on_other_routes_is_refused,
    it_works_over_tcp,
    an_answer_that_was_cut_is_not_believed,
    the_configuration_is_accepted_without_a_warning,
);

fn listening() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Accepts connections and answers 200 to every one, for health checks.
fn healthy() -> std::net::SocketAddr {
    let (listener, address) = listening();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _asked = stream.read(&mut [0; 1024]);
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

fn says(fault: &Fault, what: &str, help: &str) {
    let found = fault.help.clone().unwrap_or_default();
    assert!(fault.what.contains(what) && found.contains(help), "{fault:?}");
}

/// Everything that a driver might have touched.
fn state(bed: &Bed) -> String {
    let files = ["cutover-demo.cfg", "cutover-demo.map"]
        .map(|name| std::fs::read_to_string(bed.path(name)).unwrap_or_default());
    let servers = bed.tell("show servers state");
    // Time passes and checks go on by themselves.
    let servers: Vec<Vec<&str>> = servers
        .lines()
        .map(|line| {
            line.split(' ')
                .enumerate()
                .filter(|(at, _)| !(9..=13).contains(at))
                .map(|(_, w)| w)
                .collect()
        })
        .collect();
    let map = bed.tell(&format!("show map {}", bed.path("cutover-demo.map").display()));
    // Without the address in memory in front of each entry.
    let map: Vec<_> = map.lines().map(|line| line.split_once(' ').map(|l| l.1)).collect();
    format!("{files:?}{servers:?}{map:?}")
}

async fn what_is_missing_is_named_with_the_fix(program: PathBuf) {
    let bed = Bed::start(&program).await;
    let before = state(&bed);
    let driver = bed.driver();
    let other = AppName::new("demos").unwrap();
    let fault = driver.preflight(&[app(), other.clone()]).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Config);
    says(&fault, "has no map `cutover-demos.map`", "cutover haproxy config");
    assert!(fault.notes[0].starts_with("nearest: ") && fault.notes[0].contains("cutover-demo.map"));
    assert!(driver.look(&other).await.is_err());
    let text = std::fs::read_to_string(bed.path("cutover-demo.cfg")).unwrap();
    let renamed = text.replace("backend cutover_demo_b_ws", "backend cutover_demo_b_wss");
    std::fs::write(bed.path("cutover-demo.cfg"), renamed).unwrap();
    bed.reload();
    let fault = driver.look(&app()).await.unwrap_err();
    says(&fault, "has no backend `cutover_demo_b_ws`", "cutover haproxy config");
    assert!(fault.notes[0].starts_with("nearest: cutover_demo_b_ws"), "{fault:?}");
    std::fs::write(bed.path("cutover-demo.cfg"), text).unwrap();
    bed.reload();
    // A worker that ends may be the one that answers, for a moment.
    let deadline = Instant::now() + Duration::from_secs(5);
    while state(&bed) != before && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(state(&bed), before);
}

async fn a_low_level_is_refused_before_anything_is_touched(program: PathBuf) {
    let bed = Bed::start(&program).await;
    let config = bed.path("00-cutover.cfg");
    let text = std::fs::read_to_string(&config).unwrap();
    let low = bed.path("low.sock");
    let more =
        format!("    stats timeout 30s\n    stats socket {} level operator\n", low.display());
    std::fs::write(&config, text.replace("    stats timeout 30s\n", &more)).unwrap();
    bed.reload();
    let before = state(&bed);
    let driver = HaProxy::new(Address::Unix(low));
    let fault = driver.preflight(&[app()]).await.unwrap_err();
    says(&fault, "does not allow", "level admin");
    let want = routes(vec![pool(1, 10_000, PoolState::Serving, &[([127, 0, 0, 1], 1).into()])]);
    let have = driver.look(&app()).await.unwrap();
    let changes = driver.plan(Some(&want), &have).changes;
    says(&driver.act(&changes[0], 1).await.unwrap_err(), "does not allow", "level admin");
    assert_eq!(state(&bed), before);
}

async fn preflight_says_what_is_otherwise(program: PathBuf) {
    let bed = Bed::start(&program).await;
    assert_eq!(bed.driver().preflight(&[app()]).await.unwrap(), []);
    let found = bed.plain_driver().preflight(&[app()]).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].setting == "socket" && found[0].needed.contains("master's"));
    let config = bed.path("cutover-demo.cfg");
    let text = std::fs::read_to_string(&config).unwrap();
    let worse = text.replace("balance leastconn", "balance source");
    let worse = worse.replace("http-request disable-l7-retry", "#");
    std::fs::write(&config, worse).unwrap();
    bed.reload();
    let found = bed.driver().preflight(&[app()]).await.unwrap();
    let balance = found.iter().filter(|one| one.setting.contains("balance of cutover_demo_"));
    assert_eq!(balance.count(), 4, "{found:?}");
    let file = |name: &str| (name.to_owned(), std::fs::read_to_string(bed.path(name)).unwrap());
    let found = review(&["00-cutover.cfg", "cutover-demo.cfg"].map(file));
    assert!(found.iter().all(|one| one.why.contains("POST is done twice")), "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
}

async fn a_configuration_that_would_not_load_is_not_written(program: PathBuf) {
    let bed = Bed::start(&program).await;
    let driver = bed.driver();
    let want = routes(vec![pool(1, 10_000, PoolState::Serving, &[healthy()])]);
    let foreign = bed.path("zz-foreign.cfg");
    let good = std::fs::read_to_string(&foreign).unwrap();
    let deadline = Instant::now() + haproxy::PATIENCE;
    // Up to the publication, which is the only step that writes.
    let publish = loop {
        let have = driver.look(&app()).await.unwrap();
        let changes = driver.plan(Some(&want), &have).changes;
        match changes.into_iter().next() {
            Some(change) if change.words.starts_with("route") => break change,
            Some(change) => driver.act(&change, 1).await.unwrap(),
            None => assert!(Instant::now() < deadline),
        }
    };
    std::fs::write(&foreign, format!("{good}    nonsense here\n")).unwrap();
    let before = state(&bed);
    let fault = driver.act(&publish, 1).await.unwrap_err();
    says(&fault, "would refuse its configuration", "mend the configuration");
    assert!(fault.notes.iter().any(|note| note.contains("nonsense")), "{fault:?}");
    assert_eq!(state(&bed), before);
    std::fs::write(&foreign, good).unwrap();
    driver.act(&publish, 1).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(bed.path("")).unwrap().flatten().collect();
    assert!(
        left.iter().all(|file| !file.file_name().to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

async fn what_was_planned_on_other_routes_is_refused(program: PathBuf) {
    let bed = Bed::start(&program).await;
    let driver = bed.driver();
    let at = [healthy()];
    let have = driver.look(&app()).await.unwrap();
    let stale =
        driver.plan(Some(&routes(vec![pool(2, 1, PoolState::Serving, &at)])), &have).changes;
    settle(&driver, &routes(vec![pool(1, 10_000, PoolState::Serving, &at)])).await;
    let before = state(&bed);
    let fault = driver.act(&stale[0], 1).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Conflict);
    assert!(fault.notes[0].contains("expected `demo at generation 0`"), "{fault:?}");
    let three = (1..4).map(|release| pool(release, 1, PoolState::Serving, &at)).collect();
    let have = driver.look(&app()).await.unwrap();
    let refuse = driver.plan(Some(&routes(three)), &have).changes;
    let fault = driver.act(&refuse[0], 1).await.unwrap_err();
    says(&fault, "cannot carry 3 releases at once", "let one release go first");
    assert_eq!(state(&bed), before);
}

async fn it_works_over_tcp(program: PathBuf) {
    let bed = Bed::start(&program).await;
    let (listener, address) = listening();
    drop(listener);
    let config = bed.path("00-cutover.cfg");
    let text = std::fs::read_to_string(&config).unwrap();
    let more = format!("    stats timeout 30s\n    stats socket {address} level admin\n");
    std::fs::write(&config, text.replace("    stats timeout 30s\n", &more)).unwrap();
    bed.reload();
    let driver = HaProxy::new(address.to_string().parse().unwrap());
    let want = routes(vec![pool(1, 10_000, PoolState::Serving, &[healthy()])]);
    let have = settle(&driver, &want).await;
    assert!(have.routes.unwrap().same_as(&want));
    assert_eq!(bed.plain_driver().look(&app()).await.unwrap().epoch, 1);
}

async fn an_answer_that_was_cut_is_not_believed(program: PathBuf) {
    let bed = Bed::start(&program).await;
    let at = [healthy(), healthy()];
    settle(&bed.driver(), &routes(vec![pool(1, 10_000, PoolState::Serving, &at)])).await;
    for behind in ["admin.sock", "master.sock"] {
        let socket = bed.path(&format!("cut-{behind}"));
        let relay = relay::Relay::start(&socket, &bed.path(behind));
        let driver = HaProxy::new(Address::Unix(socket));
        assert!(driver.look(&app()).await.is_ok());
        for lines in 1..12 {
            relay.cut(lines);
            let looked = driver.look(&app()).await;
            assert!(looked.is_err(), "{lines} lines short: {looked:?}");
        }
    }
}

async fn the_configuration_is_accepted_without_a_warning(program: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let check = |check_path: Option<String>| {
        let apps = ["one", "two-2"].map(|name| AppSetup {
            name: AppName::new(name).unwrap(),
            check_path: check_path.clone(),
            check_ms: 500,
            looks_at: haproxy::looks_at(),
        });
        let setup = Setup {
            directory: folder.path().to_owned(),
            socket: folder.path().join("admin.sock"),
            master: Address::Unix(folder.path().join("master.sock")),
            entrances: vec!["127.0.0.1:18080".parse().unwrap(), "[::]:18081".parse().unwrap()],
            apps: apps.to_vec(),
            discovery: None,
        };
        for file in render(&setup).unwrap() {
            std::fs::write(folder.path().join(file.name), file.text).unwrap();
        }
        for name in ["one", "two-2"] {
            std::fs::write(folder.path().join(format!("cutover-{name}.map")), "").unwrap();
        }
        let mut command = Command::new(&program);
        let output = command.arg("-c").arg("-dW").arg("-f").arg(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("WARNING"), "{said}");
    };
    check(None);
    check(Some("/healthz".into()));
}

/// What may come is waited for; what never will is trouble with the configuration.
#[tokio::test]
async fn no_socket_and_what_is_none_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: PathBuf| HaProxy::new(Address::Unix(path));
    let none = folder.path().join("none.sock");
    for fault in [at(none.clone()).look(&app()).await.unwrap_err(), reach(&none).await] {
        assert_eq!(fault.kind, Kind::Environment);
        says(&fault, "cannot be reached", "is it running, with `stats socket");
    }
    // One that nobody listens on any more, as a HAProxy leaves it that was killed.
    drop(UnixListener::bind(&none).unwrap());
    let fault = reach(&none).await;
    assert_eq!(fault.kind, Kind::Environment);
    says(&fault, "cannot be reached", "is HAProxy running");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.as_path(), folder.path()] {
        let fault = reach(path).await;
        assert_eq!(fault.kind, Kind::Config);
        says(&fault, "is not a socket", "name what `-S` or `stats socket` names");
    }
    let fault = reach(&folder.path().join("x".repeat(200))).await;
    assert_eq!(fault.kind, Kind::Config);
    says(&fault, "cannot be reached", "shorter than 108 bytes");
}

async fn reach(socket: &Path) -> Fault {
    HaProxy::new(Address::Unix(socket.to_owned())).reach().await.unwrap_err()
}

/// The superuser is let in everywhere, so this file's test is run again as somebody else.
#[tokio::test]
async fn a_socket_that_lets_nobody_in_says_what_to_do() {
    let (name, socket) = ("a_socket_that_lets_nobody_in_says_what_to_do", "CUTOVER_TEST_SOCKET");
    if let Some(socket) = std::env::var_os(socket) {
        let fault = reach(Path::new(&socket)).await;
        assert_eq!(fault.kind, Kind::Config);
        return says(&fault, "cannot be reached: Permission denied", "run Cutover as the owner");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not-for-you.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    if !rustix::process::geteuid().is_root() {
        command = Command::new(&program);
    }
    command
        .args(["--exact", &format!("haproxy_trouble::{name}"), "--nocapture"])
        .env(socket, &path);
    let Ok(output) = command.output() else {
        aside::say("skipped: no setpriv (util-linux) to ask as somebody else");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

#[tokio::test]
async fn silence_ends_after_three_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let begun = Instant::now();
    let fault = HaProxy::new(Address::Unix(socket)).look(&app()).await.unwrap_err();
    says(&fault, "did not answer within 3 s", "runtime API");
    assert!(begun.elapsed() < Duration::from_secs(6));
}
