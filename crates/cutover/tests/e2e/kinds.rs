//! `up` killed with SIGKILL at every kind of record that its journal gets, with every strategy, with a preview, with
//! an old version that is kept and with two apps that go together, under load.
//!
//! A rollout that nobody kills tells which kinds there are, so that a new one is included by itself;
//! then each of them is waited for in a rollout of its own, and `up` killed once it is there. A kind that does
//! not come is waited for in further rollouts, and in the end none is left but those of `BY_CHANCE`. The day
//! chooses a strategy and two kinds (`CUTOVER_SEED`); `CUTOVER_FULL=1` takes them all, and what is printed
//! repeats one: `CUTOVER_STRATEGY="canary Back" CUTOVER_RECORD=pause_asked`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::crash::{assert_same_processes, once};
use crate::crowd::{Crowd, EVERYONE, Kind, REQUESTS};
use crate::records::Watch;
use crate::sample::{seed, whole};
use crate::traffic::{Deploy, Users, get};
use crate::world::{World, beside, patient_config, said, wait_for};

/// What the first `up` writes when it comes back: a kind that only a death makes.
const BACK: &str = "resumed";

/// In how many rollouts a kind is waited for.
const TRIES: usize = 5;

/// Kinds that need not come again: of which strategy (or of any), and the reason.
const BY_CHANCE: [(Option<&str>, &str, &str); 4] = [
    (
        None,
        "fleet new partly ready",
        "two that start at once may both become ready between two looks",
    ),
    (Some("kept"), "intent: route demo (generation N): old 100.00% on 2", KEPT_IS_GONE),
    (Some("kept"), "done: route demo (generation N): old 100.00% on 2", KEPT_IS_GONE),
    (
        Some("recreate"),
        "done: the hook gate is no longer waited for, and was ended",
        "the abort may come while the hook is called, which takes no time",
    ),
];

/// Its time may be over by itself when the next rollout, which would take it out of the routes, begins.
const KEPT_IS_GONE: &str = "what was kept may be gone before the next rollout begins";

/// A strategy, the lines of its file, and how many instances run. BAKE is how long users are watched.
struct Strategy {
    name: &'static str,
    lines: &'static str,
    instances: u16,
}

/// The name of a strategy in which another app goes together with the one that is watched.
const GROUP: &str = "group";

const STRATEGIES: [Strategy; 7] = [
    Strategy { name: "blue-green", lines: "bake = \"BAKE\"", instances: 2 },
    Strategy {
        name: "canary",
        // Somebody always comes before its time is over: to go on, or back.
        lines: "strategy = \"canary\"\nsteps = [\"50%\"]\nstep_bake = \"20s\"\nbake = \"300ms\"",
        instances: 2,
    },
    Strategy {
        name: "rolling",
        lines: "strategy = \"rolling\"\nbatch = 1\nbake = \"BAKE\"",
        instances: 2,
    },
    Strategy {
        name: "recreate",
        lines: "strategy = \"recreate\"\nhold = \"20s\"\nhold_requests = 2000\nbake = \"BAKE\"",
        instances: 1,
    },
    Strategy {
        name: "preview",
        lines: "preview = \"300ms\"\nbake = \"BAKE\"\n\
                target = { header = \"X-Canary\", value = \"new\" }",
        instances: 2,
    },
    Strategy { name: "kept", lines: "keep_old = \"1s\"\nbake = \"BAKE\"", instances: 2 },
    Strategy { name: GROUP, lines: "bake = \"BAKE\"", instances: 2 },
];

impl Strategy {
    /// The configuration: of the app that is watched, and of the one that goes together with it, if one does.
    fn config(&self, course: Course) -> String {
        let lines = self.lines.replace("BAKE", course.bake());
        let config = patient_config(self.instances).replace("bake = \"1500ms\"", &lines);
        if self.name != GROUP {
            return config;
        }
        let (proxy, demo) = config.split_once("[app.demo]").unwrap();
        let together = "[together.both]\napps = [\"demo\", \"side\"]\n";
        let side = demo.replace("app.demo", "app.side").replace("rate = 100", "rate = 30");
        let side = side.replace("instances = 2", "instances = 1");
        format!("{proxy}{together}[app.demo]{demo}[app.side]\nhosts = [\"side.test\"]{side}")
    }

