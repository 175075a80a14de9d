//! `cutover status --watch` through a canary, on a real terminal (`terminal`): every picture is put together as a
//! terminal would, and looked at. Beside it the same without a terminal, as in CI.
//!
//! What each row says is tested in `commands/board`, the whole of a terminal in `full_screen`.

use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::terminal::{Tty, pictures};
use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config, said, signal, wait_for};

const COLUMNS: usize = 90;
const ROWS: usize = 30;
/// The app is watched on it.
fn watch(world: &World) -> Option<Tty> {
    Tty::start(world.path(), (COLUMNS, ROWS), "status demo --watch")
}

/// One board and nothing of the one before: each row once, shares of all traffic in one column.
fn expect_one_board(picture: &[String]) {
    let rows = |mark: &str| picture.iter().filter(|row| row.starts_with(mark)).collect::<Vec<_>>();
    assert!(picture.len() < ROWS, "{picture:#?}");
    assert!(picture[0].starts_with("cutover "), "{picture:#?}");
    for mark in ["cutover ", "demo  "] {
        assert_eq!(rows(mark).len(), 1, "{picture:#?}");
    }
    for mark in ["  steps ", "  for ", "  prober ", "  v1 ", "  v2 "] {
        assert!(rows(mark).len() <= 1, "{mark:?}: {picture:#?}");
    }
    let carried = [rows("  v1 "), rows("  v2 ")].concat();
    let columns: Vec<_> = carried.iter().map(|row| row.chars().position(|c| c == '%')).collect();
    assert!(columns.windows(2).all(|two| two[0] == two[1]), "{picture:#?}");
}

/// The pictures in which the app is in each of these phases come in this order.
fn expect_in_order(pictures: &[Vec<String>], phases: &[&str]) {
    let mut rest = pictures.iter();
    for phase in phases {
        let there = rest.any(|rows| rows.get(1).is_some_and(|row| row.contains(phase)));
        assert!(there, "{phase} was not shown, or not in its place: {:#?}", pictures.last());
    }
}

#[test]
fn a_canary_reads_well_on_a_terminal_and_without_one() {
    let _turn = beside();
    let canary = "strategy = \"canary\"\nsteps = [\"50%\"]\nstep_bake = \"1500ms\"\nbake = \"1s\"";
    let mut world = World::new(&patient_config(2).replace("bake = \"1500ms\"", canary));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let Some(mut watched) = watch(&world) else { return };
    let mut plain = world.command(&["status", "demo", "--watch"]);
    let plain = plain.env("CI", "true").env("TERM", "xterm");
    let plain = plain.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let last = |picture: Option<&Vec<String>>, words: &str| {
        picture.is_some_and(|rows| rows.get(1).is_some_and(|row| row.starts_with(words)))
    };
    wait_for("v1 is shown", 20, || {
        last(pictures(&watched.written(), COLUMNS).last(), "demo  v1  healthy").then_some(())
    });
    let shipped = Deploy::start(&world, "demo", "v2").end();
    assert!(matches!(shipped.code, Some(0 | 3)), "{}", shipped.said);
    wait_for("the end is shown", 20, || {
        last(pictures(&watched.written(), COLUMNS).last(), "demo  v2  healthy").then_some(())
    });
    watched.interrupt();
    assert_eq!(watched.end(), Some(0));

    let pictures = pictures(&watched.written(), COLUMNS);
    for picture in &pictures {
        expect_one_board(picture);
    }
    expect_in_order(&pictures, &["v1  healthy", "canary  baking", "v2  healthy"]);
    let half = pictures.iter().find(|rows| rows.iter().any(|row| row.contains("● 50%")));
    let half = half.expect("the first share");
    println!("{}", half.join("\n"));
    for words in ["v1 → v2", "○ 100%", "step 1 of 2", "2/2 ready"] {
        assert!(half.iter().any(|row| row.contains(words)), "{words}: {half:#?}");
    }
    expect_plain(plain);
}

/// One line for each change, and nothing that only a terminal understands.
fn expect_plain(mut child: Child) {
    signal(child.id(), Signal::INT);
    let status = wait_for("it ends", 20, || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert!(status.success() && !text.contains(['\x1b', '\r']), "{text}");
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.iter().all(|line| line.contains("app=demo")), "{text}");
    assert!(lines.iter().any(|line| line.contains("phase=baking") && line.contains("v2:50.00%")));
    let end = lines.last().unwrap();
    assert!(end.contains("healthy") && end.contains("traffic=v2:100.00%"), "{text}");
    // No change is told twice in a row.
    let told = |line: &&str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    let told: Vec<_> = lines.iter().map(told).collect();
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{text}");
}
