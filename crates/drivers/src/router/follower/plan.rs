//! What stands between what Consul and its follower have of an app and what they should. Pure.
//!
//! Whoever is to serve is registered first. When the follower was seen to have taken them up, the others go
//! into maintenance; when it was seen to have left those, that is put on record, and they are removed once
//! nothing is open on them. Where no release takes the place of another one nothing is waited for in between.

use model::{AppName, Instance, Plan, Pool, ReleaseId, Routes};

use super::seen::{Seen, State, There};
use super::serving::serving;
use super::step::Step;
use crate::router::fenced::Fenced as _;
use crate::router::only_ours::only_ours;

/// Plans for one app.
pub(super) fn plan(want: Option<&Routes>, seen: &Seen) -> Plan {
    let mut planning = Planning { seen, plan: Plan::default() };
    if seen.of_another && want.is_none_or(|want| serving(want).is_empty()) {
        // Another controller's instances serve, and nobody of ours is to: they are left alone.
        return planning.plan;
    }
    if let Some((why, help)) = want.and_then(unfit) {
        let (app, generation) = planning.relies_on();
        let words = format!("refuse the routes of {app}: {why}");
        planning.push(words, Step::Refuse { app, generation, why, help: help.to_owned() });
    } else if Routes::same(want, seen.record.routes.as_ref()) {
        planning.toward();
    } else {
        planning.publish(want);
    }
    planning.plan
}

/// Why nobody who follows Consul can carry these routes, and what to do.
fn unfit(want: &Routes) -> Option<(String, &'static str)> {
    let rule =
        || ("a rule on requests".to_owned(), "let Cutover's own proxy carry it, or a HAProxy");
    only_ours(want).or_else(|| (!want.rules.is_empty()).then(rule))
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

    fn publish(&mut self, want: Option<&Routes>) {
        let (app, generation) = self.relies_on();
        let words = in_words(&app, want);
        self.push(words, Step::Publish { app, generation, routes: want.cloned() });
    }

    /// Toward what is on record.
    fn toward(&mut self) {
        let seen = self.seen;
        let (followed, sighted) = (seen.record.followed, &seen.sighted);
        let mut ready = self.bring_in();
        if let Some(who) = sighted.to_take_up.as_ref().filter(|_| ready && !followed) {
            self.plan.waiting.push(format!("Consul's follower to take up {who}"));
            ready = false;
        }
        if !ready && self.replaces() {
            return;
        }
        let before = self.plan.changes.len();
        for there in seen.there.iter().filter(|there| !seen.serves(&there.id)) {
            self.see_off(there);
        }
        if followed || !ready || self.plan.changes.len() > before {
            return;
        }
        if let Some(why) = &sighted.to_leave {
            self.plan.waiting.push(format!("Consul's follower to follow: {why}"));
            return;
        }
        let (app, generation) = self.relies_on();
        let words = format!("note that Consul's follower carries generation {generation} of {app}");
        self.push(words, Step::Note { app, generation });
    }

    /// Has everybody registered who is to serve; true when all pass.
    fn bring_in(&mut self) -> bool {
        let seen = self.seen;
        let wanted = seen.record.routes.as_ref().map(serving).unwrap_or_default();
        let mut all = true;
        for (pool, instance) in wanted {
            let there = seen.there.iter().find(|there| there.id == instance.id);
            all &= self.one_in(pool, instance, there);
        }
        all
    }

    fn one_in(&mut self, pool: &Pool, instance: &Instance, there: Option<&There>) -> bool {
        let registered = there.filter(|there| there.address == instance.address);
        let (app, generation) = self.relies_on();
        let id = &instance.id;
        match registered.map(|there| (&there.state, there.group.clone())) {
            Some((State::Passing, _)) => return true,
            Some((State::Parted, group)) => {
                let words = format!("end the maintenance of {id} of {app} at Consul");
                self.push(words, Step::Restore { app, generation, group, id: id.clone() });
            }
            Some((State::Failing(why), _)) => {
                self.plan.waiting.push(format!("{id} to pass Consul's check: {why}"));
            }
            Some((State::Unasked, _)) => {
                self.plan.waiting.push(format!("Consul to ask {id}"));
            }
            Some((State::Absent, _)) | None => {
                let words = format!("register {id} ({}) of {app} at Consul", pool.version);
                let (release, version) = (pool.release, pool.version.clone());
                let instance = instance.clone();
                self.push(words, Step::Register { app, generation, release, version, instance });
            }
        }
        false
    }

    /// True when a release is to serve that the follower was not seen to carry: nobody may leave before.
    fn replaces(&self) -> bool {
        let releases = |routes: Option<&Routes>| -> Vec<ReleaseId> {
            let all = routes.map(serving).unwrap_or_default();
            all.iter().map(|(pool, _)| pool.release).collect()
        };
        let carried = releases(self.seen.record.carried.as_ref());
        let wanted = releases(self.seen.record.routes.as_ref());
        wanted.iter().any(|release| !carried.contains(release))
    }

    /// One that is to get nothing: into maintenance, and away when the follower has left it, nobody knows
    /// it any more, and nothing is open on it.
    fn see_off(&mut self, there: &There) {
        let (app, generation) = self.relies_on();
        let (group, id) = (there.group.clone(), there.id.clone());
        match there.state {
            State::Absent => {}
            State::Parted => {
                let mut pools = self.seen.record.routes.iter().flat_map(|routes| &routes.pools);
                let known = pools.any(|pool| pool.instances.iter().any(|one| one.id == id));
                if self.seen.record.followed && !known && there.open == 0 {
                    let words = format!("remove {id} of {app} from Consul");
                    self.push(words, Step::Remove { app, generation, group, id });
                }
            }
            State::Unasked | State::Failing(_) | State::Passing => {
                let words = format!("put {id} of {app} into maintenance at Consul");
                self.push(words, Step::Leave { app, generation, group, id });
            }
        }
    }
}

fn in_words(app: &AppName, routes: Option<&Routes>) -> String {
    let Some(routes) = routes else { return format!("have nobody of {app} served") };
    let mut names: Vec<String> = Vec::new();
    for (pool, instance) in serving(routes) {
        names.push(format!("{} ({})", instance.id, pool.version));
    }
    let who = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    format!("have {who} of {app} served by Consul's follower")
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
