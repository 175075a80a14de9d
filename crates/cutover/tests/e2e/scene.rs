//! The same world behind every router: our own proxy, and each HAProxy of the test bed.

use crate::haproxy_bed::{Real, programs};
use crate::world::{World, patient_config};

/// A world and what carries its traffic.
pub(crate) enum Scene {
    Own(World),
    Theirs(Real, String),
}

impl Scene {
    /// One for each router, with v1 live; `rollout` replaces the line of the bake.
    pub(crate) fn all(instances: u16, rollout: &str) -> Vec<Box<dyn FnOnce() -> Self>> {
        let config = patient_config(instances).replace("bake = \"1500ms\"", rollout);
        let config = config.replace("rate = 100", "rate = 200");
        let mut scenes: Vec<Box<dyn FnOnce() -> Self>> = Vec::new();
        for program in programs() {
            let config = config.clone();
            scenes.push(Box::new(move || {
                let bed = program.components().rev().nth(3);
                let name = bed.map(|part| part.as_os_str().to_string_lossy().into_owned());
                Self::Theirs(Real::live(&program, &config), name.unwrap_or_default())
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
