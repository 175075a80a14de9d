//! The same world behind every router: our own proxy, and each HAProxy of the test bed.

use std::thread::available_parallelism;

use crate::haproxy_bed::{Real, name_of, programs};
use crate::world::{World, sample_config};

/// What the prober is asked for, so that in spite of all roundings it sends [`LEAST_RATE`].
const RATE: &str = "rate = 210";
/// Requests a second that a strategy is shown with, at least.
pub(crate) const LEAST_RATE: f64 = 200.0;

/// A world and what carries its traffic.
pub(crate) enum Scene {
    Own(World),
    Theirs(Real, String),
}

impl Scene {
    /// One for each router, with v1 live; `rollout` replaces the line of the bake.
    pub(crate) fn all(instances: u16, rollout: &str) -> Vec<Box<dyn FnOnce() -> Self>> {
        let config = sample_config(instances).replace("bake = \"1500ms\"", rollout);
        let late = format!("late_after = \"{}\"", late_after());
        let config = config.replace("rate = 200", RATE).replace("late_after = \"500ms\"", &late);
        let mut scenes: Vec<Box<dyn FnOnce() -> Self>> = Vec::new();
        for program in programs() {
            let config = config.clone();
            scenes.push(Box::new(move || {
                Self::Theirs(Real::live(&program, &config), name_of(&program))
            }));
        }
        scenes.push(Box::new(move || {
            let mut world = World::new(&config);
            world.up();
            world.expect(0, &["deploy", "demo", "v1"]);
            Self::Own(world)
        }));
        scenes
    }

    pub(crate) fn world(&self) -> &World {
        match self {
            Self::Own(world) => world,
            Self::Theirs(real, _) => &real.world,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Own(_) => "own proxy",
            Self::Theirs(_, name) => name,
        }
    }

    /// Only instances of that release run, so many of them.
    pub(crate) fn runs(&self, prefix: &str, instances: usize) {
        let running = self.world().running();
        let right =
            running.len() == instances && running.iter().all(|(id, _)| id.starts_with(prefix));
        assert!(right, "{}: {running:?}", self.name());
    }
}

/// What counts as late: what the demo calls so, unless more wants to run than there are cores for. Users
/// at work beside the prober then wait for each other, and that is no router's doing. Whole runs
/// (`CUTOVER_FULL=1`) are for machines that do nothing else, and excuse nothing.
fn late_after() -> &'static str {
    if std::env::var_os("CUTOVER_FULL").is_some() {
        return "500ms";
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let cores = available_parallelism().map_or(1, usize::from);
    if load <= cores as f64 {
        return "500ms";
    }
    println!("late is what takes more than 5 s, not 500 ms: a load of {load} on {cores} cores");
    "5s"
}
