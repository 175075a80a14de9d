//! HAProxy, nginx and Consul killed, reloaded and restarted in the middle of each phase of a rollout: the
//! rollout ends, users are served, and the report tells what the outage cost from what the rollout cost,
//! which is nothing.
//!
//! A sample of the cases by default (`CUTOVER_SEED` chooses it), all of them with `CUTOVER_FULL=1`; the
//! versions of HAProxy on the test bed take turns.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;

use crate::consul_bed;
use crate::followed::Scene;
use crate::haproxy_bed::{self, name_of, programs};
use crate::nginx_bed::{self, nginx};
use crate::sample;
use crate::traffic::{Deploy, Shipped, get};
use crate::world::{World, patient_config, signal, turn};

/// A kind of rollout, and the moments at which something is done to HAProxy: each the phases that are
/// gone through, one after the other, up to the one that it is done in.
struct Course {
    name: &'static str,
    instances: u16,
    /// In place of the bake.
    rollout: &'static str,
    moments: &'static [&'static [&'static str]],
    /// It is aborted at its first baking, and the moments are those of the way back.
    back: bool,
}

const EACH_PHASE: &[&[&str]] = &[
    &["starting"],
    &["previewing"],
    &["arming"],
    &["shifting"],
    &["baking"],
    &["draining"],
    &["handing-over"],
    &["stopping"],
];

/// What a course has in common with one before it is left out of its moments.
const COURSES: [Course; 6] = [
    Course {
        name: "blue-green, one instance",
        instances: 1,
        rollout: "bake = \"1500ms\"",
        moments: EACH_PHASE,
        back: false,
    },
    Course {
        name: "blue-green, two instances",
        instances: 2,
        rollout: "bake = \"1s\"",
        moments: EACH_PHASE,
        back: false,
    },
    Course {
        name: "canary 25 %",
        instances: 2,
        rollout: "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"1s\"\nbake = \"1s\"",
        moments: &[
            &["shifting"],
            &["baking"],
            &["baking", "shifting"],
            &["baking", "shifting", "baking"],
            &["draining"],
            &["handing-over"],
            &["stopping"],
        ],
        back: false,
    },
    Course {
        name: "rolling",
        instances: 2,
        rollout: "strategy = \"rolling\"\nbatch = 1\nbake = \"500ms\"",
        moments: &[
            &["draining"],
            &["handing-over"],
            &["stopping"],
            &["stopping", "starting"],
            &["shifting"],
            &["baking"],
            &["baking", "draining"],
            &["baking", "stopping"],
            &["baking", "shifting"],
        ],
        back: false,
    },
    Course {
        name: "home again",
        instances: 2,
        rollout: "slots = \"home\"\nbake = \"1s\"",
        moments: &[
            &["stopping", "starting"],
            &["stopping", "shifting"],
            &["stopping", "shifting", "draining"],
        ],
        back: false,
    },
    Course {
        name: "canary 25 %, given up",
        instances: 2,
        rollout: "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"20s\"",
        moments: &[&["rolling-back"], &["draining-candidate"], &["stopping-candidate"]],
        back: true,
    },
];

/// A server that something can be done to.
trait Victim {
    /// SIGKILL to all of it.
    fn crash(&mut self);
    /// As an administrator does.
    fn reload(&self);
    /// SIGTERM to the master, and its end.
    fn end(&mut self);
    fn start(&mut self);
}

/// Somebody's server that carries the traffic.
trait Carrier {
    fn world(&self) -> &World;
    /// What is done is done to it.
    fn victim(&mut self) -> &mut dyn Victim;
    /// Users lose something while that is away.
    fn carries(&self) -> bool {
        true
    }
    /// It is a Consul.
    fn is_followed(&self) -> bool {
        false
    }
}

/// A Consul, and a HAProxy that follows it.
struct Followed {
    haproxy: haproxy_bed::Real,
    consul: consul_bed::Bed,
}

impl Carrier for Followed {
    fn world(&self) -> &World {
        &self.haproxy.world
    }
    fn victim(&mut self) -> &mut dyn Victim {
        &mut self.consul
    }
    fn carries(&self) -> bool {
        false
    }
    fn is_followed(&self) -> bool {
        true
    }
}

/// A Consul, and the consul-template that follows it.
impl Carrier for Scene {
    fn world(&self) -> &World {
        &self.world
    }
    fn victim(&mut self) -> &mut dyn Victim {
        &mut self.consul
    }
    fn is_followed(&self) -> bool {
        true
    }
}

impl Victim for consul_bed::Bed {
    fn crash(&mut self) {
        Self::crash(self);
    }
    fn reload(&self) {
        Self::reload(self);
    }
    fn end(&mut self) {
        signal(self.pid(), Signal::TERM);
        self.ended();
    }
    fn start(&mut self) {
        self.launch();
    }
}

macro_rules! carrier {
    ($real:ty) => {
        impl Carrier for $real {
            fn world(&self) -> &World {
                &self.world
            }
            fn victim(&mut self) -> &mut dyn Victim {
                self
            }
        }

        impl Victim for $real {
            fn crash(&mut self) {
                Self::crash(self);
            }
            fn reload(&self) {
                Self::reload(self);
            }
            fn end(&mut self) {
                Self::end(self);
            }
            fn start(&mut self) {
                Self::start(self);
            }
        }
    };
}

carrier!(haproxy_bed::Real);
carrier!(nginx_bed::Real);

/// What somebody does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// An end without a word, and a start.
    Kill,
    Reload,
    /// An end when told to, and a start.
    Restart,
}