    /// What is deployed, and the apps that this reaches.
    fn deployed(&self) -> (&'static str, &'static [&'static str]) {
        if self.name == GROUP { ("both", &["demo", "side"]) } else { ("demo", &["demo"]) }
    }

    /// How many instances run when nothing is under way.
    fn all(&self) -> usize {
        usize::from(self.instances) + self.deployed().1.len() - 1
    }
}

/// What is called and measured meanwhile.
const BESIDES: &str = r#"
[[app.demo.rollout.metrics]]
name = "load"
max = 100
interval = "200ms"
command = ["echo", "1"]
[[app.demo.hooks]]
name = "gate"
before = "switch"
command = ["true"]
[[app.demo.hooks]]
name = "told"
after = "abort"
command = ["true"]
"#;

/// What operators do once users are on the new version, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is promoted; where there are shares, a person does not wait for the first one.
    Forward,
    /// It is held, given a share where there are any, let go, and taken back.
    Back,
}

const COURSES: [Course; 2] = [Course::Forward, Course::Back];

impl Course {
    const fn bake(self) -> &'static str {
        match self {
            Self::Forward => "300ms",
            Self::Back => "20s",
        }
    }

    const fn commands(self, shares: bool) -> &'static [&'static str] {
        match (self, shares) {
            (Self::Forward, false) => &[],
            (Self::Forward, true) => &["promote demo --detach"],
            (Self::Back, false) => &["pause demo", "resume demo", "abort demo"],
            (Self::Back, true) => {
                &["pause demo", "set-weight demo 60%", "resume demo", "abort demo"]
            }
        }
    }
}

/// A world with its users, in which versions are shipped one after the other.
struct Ground<'a> {
    strategy: &'a Strategy,
    course: Course,
    world: World,
    users: Users,
    crowd: Crowd,
    /// The version that users are on, and the number of the last one that was shipped.
    stable: String,
    last: usize,
    /// The kinds that a rollout has which nobody disturbs, each with how often it comes.
    kinds: Vec<(String, usize)>,
    /// Who ran when `up` died last.
    at_death: BTreeMap<String, u32>,
}

/// What came of the kills at some kinds.
#[derive(Clone, Copy, Debug, Default)]
struct Deaths {
    /// The record came, and `up` was killed.
    met: usize,
    /// Of those, nothing more had been written when it died.
    at_once: usize,
    /// The record did not come this time.
    missed: usize,
    promoted: usize,
}

