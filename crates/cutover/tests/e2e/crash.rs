//! `up` killed with SIGKILL: at every phase it announces, at random instants, and when idle.
//!
//! The default run takes a few kill points by a seed that it prints; `CUTOVER_SEED` repeats one,
//! `CUTOVER_FULL=1` takes them all. Kills at every kind of record are in `kinds`, those of proxy and prober
//! in `parts`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::crowd::{Crowd, EVERYONE};
use crate::traffic::{Deploy, Users, get};
use crate::world::{CUTOVER, World, beside, patient_config, wait_for};

const INSTANCES: u16 = 2;
/// Phases by where they lie: before the switch, in it, under watch, and once promotion is final.
const PHASES: [&[&str]; 4] = [
    &["starting", "previewing", "arming"],
    &["shifting"],
    &["baking"],
    &["draining", "handing-over", "stopping", "promoted"],
];

/// When `up` is killed.
#[derive(Clone, Debug)]
enum Kill {
    /// As soon as this phase is announced.
    At(&'static str),
    /// So many ms after the deploy was asked for.
    After(u64),
}

/// The kill points of this run: always one before, one in, one while watching and one after the
/// switch, and an instant.
fn kill_points() -> Vec<Kill> {
    let seed = std::env::var("CUTOVER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut random = fastrand::Rng::with_seed(seed);
    let full = std::env::var_os("CUTOVER_FULL").is_some();
    let mut points = Vec::new();
    for stratum in PHASES {
        let one = random.usize(..stratum.len());
        let taken = if full { stratum } else { &stratum[one..=one] };
        points.extend(taken.iter().copied().map(Kill::At));
    }
    // Half of them in the first moments, when instances and the prober are being started.
    for _ in 0..if full { 16 } else { 1 } {
        let latest = if random.bool() { 400 } else { 4500 };
        points.push(Kill::After(random.u64(1..latest)));
    }
    random.shuffle(&mut points);
    println!("CUTOVER_SEED={seed}: {points:?}");
    points
}

/// No instance runs twice; answers the pids by id.
pub(crate) fn once(running: &[(String, u32)]) -> BTreeMap<String, u32> {
    let number = running.len();
    let pids: BTreeMap<_, _> = running.iter().cloned().collect();
    assert_eq!(pids.len(), number, "an instance runs twice: {running:?}");
    pids
}

/// Whoever is in both is the same process.
pub(crate) fn assert_same_processes(before: &BTreeMap<String, u32>, after: &BTreeMap<String, u32>) {
    for (id, pid) in after {
        let was = before.get(id).unwrap_or(pid);
        assert_eq!(was, pid, "{id} is another process now: {before:?} {after:?}");
    }
}

/// What a killed `up` came to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Survived {
    /// The version was promoted.
    promoted: bool,
    /// It had been, for good, when `up` died.
    was_final: bool,
}

/// R30: the controller is killed in mid-deploy.
#[test]
fn r30_up_killed_at_any_point_of_a_rollout_costs_nothing() {
    let points = kill_points();
    let _turn = beside();
    let mut world = World::patient(INSTANCES);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let proxy = world.parts("proxy");
    let (users, crowd) = (Users::of(&world, None), Crowd::of(&world, &EVERYONE));
    let mut stable = "v1".to_owned();
    let mut ends = Vec::new();
    for (number, point) in points.iter().enumerate() {
        let version = format!("v{}", number + 2);
        let end = kill_once(&mut world, &crowd, (&stable, &version), point);
        if end.promoted {
            stable = version;
        }
        ends.push(end);
        assert_eq!(world.parts("proxy"), proxy, "the proxy is another one");
    }
    users.expect_pass();
    let tallies = crowd.expect_nothing_lost();
    let told: u64 = tallies.iter().map(|tally| tally.reconnects).sum();
    let promoted = ends.iter().filter(|end| end.promoted).count() as u64;
    assert!(told >= promoted, "{promoted} promoted, but told to reconnect {told} times");
    let undecided: Vec<_> = ends.iter().filter(|end| !end.was_final).collect();
    let finished = undecided.iter().filter(|end| end.promoted).count();
    println!(
        "{finished} of {} rollouts that could still go either way were finished",
        undecided.len()
    );
    assert!(finished > 0, "whatever is not final when `up` dies is given up: {points:?}");
    assert!(undecided.len() < ends.len(), "no kill came after the promotion was final: {points:?}");
}

/// Ships `to` over `from` and kills `up` meanwhile.
fn kill_once(world: &mut World, crowd: &Crowd, (from, to): (&str, &str), point: &Kill) -> Survived {
    let stable = once(&world.running());
    let mut deploy = Deploy::start(world, "demo", to);
    match point {
        Kill::At(phase) => deploy.reach(phase),
        Kill::After(ms) => {
            deploy.reach("starting");
            std::thread::sleep(Duration::from_millis(*ms));
        }
    }
    let mark = crowd.mark();
    let died = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    world.kill_up();
    let at_death = once(&world.running());
    assert_same_processes(&stable, &at_death);
    world.up();
    assert_same_processes(&at_death, &once(&world.running()));

    let shipped = deploy.end();
    let report = &shipped.report;
    let phase = phase_at(report, died);
    println!("{to}: kill {point:?} in {phase}, {mark} ms after the users came: {:?}", shipped.code);
    let promoted = report["outcome"] == "promoted";
    shipped.expect(if promoted { 0 } else { 4 }, "PASS");
    assert!(promoted || report["outcome"] == "aborted", "{phase}: {}", shipped.said);
    let was_final = PHASES[3].contains(&phase.as_str());
    assert!(promoted || !was_final, "killed in {phase}, and taken back: {}", shipped.said);
    assert_eq!(report["failed"], 0);
    expect_only(world, if promoted { to } else { from }, &at_death);
    Survived { promoted, was_final }
}

/// The last phase that the journal had when `up` died.
fn phase_at(report: &Value, died: Duration) -> String {
    let began_ms = report["t0_unix_ms"].as_i64().unwrap();
    let died_us = i64::try_from(died.as_micros()).unwrap() - began_ms * 1000;
    let phases = report["phases"].as_array().unwrap();
    let entered = phases.iter().rfind(|phase| phase["from_us"].as_i64().unwrap() <= died_us);
    entered.and_then(|phase| phase["phase"].as_str()).unwrap_or("no phase").to_owned()
}

/// Users are on this version, and nothing else runs; nothing was started a second time.
fn expect_only(world: &World, version: &str, at_death: &BTreeMap<String, u32>) {
    let end = wait_for("only the stable release runs", 10, || {
        let running = once(&world.running());
        (running.len() == usize::from(INSTANCES)).then_some(running)
    });
    assert_same_processes(at_death, &end);
    // Who ran when `up` died still runs. Numbers are given once: a higher one belongs to an instance that
    // was on record and not yet started.
    let (release, _) = end.keys().next().unwrap().rsplit_once('-').unwrap();
    let of_it = |id: &&String| id.rsplit_once('-').unwrap().0 == release;
    let before: Vec<&String> = at_death.keys().filter(of_it).collect();
    assert!(before.iter().all(|id| end.contains_key(*id)), "{at_death:?}, then {end:?}");
    let late = |id: &&String| id.rsplit('-').next().unwrap().parse::<u16>().unwrap() > INSTANCES;
    let most = usize::from(INSTANCES).saturating_sub(before.len());
    assert!(end.keys().filter(late).count() <= most, "{at_death:?}, then {end:?}");
    assert!(world.parts("probe").is_empty(), "a prober is left");
    assert_eq!(world.status().unwrap()["apps"][0]["stable"], version);
    let answer = get(world.port, "x", "/version").unwrap();
    assert!(answer.contains(&format!("x-app-version: {version}\r\n")), "{version}: {answer}");
}

#[test]
fn up_killed_while_nothing_is_under_way_costs_nothing() {
    let _turn = beside();
    let mut world = World::patient(INSTANCES);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let before = once(&world.running());
    let (users, crowd) = (Users::of(&world, None), Crowd::of(&world, &EVERYONE));
    for _ in 0..3 {
        crowd.mark();
        world.kill_up();
        assert!(get(world.port, "x", "/version").unwrap().starts_with("HTTP/1.1 200"));
        world.up();
        wait_for("the instances are ready again", 10, || {
            let status = world.status()?;
            let instances = status["apps"][0]["instances"].as_array()?.clone();
            let ready = instances.iter().filter(|instance| instance["condition"] == "ready");
            (ready.count() == usize::from(INSTANCES)).then_some(())
        });
        assert_eq!(once(&world.running()), before);
    }
    users.expect_pass();
    crowd.expect_nothing_lost();
}

#[test]
fn up_refuses_the_state_of_a_newer_cutover_and_leaves_everything_alone() {
    let _turn = beside();
    let mut world = World::patient(1);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let (before, proxy) = (once(&world.running()), world.parts("proxy"));
    let users = Users::of(&world, None);
    world.kill_up();
    let schema = |version: i64| -> i64 {
        let database = rusqlite::Connection::open(world.state().join("cutover.db")).unwrap();
        let was = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        database.pragma_update(None, "user_version", version).unwrap();
        was
    };
    let ours = schema(99);
    let refused = world.expect(2, &["up"]);
    let said = crate::world::said(&refused);
    assert!(said.contains("schema 99"), "{said}");
    assert_eq!((once(&world.running()), world.parts("proxy")), (before.clone(), proxy.clone()));
    schema(ours);
    world.up();
    assert_eq!((once(&world.running()), world.parts("proxy")), (before, proxy));
    users.expect_pass();
}

/// An app that kills `up` in the moment in which it is told to end: sooner than that can be known
/// to anybody but the two of them.
const VENGEFUL: &str = r#"#!/bin/sh
trap 'read pid <up.pid; : >up.pid; [ -z "$pid" ] || kill -KILL "$pid"' TERM
CUTOVER app "$@" &
app=$!
# A signal ends a wait early.
while kill -0 "$app" 2>/dev/null; do wait "$app"; done
"#;

#[test]
fn up_killed_by_an_instance_that_it_has_just_told_to_end_costs_nothing() {
    let _turn = beside();
    let mut world = World::new(&patient_config(1).replace("\"CUTOVER\", \"app\"", "\"./app\""));
    let app = world.path().join("app");
    std::fs::write(&app, VENGEFUL.replace("CUTOVER", CUTOVER)).unwrap();
    std::fs::set_permissions(&app, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let (users, crowd) = (Users::of(&world, None), Crowd::of(&world, &EVERYONE));
    for version in ["v2", "v3", "v4"] {
        let up = world.status().unwrap()["pid"].to_string();
        std::fs::write(world.path().join("up.pid"), format!("{up}\n")).unwrap();
        let deploy = Deploy::start(&world, "demo", version);
        assert_eq!(world.ended_up(), None, "it was killed");
        println!("{version}: killed {} ms after the users came", crowd.mark());
        world.up();
        let shipped = deploy.end();
        shipped.expect(0, "PASS");
        assert_eq!(world.status().unwrap()["apps"][0]["stable"], version);
    }
    users.expect_pass();
    let tallies = crowd.expect_nothing_lost();
    assert_eq!(tallies.iter().map(|tally| tally.reconnects).sum::<u64>(), 3, "{tallies:?}");
}
