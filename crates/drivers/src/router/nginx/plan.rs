//! What stands between what nginx carries of an app and what it should. Pure.
//!
//! Instances are asked before they get anything; then everything is published in one reload, and what
//! is left is to wait until no worker takes requests that runs what was before.

use model::{AppName, Generation, Instance, Plan, Pool, PoolState, Routes, Weight};

use super::conf::fed;
use super::rule;
use super::seen::Seen;
use super::step::Step;
use crate::router::fenced::Fenced as _;
use crate::router::only_ours::only_ours;

/// After this a reload that shows no effect is asked for again, ms.
const AGAIN_MS: u64 = 3_000;

/// Plans for one app.
pub(super) fn plan(want: Option<&Routes>, seen: &Seen) -> Plan {
    let mut planning = Planning { seen, plan: Plan::default() };
    match want.and_then(unfit) {
        Some((why, help)) => {
            let (app, generation) = planning.relies_on();
            let words = format!("refuse the routes of {app}: {why}");
            planning.push(words, Step::Refuse { app, generation, why, help: help.to_owned() });
        }
        None => planning.toward(want),
    }
    planning.plan
}

/// Why nginx cannot carry these routes, and what to do.
fn unfit(want: &Routes) -> Option<(String, &'static str)> {
    if let Some(found) = only_ours(want) {
        return Some(found);
    }
    if let Some(found) = want.rules.iter().find_map(|rule| rule::unfit(&rule.mark)) {
        return Some(found);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut instances = want.pools.iter().flat_map(|pool| &pool.instances);
    let odd = instances.find(|one| one.id.0.is_empty() || !one.id.0.chars().all(fits))?;
    let why = format!("`{}` as the name of an instance", odd.id.0.escape_debug());
    Some((why, "use letters, digits and `- _ .`"))
}

/// What is known of an instance.
enum Serves {
    Yes,
    /// Why not, in words.
    No(String),
    Unknown,
}

struct Planning<'a> {
    seen: &'a Seen,
    plan: Plan,
}

impl Planning<'_> {
    fn relies_on(&self) -> (AppName, u64) {
        (self.seen.app.clone(), self.seen.record.generation)
    }

    fn push(&mut self, words: String, step: Step) {
        self.plan.changes.push(step.into_change(words));
    }

    fn toward(&mut self, want: Option<&Routes>) {
        let written = self.seen.record.routes.as_ref();
        let (target, whole) = match want {
            Some(want) => {
                let (routes, whole) = self.usable(want);
                (Some(routes), whole)
            }
            None => (None, true),
        };
        if whole && !Routes::same(target.as_ref(), written) {
            self.publish(target);
        } else if self.seen.edited {
            self.publish(written.cloned());
        } else {
            self.see_through();
        }
    }

    /// What is wanted without the instances that cannot be carried; whether routes may rely on it.
    fn usable(&mut self, want: &Routes) -> (Routes, bool) {
        let mut routes = want.clone();
        let (mut whole, mut unknown) = (true, Vec::new());
        for pool in routes.pools.iter_mut().filter(|pool| fed(want, pool)) {
            let before = pool.instances.len();
            let release = pool.release;
            pool.instances.retain(|one| match self.serves(one) {
                Serves::Yes => true,
                Serves::No(why) => {
                    self.plan.waiting.push(format!("{} to answer: {why}", one.id));
                    false
                }
                Serves::Unknown => {
                    unknown.push(one.clone());
                    false
                }
            });
            let mut carried = self.seen.record.routes.iter().flat_map(|routes| &routes.pools);
            // Leaving it what it has already makes nothing worse.
            let no_more = carried.any(|there| {
                there.release == release
                    && there.state == PoolState::Serving
                    && there.weight >= pool.weight
                    && pool.weight > Weight::NONE
            });
            whole &= !pool.instances.is_empty() || before == 0 || no_more;
        }
        whole &= unknown.is_empty();
        if !unknown.is_empty() {
            let (app, generation) = self.relies_on();
            let names: Vec<_> = unknown.iter().map(|one| one.id.0.as_str()).collect();
            let words = format!("ask {} of {app} whether it can serve", names.join(", "));
            self.push(words, Step::Check { app, generation, instances: unknown });
        }
        (routes, whole)
    }

    /// Whether an instance can serve.
    fn serves(&self, instance: &Instance) -> Serves {
        let written = self.seen.record.routes.as_ref();
        let mut pools = written.iter().flat_map(|routes| {
            let got = |pool: &&Pool| fed(routes, pool);
            routes.pools.iter().filter(got)
        });
        if pools.any(|pool| pool.instances.contains(instance)) {
            return Serves::Yes;
        }
        let mut checked = self.seen.checked.iter();
        let said = checked.find(|one| one.instance == *instance);
        match said.map(|one| &one.failing) {
            Some(None) => Serves::Yes,
            Some(Some(why)) => Serves::No(why.clone()),
            None => Serves::Unknown,
        }
    }

    fn publish(&mut self, mut routes: Option<Routes>) {
        let (app, generation) = self.relies_on();
        let next = generation.max(self.seen.served).saturating_add(1);
        if let Some(routes) = &mut routes {
            routes.generation = Generation(next);
        }
        let mut words = in_words(&app, routes.as_ref());
        if self.seen.edited {
            words.push_str(" (its file was not as it was written)");
        }
        self.push(words, Step::Publish { app, generation, next, routes });
    }

    /// Waits until what was written is in effect.
    fn see_through(&mut self) {
        let seen = self.seen;
        if seen.in_effect() {
            return;
        }
        let (app, generation) = self.relies_on();
        let overdue = seen.told_ms.is_none_or(|ms| ms >= AGAIN_MS);
        if seen.served != generation && overdue {
            let words = format!("reload nginx for generation {generation} of {app}");
            self.push(words, Step::Reload { app, generation });
        } else if seen.served == generation && seen.old == 0 {
            let words = "nginx workers that end to see off connections that are kept";
            self.plan.waiting.push(words.to_owned());
        } else if seen.served == generation {
            self.plan.waiting.push(format!("{} old workers of nginx to leave", seen.old));
        } else {
            self.plan.waiting.push(format!("workers of nginx with generation {generation}"));
        }
    }
}

fn in_words(app: &AppName, routes: Option<&Routes>) -> String {
    let Some(routes) = routes else { return format!("carry {app} no more") };
    let share = |pool: &Pool| {
        let state = if pool.state == PoolState::Retiring { " (retiring)" } else { "" };
        format!("{} {}{state}", pool.version, pool.weight)
    };
    let shares: Vec<_> = routes.pools.iter().map(share).collect();
    let rules = if routes.rules.is_empty() { "" } else { ", with rules" };
    let to = if shares.is_empty() { "nobody".to_owned() } else { shares.join(", ") };
    format!("publish {app}: {to}{rules}, and reload nginx")
}