/// The record at which `up` is killed, and the next ones.
type Kills<'a> = &'a [(&'a str, usize)];

impl<'a> Ground<'a> {
    /// v1 is live, and a second version was shipped to see what the journal gets.
    fn prepare(strategy: &'a Strategy, course: Course) -> Self {
        let mut config = strategy.config(course);
        let holds = strategy.name == "recreate";
        if holds {
            // The sockets of an only copy are cut; its requests wait longer than is late elsewhere.
            config = config.replace(", \"websocket\"]", "]");
            config =
                config.replace("late_after = \"5s\"", "late_after = \"25s\"\ntimeout = \"30s\"");
        }
        // What waits for a hook must not be users.
        let besides = if holds { BESIDES.replace("before", "after") } else { BESIDES.to_owned() };
        let mut world = World::new(&format!("{config}{besides}"));
        world.up();
        world.expect(0, &["deploy", strategy.deployed().0, "v1"]);
        let users = if holds { Users::held(&world) } else { Users::of(&world, None) };
        let crowd = Crowd::of(&world, users_of(holds, whole()));
        let (stable, kinds, at_death) = ("v1".to_owned(), Vec::new(), BTreeMap::new());
        let mut ground =
            Self { strategy, course, world, users, crowd, stable, last: 1, kinds, at_death };
        let records = ground.ship(&[], &mut Deaths::default());
        let mut seen = BTreeSet::new();
        for kind in records.iter().filter(|kind| seen.insert((*kind).clone())) {
            let times = records.iter().filter(|other| *other == kind).count();
            ground.kinds.push((kind.clone(), times));
        }
        println!("{} {course:?}: {} kinds: {:#?}", strategy.name, seen.len(), ground.kinds);
        ground
    }

    fn holds(&self) -> bool {
        self.strategy.name == "recreate"
    }

    /// Ships the next version, killing `up` at these records; answers all records that there were.
    fn ship(&mut self, kills: Kills<'_>, deaths: &mut Deaths) -> Vec<String> {
        self.last += 1;
        let version = format!("v{}", self.last);
        let mut watch = Watch::of(&self.world, "demo");
        let mut deploy = Deploy::start(&self.world, self.strategy.deployed().0, &version);
        let mut operator = Operator::of(self.course.commands(self.strategy.name == "canary"));
        let (mut records, mut kills) = (Vec::new(), kills.iter());
        let (mut next, mut times) = (kills.next(), 0);
        let deadline = Instant::now() + Duration::from_mins(2);
        while watch.over().is_none() && !deploy.over() {
            assert!(Instant::now() < deadline, "{version} has no end: {records:#?}");
            let new = watch.new_records();
            for (at, kind) in new.iter().enumerate() {
                operator.there |= on_trial(kind);
                times += usize::from(next.is_some_and(|(wanted, _)| kind == wanted));
                if next.is_some_and(|(_, nth)| times == *nth) {
                    let later = self.die(&mut watch);
                    deaths.met += 1;
                    deaths.at_once += usize::from(at + 1 == new.len() && later.is_empty());
                    (next, times) = (kills.next(), 0);
                    records.extend(later);
                }
            }
            records.extend(new);
            operator.go_on(&self.world);
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(operator);
        deaths.missed += usize::from(next.is_some());
        let outcome = self.judge(deploy, &version, &watch);
        deaths.promoted += usize::from(outcome == "promoted");
        println!("{} {:?} {version}: {outcome}, {deaths:?}", self.strategy.name, self.course);
        records
    }

    /// Kills `up` at a kind of record, in the first rollout in which it comes; false if that is none of them.
    fn kill_at(&mut self, kind: &str, nth: usize, again: bool, deaths: &mut Deaths) -> bool {
        let met = deaths.met;
        for attempt in 0..TRIES {
            // How often a change comes differs now and then; that it comes does not.
            let kills = [(kind, if attempt == 0 { nth } else { 1 }), (BACK, 1)];
            self.ship(if again { &kills } else { &kills[..1] }, deaths);
            if deaths.met > met {
                return true;
            }
        }
        false
    }

    /// Kills `up`, finds users served without it, and starts the next one; answers what it had written
    /// in its last moment.
    fn die(&mut self, watch: &mut Watch) -> Vec<String> {
        self.world.kill_up();
        println!("killed {} ms after the users came", self.crowd.mark());
        let later = watch.new_records();
        let instances = once(&self.world.running());
        if !self.holds() {
            // Some healthy instance serves, and nobody need be there for that.
            let answer = get(self.world.port, "x", "/version").unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        self.at_death = instances;
        self.world.launch();
        later
    }

    /// The rollout has an end that journal, command and report agree on, and only its release runs.
    fn judge(&mut self, deploy: Deploy, version: &str, watch: &Watch) -> String {
        let shipped = deploy.end();
        let (run, outcome) = watch.over().unwrap_or_else(|| panic!("no end: {}", shipped.said));
        let promoted = outcome == "promoted";
        assert!(promoted || outcome == "aborted", "{outcome}: {}", shipped.said);
        assert!(!promoted || self.course == Course::Forward, "the abort is lost: {}", shipped.said);
        let file = self.world.state().join("runs").join(run).join("report.json");
        let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(report["outcome"], outcome.as_str(), "{}", shipped.said);
        // Where there are two, there are two reports.
        let of_command = shipped.report.get("outcome").unwrap_or(&report["outcome"]);
        assert_eq!(*of_command, report["outcome"], "{}", shipped.said);
        assert_eq!(report["failed"], 0, "{} {}", shipped.why(), shipped.said);
        let right: &[i32] = if promoted { &[0, 3] } else { &[4] };
        let code = shipped.code.unwrap();
        assert!(right.contains(&code), "{code}: {} {}", shipped.why(), shipped.said);
        if promoted {
            version.clone_into(&mut self.stable);
        } else {
            println!("{version} was taken back: {}", report["ending_note"]);
        }
        self.expect_only_stable();
        outcome.clone()
    }

    /// Users are on the stable version, and nothing else runs; nothing was started a second time.
    fn expect_only_stable(&mut self) {
        let (_, apps) = self.strategy.deployed();
        let stable = wait_for("the server names the stable releases", 10, || {
            let shown = self.world.status()?["apps"].as_array()?.clone();
            Some(shown.iter().map(|app| app["stable"].clone()).collect::<Vec<_>>())
        });
        assert_eq!(stable, vec![self.stable.as_str(); apps.len()]);
        let end = wait_for("only the stable release runs", 15, || {
            let running = once(&self.world.running());
            (running.len() == self.strategy.all()).then_some(running)
        });
        assert_same_processes(&self.at_death, &end);
        self.at_death.clear();
        let releases: BTreeSet<_> = end.keys().map(|id| id.rsplit_once('-').unwrap().0).collect();
        assert_eq!(releases.len(), apps.len(), "{end:?}");
        assert!(self.world.parts("probe").is_empty(), "a prober is left");
        let answer = get(self.world.port, "x", "/version").unwrap();
        let version = format!("x-app-version: {}\r\n", self.stable);
        assert!(answer.contains(&version), "{version}: {answer}");
    }

    /// Nobody lost anything in all that time.
    fn finish(self) {
        let asked: u64 = self.crowd.expect_nothing_lost().iter().map(|tally| tally.done).sum();
        let report = self.users.end();
        assert_eq!(report["failed"], 0, "{} {}", report["sentence"], report["failures"]);
        let sent = report["sent"].as_u64().unwrap();
        println!(
            "{} {:?}: none of {sent} and {asked} requests lost",
            self.strategy.name, self.course
        );
        assert!(sent > 0);
    }
}

/// Who is there. Each drain lasts as long as the longest request, so the slow ones come to whole runs.
const fn users_of(holds: bool, whole: bool) -> &'static [Kind] {
    match (whole, holds) {
        (true, true) => &REQUESTS,
        (true, false) => &EVERYONE,
        (false, true) => &[Kind::Upload, Kind::Download],
        (false, false) => &[Kind::Upload, Kind::Download, Kind::Socket],
    }
}

/// A record that says that the candidate has users.
fn on_trial(kind: &str) -> bool {
    let settled = kind.starts_with("routes_settled");
    settled && kind.split_once(" new ").is_some_and(|(_, weight)| !weight.starts_with("0 "))
}

/// Somebody who gives commands, one after the other.
struct Operator {
    commands: Vec<&'static str>,
    there: bool,
    asking: Option<Child>,
}

impl Operator {
    fn of(commands: &[&'static str]) -> Self {
        Self { commands: commands.iter().rev().copied().collect(), there: false, asking: None }
    }

    /// Gives a command until it is taken, then the next one. What there is nothing to do about was
    /// done, and the server died before it could say so.
    fn go_on(&mut self, world: &World) {
        let running = |child: &mut Child| child.try_wait().unwrap().is_none();
        if !self.there || self.asking.as_mut().is_some_and(running) {
            return;
        }
        if let Some(child) = self.asking.take() {
            let output = child.wait_with_output().unwrap();
            if output.status.success() || said(&output).contains("nothing to") {
                self.commands.pop();
            }
        }
        self.asking = self.commands.last().map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let mut command = world.command(&words);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.asking {
            // It may have ended by itself.
            let _killed = child.kill();
            let _waited = child.wait();
        }
    }
}

/// The grounds of this run.
fn grounds(random: &mut fastrand::Rng) -> Vec<(&'static Strategy, Course)> {
    let all = STRATEGIES.iter().flat_map(|strategy| COURSES.map(|course| (strategy, course)));
    let mut all: Vec<_> = all.collect();
    if let Ok(asked) = std::env::var("CUTOVER_STRATEGY") {
        all.retain(|(strategy, course)| format!("{} {course:?}", strategy.name) == asked);
    } else if !whole() {
        // Users of an only copy wait at each replacement: those cases take the longest.
        all.retain(|(strategy, _)| strategy.name != "recreate");
        all = vec![all.swap_remove(random.usize(..all.len()))];
    }
    all
}

/// R30: the controller is killed at every record that it writes.
#[test]
fn r30_up_killed_at_any_kind_of_record_costs_nothing() {
    let mut random = fastrand::Rng::with_seed(seed() as u64);
    let _turn = beside();
    let mut known = BTreeSet::new();
    let (mut all, mut left) = (Deaths::default(), Vec::new());
    for (strategy, course) in grounds(&mut random) {
        let mut ground = Ground::prepare(strategy, course);
        let mut kinds = ground.kinds.clone();
        kinds.retain(|(kind, _)| known.insert((strategy.name, kind.clone())));
        if let Ok(asked) = std::env::var("CUTOVER_RECORD") {
            kinds.retain(|(kind, _)| kind.contains(&asked));
        }
        random.shuffle(&mut kinds);
        let enough = if whole() { usize::MAX } else { all.met + 2 };
        for (number, (kind, times)) in kinds.iter().enumerate() {
            // Only what drivers do comes as often each time.
            let by_driver = kind.starts_with("intent") || kind.starts_with("done");
            let nth = if by_driver { random.usize(1..=*times) } else { 1 };
            println!("{} {course:?}: kill at {kind}, number {nth} of {times}", strategy.name);
            // The one that comes back is killed, too.
            if !ground.kill_at(kind, nth, number % 4 == 1, &mut all) {
                let chance = BY_CHANCE.iter().find(|(of, by_chance, _)| {
                    by_chance == kind && of.is_none_or(|of| of == strategy.name)
                });
                let why = chance.map_or("", |(_, _, why)| why);
                println!("{} {course:?}: {kind} did not come again: {why}", strategy.name);
                if chance.is_none() {
                    left.push(format!("{} {course:?}: {kind}", strategy.name));
                }
            }
            if all.met >= enough {
                break;
            }
        }
        ground.finish();
    }
    println!("{all:?}");
    assert!(all.met > 0, "no such strategy, course or record");
    assert!(left.is_empty(), "records that did not come again in {TRIES} rollouts: {left:#?}");
}
