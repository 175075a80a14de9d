//! What stands between what HAProxy carries of an app and what it should. Pure.
//!
//! Each release has a slot; a new one takes the free slot, or the slot of a pool that is to go, when
//! that one has been emptied first. Instances are added out of use, and the routes are published
//! when their first checks have ended. It does no IO and keeps nothing.

use std::fmt::Write as _;

use model::{
    AppName, Generation, Instance, Mark, Plan, Pool, PoolState, Routes, Rule, Version, Weight,
};

use super::config;
use super::record::{Left, Record, Slot};
use super::rules;
use super::seen::{Condition, Seen, Server};
use super::step::Step;
use crate::router::fenced::Fenced as _;
use crate::router::only_ours::only_ours;

/// Plans for one app.
pub(super) fn plan(want: Option<&Routes>, seen: &Seen) -> Plan {
    let mut planning = Planning { seen, plan: Plan::default() };
    if let Some((why, help)) = want.and_then(|want| unfit(want, seen)) {
        let (app, generation) = planning.relies_on();
        let words = format!("refuse the routes of {app}: {why}");
        planning.push(words, Step::Refuse { app, generation, why, help: help.to_owned() });
        return planning.plan;
    }
    match want.map_or(Ok(Vec::new()), |want| slots(&want.pools, seen)) {
        Ok(slots) => planning.toward(want, &slots),
        Err(victim) => planning.empty(victim),
    }
    planning.plan
}

/// The slot of each wanted pool, or the place of the carried pool that must go first.
fn slots(pools: &[Pool], seen: &Seen) -> Result<Vec<Slot>, usize> {
    let carried: Vec<(Slot, &Pool)> = seen.record.pools().collect();
    let kept = |pool: &Pool| {
        carried.iter().find(|(_, there)| there.release == pool.release).map(|(slot, _)| *slot)
    };
    let mut free: Vec<Slot> = Slot::BOTH
        .into_iter()
        .filter(|slot| carried.iter().all(|(taken, _)| taken != slot))
        .collect();
    let mut chosen = Vec::new();
    for pool in pools {
        // Where its instances are already comes first, then where least of others is left.
        let of = |server: &Server| pool.instances.iter().any(|one| one.id == server.id);
        free.sort_by_key(|slot| {
            let there = || seen.servers.iter().filter(|server| server.slot == *slot);
            let own = there().filter(|server| of(server)).count();
            (std::cmp::Reverse(own), there().count())
        });
        match kept(pool) {
            Some(slot) => chosen.push(slot),
            None if free.is_empty() => return Err(victim(pools, &carried)),
            None => chosen.push(free.remove(0)),
        }
    }
    Ok(chosen)
}

/// Of the carried pools that are not wanted, the one whose end moves least traffic.
fn victim(pools: &[Pool], carried: &[(Slot, &Pool)]) -> usize {
    let unwanted = |(_, pool): &(usize, &Pool)| pools.iter().all(|w| w.release != pool.release);
    let all = carried.iter().map(|(_, pool)| *pool).enumerate().filter(unwanted);
    all.min_by_key(|(_, pool)| (pool.state == PoolState::Serving, pool.weight))
        .map_or(0, |(at, _)| at)
}

/// Why HAProxy cannot carry these routes, and what to do.
fn unfit(want: &Routes, seen: &Seen) -> Option<(String, &'static str)> {
    if want.pools.len() > 2 {
        let why = format!("{} releases at once, and an app has two slots", want.pools.len());
        return Some((why, "let one release go first"));
    }
    if let Some(found) = objection(&want.hosts, &want.path_prefix, None) {
        return Some(found);
    }
    if let Some(found) = only_ours(want) {
        return Some(found);
    }
    let mut marks = want.rules.iter().map(|rule| &rule.mark);
    if let Some(found) = marks.clone().find_map(rules::unfit) {
        return Some(found);
    }
    if let Some(on) = marks.find(|mark| !seen.looks_at.contains(mark.on())).map(Mark::on) {
        let why = format!("a rule on the {on}: its configuration does not look at it");
        let help = "name it as `target` in cutover.toml, run `cutover haproxy install`, and reload";
        return Some((why, help));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut instances = want.pools.iter().flat_map(|pool| &pool.instances);
    let odd = instances.find(|one| one.id.0.is_empty() || !one.id.0.chars().all(fits))?;
    let why = format!("`{}` as the name of a server", odd.id.0.escape_debug());
    Some((why, "use letters, digits and `- _ .`"))
}

/// Why HAProxy cannot carry an app with these hosts, path prefix and path of health checks, and what to
/// do; `None` when it can. An entry of a map and a line of configuration hold them as they are.
pub fn objection(
    hosts: &[String],
    path_prefix: &str,
    check_path: Option<&str>,
) -> Option<(String, &'static str)> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !";\\'\",#".contains(c));
    if !plain(path_prefix) {
        let why = format!("the path prefix `{}`", path_prefix.escape_debug());
        return Some((why, "use printable ASCII without blanks, quotes, `,`, `;`, `#` or `\\`"));
    }
    let host = |text: &&String| text.is_empty() || !plain(text) || text.contains(['/', '*']);
    if let Some(host) = hosts.iter().find(host) {
        let why = format!("the host name `{}`", host.escape_debug());
        return Some((why, "write it as in a `Host` header, without a port"));
    }
    let path = check_path.filter(|path| !config::is_plain(path))?;
    let why = format!("the path `{}` of health checks", path.escape_debug());
    Some((why, config::PLAIN))
}

