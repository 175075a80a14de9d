//! `cutover aa` as a user runs it: on the access log that the proxy wrote, and on one whose errors come together.
//!
//! What the comparison does with such traffic is tried in `calibrate` and in `rollout`, not here.

use std::fmt::Write as _;
use std::time::Duration;

use crate::judging::Users;
use crate::world::{World, beside, patient_config, said, wait_for};

/// Runs it on that log, well.
fn told(world: &World, log: &str) -> String {
    let words = ["aa", "--log", log, "--app", "demo", "--percent", "20", "--times", "60"];
    String::from_utf8(world.expect(0, &words).stdout).unwrap()
}

/// The row of a kind of canary, counted by this unit: false aborts at 5 % and 1 %, in per cent, and whether those are
/// too many.
fn row(told: &str, canary: &str, unit: &str) -> (f64, f64, bool) {
    let line = told.lines().find_map(|line| line.strip_prefix(canary)?.trim().strip_prefix(unit));
    let line = line.unwrap_or_else(|| panic!("no row of {canary}, {unit}: {told}"));
    let shares: Vec<f64> = line.split('%').map_while(|part| part.trim().parse().ok()).collect();
    let [five, one, ..] = shares[..] else { panic!("{line}") };
    (five, one, line.contains("too many"))
}

#[test]
fn the_proxys_own_log_says_what_to_count_by() {
    let _turn = beside();
    let log = "access_log = \"access.log\"\ndrain_timeout";
    let mut world = World::new(&patient_config(1).replacen("drain_timeout", log, 1));
    let none = said(&world.expect(2, &["aa", "--log", "access.log"]));
    assert!(none.contains("access.log cannot be read") && none.contains("help:"), "{none}");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let few = said(&world.expect(2, &["aa", "--log", "access.log"]));
    assert!(few.contains("0 requests that count"), "the prober's own do: {few}");
    let users = Users::of(world.port, 50, Duration::from_millis(200), "/");
    let path = world.path().join("access.log");
    wait_for("so many requests", 60, || {
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        (lines.lines().filter(|line| line.contains("127.0.9.")).count() > 1_100).then_some(())
    });
    drop(users);
    let told = told(&world, "access.log");
    assert!(told.contains(" requests of 50 clients, 0 failed"), "{told}");
    for canary in ["each request", "sticky clients"] {
        for unit in ["request", "client"] {
            assert_eq!(row(&told, canary, unit), (0.0, 0.0, false), "{told}");
        }
    }
    // Of no failure nobody knows whether failures come together.
    assert!(told.contains("it cannot be told") && told.contains("keep `count_by"), "{told}");
    assert!(!told.contains("keeps its promise"), "{told}");
}

/// Ten minutes; each second two of twenty clients fail eight times in a row.
#[test]
fn errors_that_come_together_are_to_be_counted_by_client() {
    let world = World::new("");
    let mut log = String::new();
    for second in 0..600 {
        for n in 0..20 {
            let (times, status) = if n < 2 { (8, 500) } else { (1, 200) };
            let client = (second * 7 + n * 10) % 200;
            let (minute, second) = (second / 60, second % 60);
            for _ in 0..times {
                let _written = writeln!(
                    log,
                    "{{\"time\":\"2026-01-01T00:{minute:02}:{second:02}.000Z\",\"client\":\"10.0.0.{client}\",\
                     \"status\":{status},\"last_byte_ms\":1.5,\"app\":\"demo\",\"error\":\"\"}}"
                );
            }
        }
    }
    std::fs::write(world.path().join("burst.log"), log).unwrap();
    let told = told(&world, "burst.log");
    let (each, _, too_many) = row(&told, "sticky clients", "request");
    assert!(too_many && each > 5.0, "{told}");
    assert!(!row(&told, "sticky clients", "client").2, "{told}");
    assert!(told.contains("keep `count_by = \"client\"` (the default)"), "{told}");
}