impl Deed {
    fn done_to(self, victim: &mut dyn Victim) {
        match self {
            Self::Kill => victim.crash(),
            Self::Reload => return victim.reload(),
            Self::Restart => victim.end(),
        }
        victim.start();
    }
}

/// One thing done in one moment of one course.
#[derive(Clone, Copy)]
struct Case {
    course: usize,
    moment: &'static [&'static str],
    deed: Deed,
}

/// The cases of this run: all, or so many that the seed chooses.
fn cases(count: usize) -> Vec<Case> {
    cases_of(count, |_| true)
}

/// The same of some courses.
fn cases_of(count: usize, fits: fn(&Course) -> bool) -> Vec<Case> {
    let mut all = Vec::new();
    for (course, each) in COURSES.iter().enumerate().filter(|(_, course)| fits(course)) {
        for moment in each.moments {
            let deeds = [Deed::Kill, Deed::Reload, Deed::Restart];
            all.extend(deeds.map(|deed| Case { course, moment, deed }));
        }
    }
    if !sample::whole() {
        let seed = sample::seed();
        // A third of them apart: other courses, and each deed once.
        let third = all.len() / 3;
        let step = if third.is_multiple_of(3) { third + 1 } else { third };
        all = (0..count).map(|at| all[(seed + at * step) % all.len()]).collect();
        all.sort_by_key(|case| case.course);
    }
    all
}

/// The file of a course, with more lines.
fn config(course: &Course, more: &str) -> String {
    let rollout = format!("{}\n{more}", course.rollout);
    patient_config(course.instances).replace("bake = \"1500ms\"", &rollout)
}

#[test]
fn whatever_is_done_to_haproxy_in_any_phase_the_rollout_costs_nothing() {
    let _turn = turn();
    let programs = programs();
    let cases = cases(3);
    for (number, program) in programs.iter().enumerate() {
        let mine: Vec<Case> = cases.iter().skip(number).step_by(programs.len()).copied().collect();
        for of_one_course in mine.chunk_by(|a, b| a.course == b.course) {
            let course = &COURSES[of_one_course[0].course];
            let real = haproxy_bed::Real::live(program, &config(course, ""));
            go_through(real, &name_of(program), of_one_course);
        }
    }
}

#[test]
fn whatever_is_done_to_nginx_in_any_phase_the_rollout_costs_nothing() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    for of_one_course in cases(1).chunk_by(|a, b| a.course == b.course) {
        // Requests are not told from tunnels: a drain is timed.
        let config = config(&COURSES[of_one_course[0].course], "longest_request = \"2s\"");
        let real = nginx_bed::Real::live(&program, &config);
        go_through(real, &nginx_bed::name(), of_one_course);
    }
}

#[test]
fn whatever_is_done_to_consul_in_any_phase_nobody_notices() {
    let _turn = turn();
    let Some((program, theirs)) = consul_bed::program().zip(programs().pop()) else { return };
    for of_one_course in cases(1).chunk_by(|a, b| a.course == b.course) {
        let config = config(&COURSES[of_one_course[0].course], "");
        let consul = consul_bed::Bed::start(&program, false);
        let mut haproxy = haproxy_bed::Real::with(&theirs, &config, &consul.keys());
        haproxy.begin();
        go_through(Followed { haproxy, consul }, "Consul", of_one_course);
    }
}

/// Whoever follows Consul by itself has no shares.
#[test]
fn whatever_is_done_to_consul_in_any_phase_its_followers_rollout_costs_nothing() {
    let _turn = turn();
    let whole_only = |course: &Course| !course.rollout.contains("canary");
    for of_one_course in cases_of(1, whole_only).chunk_by(|a, b| a.course == b.course) {
        let config = config(&COURSES[of_one_course[0].course], "longest_request = \"1s\"");
        let Some(scene) = Scene::live(&config) else { return };
        go_through(scene, "Consul's follower", of_one_course);
    }
}