/// What became of bringing one instance in.
enum Progress {
    Usable,
    Pending,
    /// It is there, and its check fails: in HAProxy's words.
    Failing(String),
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

    /// Publishes what is carried without one pool, whose slot is needed.
    fn empty(&mut self, victim: usize) {
        let mut record = self.seen.record.clone();
        if let Some(routes) = &mut record.routes {
            routes.pools.remove(victim);
        }
        record.slots.remove(victim);
        self.publish(record);
    }

    fn toward(&mut self, want: Option<&Routes>, slots: &[Slot]) {
        let record =
            Record { routes: want.cloned(), slots: slots.to_vec(), ..self.seen.record.clone() };
        let mut whole = true;
        for (slot, pool) in record.pools() {
            let meant =
                want.is_some_and(|want| want.obeyed().any(|(_, to)| to.release == pool.release));
            whole &= self.provide(pool, slot, meant);
        }
        if whole && !self.carried(&record) {
            self.bury(&record);
            self.publish(record);
        } else if self.seen.edited.is_some() {
            // What somebody changed does not wait for what is still being brought in.
            self.publish(self.seen.record.clone());
        } else {
            self.clear_out(&record);
        }
    }

    /// Brings the instances of a pool into its slot; true when routes may rely on them. One that rules
    /// are meant for gets requests at any weight.
    fn provide(&mut self, pool: &Pool, slot: Slot, meant: bool) -> bool {
        // What retires or stands by gets nothing, so nothing of it need be ready.
        let idle = pool.state == PoolState::Retiring
            || (pool.weight == Weight::NONE && !meant)
            || pool.instances.is_empty();
        let (mut usable, mut pending) = (0, 0);
        for instance in &pool.instances {
            match self.bring(instance, (slot, &pool.version)) {
                Progress::Usable => usable += 1,
                Progress::Pending => pending += 1,
                // Nothing is lost while it lasts, and it may last for ever.
                Progress::Failing(_) if idle => {}
                Progress::Failing(why) => {
                    self.plan.waiting.push(format!("{} to pass its check: {why}", instance.id));
                }
            }
        }
        // Servers of a release that had the slot before must be out of use first.
        let leftover = |server: &Server| {
            let of_slot = server.slot == slot && in_use(server);
            of_slot && pool.instances.iter().all(|one| one.id != server.id)
        };
        let mut carried = self.seen.record.pools();
        let before = carried.find(|(_, there)| there.release == pool.release).map(|(_, p)| p);
        let clean = before.is_some() || !self.seen.servers.iter().any(leftover);
        // Leaving it what it has already makes nothing worse.
        let no_more = before.is_some_and(|before| {
            before.state == PoolState::Serving && before.weight >= pool.weight
        });
        clean && (idle || (pending == 0 && (usable > 0 || no_more)))
    }

    fn bring(&mut self, instance: &Instance, (slot, version): (Slot, &Version)) -> Progress {
        let (app, generation) = self.relies_on();
        let id = instance.id.clone();
        let server = self.seen.server(slot, &id);
        if let Some(server) = server.filter(|s| s.address.is_some_and(|a| a != instance.address)) {
            self.dismiss(server);
            return Progress::Pending;
        }
        match server.map_or(&Condition::Half, |server| &server.condition) {
            Condition::Half => {
                let words = format!("add {id} ({}) to slot {slot} of {app}", place(instance));
                let (version, instance) = (version.clone(), instance.clone());
                self.push(words, Step::Add { app, generation, slot, version, instance });
                Progress::Pending
            }
            Condition::Maint | Condition::Parting | Condition::Overdue => {
                let words = format!("check {id} again in slot {slot} of {app}");
                self.push(words, Step::Recheck { app, generation, slot, id });
                Progress::Pending
            }
            Condition::Unfollowed => {
                self.plan.waiting.push(format!("HAProxy to find {id} at Consul"));
                Progress::Pending
            }
            Condition::Unchecked => {
                self.plan.waiting.push(format!("the first check of {id}"));
                Progress::Pending
            }
            Condition::Failing(why) | Condition::Down(why) => Progress::Failing(why.clone()),
            Condition::Weightless => {
                let words = format!("give {id} its weight back in slot {slot} of {app}");
                self.push(words, Step::Reweigh { app, generation, slot, id });
                Progress::Pending
            }
            Condition::Passing | Condition::Ready => Progress::Usable,
        }
    }

