//! A database that somebody else holds for longer than the server waits for it: what happens once in that
//! time is not forgotten.
//!
//! Which events those are, one by one, is tried in the unit tests of the controller.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::traffic::Deploy;
use crate::world::{CUTOVER, World, beside, patient_config, wait_for};

/// v2 is ready when it may be.
const START: &str = "while test $2 = v2 && test ! -e may-be-ready; do sleep 0.05; done\n";
const GATE: &str = "test $CUTOVER_TO = v1 && exit\necho x >> called\nwhile test ! -e may-pass; do sleep 0.05; done\n";
const HOOK: &str = "
[[app.demo.hooks]]
name = \"gate\"
before = \"switch\"
once = true
command = [\"sh\", \"gate.sh\"]
";

/// The write lock of the state's database.
struct Lock<'a> {
    world: &'a World,
    connection: Connection,
    complaints: usize,
}

/// How often the server said that it could not write.
fn complaints(world: &World) -> usize {
    world.said().matches("database is locked").count()
}

impl<'a> Lock<'a> {
    /// When the server has written all that it has to write now: only what comes then is refused.
    fn taken(world: &'a World) -> Self {
        let connection = Connection::open(world.state().join("cutover.db")).unwrap();
        let mut last = (0, Instant::now());
        wait_for("nothing is written", 30, || {
            let now = rows(&connection, "TRUE");
            if now != last.0 {
                last = (now, Instant::now());
            }
            (last.1.elapsed() > Duration::from_millis(400)).then_some(())
        });
        let complaints = complaints(world);
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self { world, connection, complaints }
    }

    /// Until the server has said that it waited in vain.
    fn held(self) {
        wait_for("a write in vain", 60, || {
            (complaints(self.world) > self.complaints).then_some(())
        });
        self.connection.execute_batch("ROLLBACK").unwrap();
    }
}

fn write(world: &World, name: &str, text: &str) {
    std::fs::write(world.path().join(name), text).unwrap();
}

/// Rows of the journal; 0 while the server has it for itself.
fn rows(connection: &Connection, which: &str) -> u64 {
    let sql = format!("SELECT COUNT(*) FROM event WHERE {which}");
    connection.query_row(&sql, [], |row| row.get(0)).unwrap_or_default()
}

/// True when the journal has an event of v2's instance.
fn v2_is_known(world: &World) -> bool {
    let which = "body LIKE '%\"event\":\"fleet\"%' AND body LIKE '%\"release\":2%'
        AND body LIKE '%\"existing\":1%'";
    rows(&Connection::open(world.state().join("cutover.db")).unwrap(), which) > 0
}

#[test]
fn what_happens_while_somebody_else_holds_the_database_is_not_forgotten() {
    let _turn = beside();
    let own = "bake = \"300ms\"\npreview_path = \"/slow?ms=3000\"\npreview_requests = 1";
    let config = patient_config(1).replace("bake = \"1500ms\"\npreview_requests = 10", own);
    let command = "[\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]";
    let config = config.replace(command, "[\"sh\", \"start.sh\", \"{port}\", \"{version}\"]");
    let config = config.replace("rate = 100", "enabled = false");
    // That v2 is ready is the first news of it once it answers.
    let config = config.replace("rise = 2\ndeadline = \"25s\"", "rise = 1\ndeadline = \"60s\"");
    let mut world = World::new(&(config + HOOK));
    let start = format!("{START}exec {CUTOVER} app --port $1 --version $2\n");
    write(&world, "start.sh", &start);
    write(&world, "gate.sh", GATE);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    wait_for("v2 is seen", 20, || v2_is_known(&world).then_some(()));
    let lock = Lock::taken(&world);
    write(&world, "may-be-ready", "");
    lock.held();
    deploy.reach("previewing");
    Lock::taken(&world).held();
    let called = world.path().join("called");
    wait_for("the hook is called", 20, || called.exists().then_some(()));
    let lock = Lock::taken(&world);
    write(&world, "may-pass", "");
    lock.held();
    let shipped = deploy.end();
    assert_eq!(shipped.code, Some(0), "{}", shipped.said);
    assert_eq!(std::fs::read_to_string(called).unwrap(), "x\n", "called once");
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}