/// What the clock says.
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// When a rollout began its last phase, by the lines that it told.
fn last_step_ms(said: &str) -> u64 {
    let lines = || said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let began = lines().find_map(|line| line["began_unix_ms"].as_u64()).expect(said);
    let phases = lines().filter(|line| line["step"] == "phase");
    began + phases.filter_map(|line| line["at_ms"].as_u64()).max().expect(said)
}

/// Cases of one course, one deploy after the other.
fn go_through(mut carrier: impl Carrier, name: &str, cases: &[Case]) {
    let course = &COURSES[cases[0].course];
    let mut tally = [0, 0];
    for (at, Case { moment, deed, .. }) in cases.iter().enumerate() {
        let words = format!("{deed:?} at {moment:?} of {}, {name}", course.name);
        let version = format!("v{}", at + 2);
        let mut deploy = Deploy::start(carrier.world(), "demo", &version);
        if course.back {
            deploy.reach("baking");
            carrier.world().expect(0, &["abort", "demo"]);
        }
        for phase in *moment {
            deploy.reach(phase);
        }
        let missed_before = missed(carrier.world());
        deed.done_to(carrier.victim());
        let struck_ms = unix_ms();
        let shipped = deploy.end();
        println!("{words}: {:?} {}", shipped.code, shipped.report["outages"]);
        judge(&shipped, *deed, (course.back, &words));
        if !carrier.carries() {
            assert_eq!(shipped.report["failed"], 0, "{words}: {}", shipped.why());
        }
        if carrier.is_followed() && *deed != Deed::Reload && !over(&shipped, moment, struck_ms) {
            // What no user noticed is told all the same: for a while nobody knew who is registered.
            let told = !shipped.report["outages"].as_array().unwrap().is_empty();
            assert!(told || missed(carrier.world()) == missed_before, "{words}: no outage is told");
            tally[usize::from(told)] += 1;
        }
        let promoted = shipped.report["outcome"] == "promoted";
        assert!(!(promoted && course.back), "{words}");
        let world = carrier.world();
        let stable = world.status().unwrap()["apps"][0]["stable"].clone();
        assert_eq!(stable == version.as_str(), promoted, "{words}: {stable}");
        for _ in 0..50 {
            let answer = get(world.port, "x", "/version").unwrap();
            assert!(answer.contains(stable.as_str().unwrap()), "{words}: {answer}");
        }
    }
    // One that is back within half a second may fall between two looks at it on a busy machine; most do not.
    assert!(tally[0] <= 1 + tally[1] / 5, "{name}: not told and told: {tally:?}");
}

/// Whether a rollout may have been over before it could miss anybody: at its end, or where this test was told
/// late of the phase.
fn over(shipped: &Shipped, moment: &[&str], struck_ms: u64) -> bool {
    moment.last().is_some_and(|phase| phase.starts_with("stopping"))
        || last_step_ms(&shipped.said) < struck_ms + 300
}

/// How often the controller said so far that it could not ask.
fn missed(world: &World) -> usize {
    world.said().matches(" cannot be asked").count()
}

/// Nothing failed but what the outage cost, and a reload is none.
fn judge(shipped: &Shipped, deed: Deed, (back, words): (bool, &str)) {
    let (report, said) = (&shipped.report, &shipped.said);
    let outages = report["outages"].as_array().unwrap();
    if deed == Deed::Reload {
        // Whether the prober can be sure has to do with the machine; that a reload passes is shown elsewhere.
        let codes: &[i32] = if back { &[4] } else { &[0, 3] };
        assert!(shipped.code.is_some_and(|code| codes.contains(&code)), "{words}: {said}");
        assert_eq!(report["failed"], 0, "{words}: {}", shipped.why());
        return assert!(outages.iter().all(|one| one["kind"] != "outage"), "{words}: {outages:?}");
    }
    // 3: as above.
    assert!(matches!(shipped.code, Some(0 | 1 | 3 | 4)), "{words}: {said}");
    let cost: u64 = outages.iter().map(|outage| outage["failed"].as_u64().unwrap()).sum();
    let failures = &report["failures"];
    assert_eq!(report["failed"], cost, "{words}: {outages:?} {failures} {said}");
    if cost > 0 {
        let facts = report["facts"].to_string();
        assert!(facts.contains("the rollout itself cost no request"), "{facts}");
        assert!(outages.iter().any(|one| one["kind"] == "outage"), "{words}: {outages:?}");
    }
}
