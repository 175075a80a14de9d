//! Ten deploys in a row under load (whole runs: sixty): nothing is lost and nothing grows.
//!
//! One deploy, looked at closely, is in each of the other files: here only sums count.

use crate::traffic::{Deploy, Users};
use crate::world::{World, beside, patient_config, wait_for};

const INSTANCES: u16 = 2;
/// How often, and what would be a leak.
struct Row {
    /// Deploys after which what is made once has been made.
    warm_up: u32,
    deploys: u32,
    /// Growth for each deploy afterwards that would be one, KiB.
    leak_kib: u64,
}

/// Of these few `up` was seen to grow by 70 KiB each (SQLite's pages and the allocator), the proxy by 10.
const FEW: Row = Row { warm_up: 3, deploys: 10, leak_kib: 256 };
/// After forty it was 6 KiB.
const MANY: Row = Row { warm_up: 40, deploys: 60, leak_kib: 32 };

/// What could grow, of `up` and of the proxy.
#[derive(Clone, Debug)]
struct Size {
    files: [usize; 2],
    memory_kib: [u64; 2],
}

fn size_of(pids: [u32; 2]) -> Size {
    Size { files: pids.map(open_files), memory_kib: pids.map(resident_kib) }
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Ships the versions `numbers` while users ask.
fn ship(world: &World, numbers: std::ops::RangeInclusive<u32>) {
    let users = Users::of(world, None);
    for number in numbers {
        let shipped = Deploy::start(world, "demo", &format!("v{number}")).end();
        shipped.expect(0, "PASS");
        assert_eq!(shipped.report["failed"], 0);
        assert_eq!(world.running().len(), usize::from(INSTANCES), "old instances are left");
        assert!(world.parts("probe").is_empty(), "a prober is left");
    }
    users.expect_pass();
}

#[test]
fn ten_deploys_in_a_row_lose_nothing_and_nothing_grows() {
    let _turn = beside();
    let row = if std::env::var_os("CUTOVER_FULL").is_some() { MANY } else { FEW };
    let config = patient_config(INSTANCES).replace("bake = \"1500ms\"", "bake = \"500ms\"");
    let mut world = World::new(&config);
    let up = world.up();
    world.expect(0, &["deploy", "demo", "v0"]);
    let pids = [up, world.parts("proxy")[0]];
    ship(&world, 1..=row.warm_up);
    let quiet = |world: &World| {
        // Kept connections to instances are closed within seconds, by us or by their ends.
        wait_for("kept connections are closed", 15, || {
            let open = world.status()?["apps"][0]["pools"].as_array()?.len();
            let sockets = sockets_of(pids[1]);
            (open == 1 && sockets == 0).then_some(())
        });
        size_of(pids)
    };
    let before = quiet(&world);
    ship(&world, row.warm_up + 1..=row.deploys);
    let after = quiet(&world);
    println!("after {} deploys {before:?}, after {} {after:?}", row.warm_up, row.deploys);
    let grown = before.files.iter().zip(&after.files).any(|(before, after)| after > before);
    assert!(!grown, "files stay open");
    for (before, after) in before.memory_kib.iter().zip(after.memory_kib) {
        let bound = before + u64::from(row.deploys - row.warm_up) * row.leak_kib;
        assert!(after < bound, "{before} KiB grew to {after} KiB, {bound} KiB are too many");
    }
    // The last one may have ended this very moment.
    wait_for("children of `up` are reaped", 5, || (zombies_of(up) == 0).then_some(()));
    assert_eq!(world.parts("proxy"), [pids[1]]);
}

/// Established TCP connections of a process.
fn sockets_of(pid: u32) -> usize {
    let mine: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let established = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[3] == "01" && mine.iter().any(|inode| inode == fields[9])
    });
    established.count()
}

/// Children that ended and that nobody asked about.
fn zombies_of(parent: u32) -> usize {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let zombie = |stat: &String| {
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        let mut fields = rest.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(parent.to_string().as_str())
    };
    stats.filter(zombie).count()
}
