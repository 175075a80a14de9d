//! The same world behind every router: our own proxy, and those of others on the test bed.
//!
//! By default the day and the rollout choose one of the others, so that a run has each of them somewhere;
//! all of them with `CUTOVER_FULL=1`, those of a name with `CUTOVER_ROUTER=nginx`. What is done in it is in
//! `strategies` and `target`.

use std::thread::available_parallelism;

use crate::consul_bed;
use crate::haproxy_bed::{self, name_of, programs};
use crate::nginx_bed::{self, nginx};
use crate::sample::{seed, whole};
use crate::world::{World, sample_config};

/// What the prober is asked for, so that in spite of all roundings it sends [`LEAST_RATE`].
const RATE: &str = "rate = 210";
/// Requests a second that a strategy is shown with, at least.
pub(crate) const LEAST_RATE: f64 = 200.0;

/// What a HAProxy that takes its servers from Consul is called.
const CONSUL: &str = "Consul + HAProxy";

/// A world and what carries its traffic.
pub(crate) enum Scene {
    Own(World),
    HaProxy(haproxy_bed::Real, String),
    /// A HAProxy that follows this Consul; it ends first.
    Consul(
        haproxy_bed::Real,
        #[expect(dead_code, reason = "it runs as long as this")] consul_bed::Bed,
    ),
    Nginx(nginx_bed::Real),
}

type Begun = Box<dyn FnOnce() -> Scene>;

impl Scene {
    /// One for each router, with v1 live; `rollout` replaces the line of the bake.
    pub(crate) fn all(instances: u16, rollout: &str) -> Vec<Begun> {
        // Where requests are not told from tunnels, a drain lasts as long as the longest request.
        let rollout = format!("{rollout}\nlongest_request = \"2s\"");
        let config = sample_config(instances).replace("bake = \"1500ms\"", &rollout);
        let late = format!("late_after = \"{}\"", late_after());
        let config = config.replace("rate = 200", RATE).replace("late_after = \"500ms\"", &late);
        let mut scenes = theirs(&config, &rollout);
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
            Self::HaProxy(real, _) | Self::Consul(real, _) => &real.world,
            Self::Nginx(real) => &real.world,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Own(_) => "own proxy".to_owned(),
            Self::HaProxy(_, name) => name.clone(),
            Self::Consul(..) => CONSUL.to_owned(),
            Self::Nginx(_) => nginx_bed::name(),
        }
    }

    /// True when the router tells how many requests each version had.
    pub(crate) const fn counts(&self) -> bool {
        !matches!(self, Self::Nginx(_))
    }

    /// True when a change is there for all new requests at once.
    pub(crate) const fn at_once(&self) -> bool {
        !matches!(self, Self::Nginx(_))
    }

    /// Only instances of that release run, so many of them.
    pub(crate) fn runs(&self, prefix: &str, instances: usize) {
        let running = self.world().running();
        let right =
            running.len() == instances && running.iter().all(|(id, _)| id.starts_with(prefix));
        assert!(right, "{}: {running:?}", self.name());
    }
}

/// Those of others that this run takes.
fn theirs(config: &str, rollout: &str) -> Vec<Begun> {
    let mut all: Vec<(String, Begun)> = Vec::new();
    for program in programs() {
        let (name, config) = (name_of(&program), config.to_owned());
        let begin = move || {
            let name = name_of(&program);
            Scene::HaProxy(haproxy_bed::Real::live(&program, &config), name)
        };
        all.push((name, Box::new(begin)));
    }
    if let Some((program, haproxy)) = consul_bed::program().zip(programs().pop()) {
        let config = config.to_owned();
        let begin = move || {
            let consul = consul_bed::Bed::start(&program, false);
            let mut real = haproxy_bed::Real::with(&haproxy, &config, &consul.keys());
            real.begin();
            Scene::Consul(real, consul)
        };
        all.push((CONSUL.to_owned(), Box::new(begin)));
    }
    if let Some(program) = nginx() {
        let config = config.to_owned();
        let begin = move || Scene::Nginx(nginx_bed::Real::live(&program, &config));
        all.push((nginx_bed::name(), Box::new(begin)));
    }
    if let Ok(asked) = std::env::var("CUTOVER_ROUTER") {
        all.retain(|(name, _)| name.contains(&asked));
    } else if !whole() && !all.is_empty() {
        let at = (seed() + rollout.len()) % all.len();
        all = vec![all.swap_remove(at)];
    }
    all.into_iter().map(|(_, begin)| begin).collect()
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