    /// True when nothing of the record remains to be published.
    fn carried(&self, record: &Record) -> bool {
        let same = Routes::same(record.routes.as_ref(), self.seen.record.routes.as_ref());
        let ready = |slot, one: &Instance| {
            let server = self.seen.server(slot, &one.id);
            server.is_none_or(|server| server.condition != Condition::Passing)
        };
        let mut pools = record.pools();
        same && self.seen.edited.is_none()
            && record.slots == self.seen.record.slots
            && pools.all(|(slot, pool)| pool.instances.iter().all(|one| ready(slot, one)))
    }

    fn publish(&mut self, mut record: Record) {
        let (app, generation) = self.relies_on();
        record.generation = generation.saturating_add(1);
        if let Some(routes) = &mut record.routes {
            routes.generation = Generation(record.generation);
        }
        let usable = |server: &&Server| server.condition.may_serve() && belongs(&record, server);
        let servers = self.seen.servers.iter();
        let ready = servers.clone().filter(usable).map(|s| (s.slot, s.id.clone())).collect();
        let left = servers.filter(|server| !belongs(&record, server)).filter_map(|server| {
            let release = self.seen.record.release_of(server.slot, &server.id.0)?;
            Some(Left { id: server.id.clone(), slot: server.slot, release })
        });
        record.left = left.collect();
        let mut words = in_words(&app, &record);
        if let Some(edited) = &self.seen.edited {
            // Writing to a string cannot fail.
            let _written = write!(words, " (somebody changed the map: {})", edited.entry);
        }
        self.push(words, Step::Publish { app, generation, record, ready });
    }

    /// Servers that are neither carried nor wanted go: out of use at once, away when idle. One that is
    /// out of use gets nothing new, so nothing waits for what is still open on it: how long that may
    /// take, a tunnel above all, is not this driver's to say.
    fn clear_out(&mut self, wanted: &Record) {
        for server in &self.seen.servers {
            let out = !in_use(server) && server.open > 0;
            if !belongs(wanted, server) && !belongs(&self.seen.record, server) && !out {
                self.dismiss(server);
            }
        }
    }

    /// A release that has lost everybody leaves by the shortest way, before any file is written and
    /// checked: where another one serves, HAProxy lets it stand in from that moment.
    fn bury(&mut self, wanted: &Record) {
        let empty =
            |slot: Slot| wanted.pools().any(|(at, pool)| at == slot && pool.instances.is_empty());
        let serves = |server: &Server| {
            let mut pools = self.seen.record.pools().filter(|(at, _)| *at == server.slot);
            server.condition == Condition::Ready
                && pools.any(|(_, pool)| pool.state == PoolState::Serving)
        };
        if !self.seen.servers.iter().any(|server| !empty(server.slot) && serves(server)) {
            return;
        }
        for server in self.seen.servers.iter().filter(|s| empty(s.slot) && in_use(s)) {
            self.dismiss(server);
        }
    }

    fn dismiss(&mut self, server: &Server) {
        let (app, generation) = self.relies_on();
        let (slot, id) = (server.slot, server.id.clone());
        if server.condition == Condition::Parting {
            self.plan.waiting.push(format!("HAProxy to leave {id}, as Consul says"));
        } else if server.condition == Condition::Overdue {
            let words = format!("have HAProxy leave {id} in slot {slot} of {app}: DNS did not");
            self.push(words, Step::Leave { app, generation, slot, id });
        } else if in_use(server) {
            let words = format!("take {id} out of use in slot {slot} of {app}");
            self.push(words, Step::Leave { app, generation, slot, id });
        } else if server.open > 0 {
            self.plan.waiting.push(format!("{} open on {id}", server.open));
        } else {
            let words = format!("delete {id} from slot {slot} of {app}");
            self.push(words, Step::Remove { app, generation, slot, id });
        }
    }
}

/// Where an instance is; of one that is foretold that is not known.
fn place(instance: &Instance) -> String {
    if instance.address.port() == 0 {
        return "on its port".to_owned();
    }
    instance.address.to_string()
}

fn in_use(server: &Server) -> bool {
    !matches!(server.condition, Condition::Half | Condition::Maint)
}

fn belongs(record: &Record, server: &Server) -> bool {
    let mut pools = record.pools().filter(|(slot, _)| *slot == server.slot);
    pools.any(|(_, pool)| pool.instances.iter().any(|one| one.id == server.id))
}

fn in_words(app: &AppName, record: &Record) -> String {
    if record.routes.is_none() {
        return format!("withdraw {app}");
    }
    let mut words = format!("route {app} (generation {}):", record.generation);
    for (at, (slot, pool)) in record.pools().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (version, n) = (&pool.version, pool.instances.len());
        let share = match pool.state {
            PoolState::Serving => pool.weight.to_string(),
            PoolState::Retiring => "retiring".to_owned(),
        };
        // Writing to a string cannot fail.
        let _written = write!(words, "{comma} {version} {share} on {n} in slot {slot}");
    }
    for Rule { mark, release } in record.routes.iter().flat_map(|routes| &routes.rules) {
        // Writing to a string cannot fail.
        let _written = write!(words, "; {mark} to release {}", release.0);
    }
    if record.slots.is_empty() {
        words.push_str(" nowhere");
    }
    words
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
