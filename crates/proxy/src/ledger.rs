//! Who is routed where: takes routes in, checks them, and swaps the table the workers read.
//!
//! Lives on the admin thread alone. The order of a publication is what makes a switch lose nothing:
//! gates of the new routes open, the table is swapped, gates that left close, and only then is it
//! reported as done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use model::admin::AppSeen;
use model::{
    AppName, Farewell, Fault, Generation, HandOver, InstanceId, Kind, Pool, PoolState, ReleaseId,
    Routes, Surveyed, Watch,
};

use crate::census::{AppCensus, Departed, ReleaseCensus};
use crate::counters::{Counters, Lasting, Past};
use crate::gate::Gate;
use crate::handover::Handing;
use crate::hold::Hold;
use crate::survey::Survey;
use crate::table::{App, Table};

/// One app: its slice and what belongs to its instances and releases.
#[derive(Debug)]
struct Slice {
    routes: Routes,
    compiled: Arc<App>,
    gates: BTreeMap<InstanceId, Arc<Gate>>,
    departed: Vec<Arc<Gate>>,
    counters: BTreeMap<ReleaseId, Arc<Counters>>,
    /// Releases that are not in the routes any more.
    gone: Departed,
    /// What those had counted that are followed no more.
    past: Past,
    lasting: Arc<Lasting>,
    hold: Option<Arc<Hold>>,
    /// Tunnels that move.
    handing: Option<Arc<Handing>>,
}

/// All routes the proxy carries.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    epoch: u64,
    slices: BTreeMap<AppName, Slice>,
}

impl Ledger {
    /// Newest fencing epoch seen.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Replaces the routes of one app; `swap` shows the table to the workers. Answers which tunnels move
    /// from now on, if some are to that did not before.
    pub(crate) fn publish(
        &mut self,
        epoch: u64,
        expected: Generation,
        routes: Routes,
        swap: impl FnOnce(Table),
    ) -> Result<Option<Arc<Handing>>, Fault> {
        self.fence(epoch)?;
        let present = self.slices.get(&routes.app).map_or(Generation(0), |s| s.routes.generation);
        if present != expected || routes.generation <= expected {
            return Err(Fault::new(
                Kind::Conflict,
                format!(
                    "routes of `{}` are at generation {}, not {}, or {} does not follow",
                    routes.app, present.0, expected.0, routes.generation.0
                ),
            )
            .help("look at the proxy again and publish on top of what it carries"));
        }
        check(&routes)?;
        self.check_claims(&routes)?;
        self.epoch = epoch;
        let old = self.slices.remove(&routes.app);
        let waiting = old.as_ref().and_then(|old| old.hold.clone());
        let moving = old.as_ref().and_then(|old| old.handing.clone());
        let (slice, left) = Slice::follow(old, routes);
        let holds = |waiting: &Arc<Hold>| {
            slice.hold.as_ref().is_some_and(|hold| Arc::ptr_eq(hold, waiting))
        };
        let waiting = waiting.filter(|waiting| !holds(waiting));
        for pool in slice.routes.pools.iter().filter(|pool| pool.state == PoolState::Serving) {
            for gate in pool.instances.iter().filter_map(|one| slice.gates.get(&one.id)) {
                gate.open();
            }
        }
        let retired: Vec<_> = slice
            .routes
            .pools
            .iter()
            .filter(|pool| pool.state == PoolState::Retiring)
            .flat_map(|pool| &pool.instances)
            .filter_map(|one| slice.gates.get(&one.id).cloned())
            .collect();
        let moves = slice.handing.clone();
        let moves = moves.filter(|new| !moving.is_some_and(|old| Arc::ptr_eq(&old, new)));
        let lasting = Arc::clone(&slice.lasting);
        self.slices.insert(slice.routes.app.clone(), slice);
        swap(self.table());
        let drains = left.iter().chain(&retired).filter(|gate| gate.close()).count();
        lasting.drains.add(drains as u64);
        if let Some(waiting) = waiting {
            waiting.release();
        }
        Ok(moves)
    }

    /// Forgets an app.
    pub(crate) fn withdraw(
        &mut self,
        epoch: u64,
        app: &AppName,
        swap: impl FnOnce(Table),
    ) -> Result<(), Fault> {
        self.fence(epoch)?;
        self.epoch = epoch;
        if let Some(slice) = self.slices.remove(app) {
            swap(self.table());
            for gate in slice.gates.values() {
                gate.close();
            }
            if let Some(waiting) = slice.hold {
                waiting.release();
            }
            if let Some(handing) = slice.handing {
                handing.end();
            }
        }
        Ok(())
    }

    /// Cuts the next `bodies` answers of an app short.
    pub(crate) fn truncate(&self, app: &AppName, bodies: u32) -> Result<(), Fault> {
        let slice = self
            .slices
            .get(app)
            .ok_or_else(|| Fault::new(Kind::Usage, format!("the proxy carries no app `{app}`")))?;
        slice.lasting.truncate.store(bodies, Ordering::Relaxed);
        Ok(())
    }

    /// Counts units of an app from now on, if it does not yet, and tells what it has counted.
    pub(crate) fn survey(&self, wanted: model::Survey, after_s: u64) -> Result<Surveyed, Fault> {
        let Some(slice) = self.slices.get(&wanted.app) else {
            let what = format!("the proxy carries no app `{}`", wanted.app);
            return Err(Fault::new(Kind::Usage, what));
        };
        let present = slice.lasting.survey.load_full();
        let survey = present.filter(|present| present.wanted == wanted).unwrap_or_else(|| {
            let survey = Arc::new(Survey::new(wanted));
            slice.lasting.survey.store(Some(Arc::clone(&survey)));
            survey
        });
        let (now_s, ticks) = survey.tell(after_s);
        let known =
            |release: &ReleaseId| Some((*release, slice.counters.get(release)?.finely.get()));
        let history = survey.wanted.releases.iter().filter_map(known).collect();
        Ok(Surveyed { now_s, ticks, history })
    }

    /// Gates of an app: those of these instances, or with none named all that let nobody in.
    pub(crate) fn gates(
        &self,
        app: &AppName,
        instances: &[InstanceId],
    ) -> Result<Vec<Arc<Gate>>, Fault> {
        let Some(slice) = self.slices.get(app) else {
            return Err(Fault::new(Kind::Usage, format!("the proxy carries no app `{app}`")));
        };
        let meant = |gate: &&Arc<Gate>| match instances {
            [] => gate.is_closed(),
            some => some.contains(&gate.id),
        };
        Ok(slice.gates.values().chain(&slice.departed).filter(meant).cloned().collect())
    }

    /// Everything known of every app.
    pub(crate) fn seen(&mut self) -> Vec<AppSeen> {
        self.slices.values_mut().map(Slice::seen).collect()
    }

    /// Everything that is counted, of every app.
    pub(crate) fn census(&self) -> Vec<AppCensus> {
        self.slices.values().map(Slice::census).collect()
    }

    /// Instances that get requests and how they are checked, by app.
    pub(crate) fn watched(&self) -> Vec<(AppName, Watch, Vec<Arc<Gate>>)> {
        let of_slice = |slice: &Slice| {
            let routes = &slice.routes;
            let of_watch = |watch: &Watch| {
                let pools = routes.pools.iter().filter(|pool| pool.release == watch.release);
                let serving = pools.filter(|pool| pool.state == PoolState::Serving);
                let gates = serving.flat_map(|pool| &pool.instances);
                let gates = gates.filter_map(|one| slice.gates.get(&one.id).cloned()).collect();
                (routes.app.clone(), watch.clone(), gates)
            };
            routes.spread.checks.iter().map(of_watch).collect::<Vec<_>>()
        };
        self.slices.values().flat_map(of_slice).collect()
    }

    fn fence(&self, epoch: u64) -> Result<(), Fault> {
        if epoch >= self.epoch {
            return Ok(());
        }
        let what = format!("epoch {epoch} is over: the proxy has heard from epoch {}", self.epoch);
        Err(Fault::new(Kind::Conflict, what)
            .help("another controller has taken over; stop this one"))
    }

    /// No two apps may claim the same host and prefix.
    fn check_claims(&self, routes: &Routes) -> Result<(), Fault> {
        let prefix = |routes: &Routes| routes.path_prefix.trim_end_matches('/').to_owned();
        for other in self.slices.values().map(|slice| &slice.routes) {
            if other.app == routes.app || prefix(other) != prefix(routes) {
                continue;
            }
            let shared = other.hosts.iter().find(|host| routes.hosts.contains(host));
            if shared.is_some() || (other.hosts.is_empty() && routes.hosts.is_empty()) {
                let host = shared.map_or("every host", String::as_str);
                let what = format!(
                    "`{}` and `{}` both claim {host} at `{}`",
                    other.app, routes.app, routes.path_prefix
                );
                return Err(Fault::new(Kind::Conflict, what)
                    .help("give one of them another host or path prefix"));
            }
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let slices = self.slices.values();
        Table::compose(slices.map(|slice| (Arc::clone(&slice.compiled), &*slice.routes.hosts)))
    }
}

impl Slice {
    /// The next state of an app: gates of instances that stay are kept, with what is inside. Also
    /// gives the gates that left.
    fn follow(old: Option<Self>, routes: Routes) -> (Self, Vec<Arc<Gate>>) {
        let waiting = old.as_ref().and_then(|old| old.hold.clone());
        let moving = old.as_ref().and_then(|old| old.handing.clone());
        let (mut gates, mut departed, mut counters, (mut gone, mut past), lasting) = match old {
            Some(old) => (old.gates, old.departed, old.counters, (old.gone, old.past), old.lasting),
            None => Default::default(),
        };
        let mut kept = BTreeMap::new();
        for pool in &routes.pools {
            let new = || Arc::new(Counters::of(&pool.version));
            let counters = counters.entry(pool.release).or_insert_with(new);
            for one in &pool.instances {
                let same = |gate: &Arc<Gate>| {
                    gate.id == one.id && gate.address == one.address && gate.release == pool.release
                };
                let known = gates.get(&one.id).filter(|gate| same(gate)).cloned();
                let known = known.or_else(|| departed.iter().find(|gate| same(gate)).cloned());
                let gate = known.unwrap_or_else(|| {
                    Arc::new(Gate::new(one, pool.release, &pool.version, Arc::clone(counters)))
                });
                kept.insert(one.id.clone(), gate);
            }
        }
        gates.retain(|id, gate| kept.get(id).is_none_or(|kept| !Arc::ptr_eq(kept, gate)));
        departed.retain(|gate| kept.get(&gate.id).is_none_or(|kept| !Arc::ptr_eq(kept, gate)));
        let left: Vec<_> = gates.into_values().collect();
        departed.extend(left.iter().cloned());
        let now = Instant::now();
        gone.follow(&routes, counters.keys().copied(), now);
        for gate in departed.iter().filter(|gate| gate.is_used()) {
            gone.note_used(gate.release, now);
        }
        for release in gone.forget(now) {
            // A gate that is found again must count where its release does.
            departed.retain(|gate| gate.release != release);
            if let Some(counters) = counters.remove(&release) {
                past.take(&counters);
            }
        }
        let hold = routes.hold.map(|bounds| {
            let same = waiting.filter(|hold| hold.bounds == bounds);
            same.unwrap_or_else(|| Arc::new(Hold::new(bounds, Arc::clone(&lasting.held))))
        });
        let compiled = App::compile(&routes, Arc::clone(&lasting), |id| kept.get(id));
        let compiled = Arc::new(compiled.held(hold.clone()));
        let gates = kept;
        let moves = |gate: &&Arc<Gate>| {
            routes
                .hand_over
                .as_ref()
                .is_some_and(|hand_over| hand_over.instances.contains(&gate.id))
        };
        let leaving = gates.values().chain(&departed).filter(moves).cloned().collect();
        let handing = Handing::follow(moving, routes.hand_over.as_ref(), leaving);
        let slice = Self {
            routes,
            compiled,
            gates,
            departed,
            counters,
            gone,
            past,
            lasting,
            hold,
            handing,
        };
        (slice, left)
    }

    fn census(&self) -> AppCensus {
        let used = self.departed.iter().filter(|gate| gate.is_used());
        let gates: Vec<_> = self.gates.values().chain(used).cloned().collect();
        let now = Instant::now();
        let told = |release: &ReleaseId| {
            let open = |gate: &&Arc<Gate>| gate.release == *release && gate.is_used();
            gates.iter().any(|gate| open(&gate)) || self.gone.is_told(*release, now)
        };
        let releases = self.counters.iter().filter(|(release, _)| told(release));
        let failing = &self.routes.spread.failing;
        AppCensus {
            app: self.routes.app.clone(),
            generation: self.routes.generation,
            lasting: Arc::clone(&self.lasting),
            failing: failing.len(),
            fails_open: failing.iter().any(|id| {
                let serving = |pool: &&Pool| pool.state == PoolState::Serving;
                let mut pools = self.routes.pools.iter().filter(serving);
                pools.any(|pool| pool.instances.iter().any(|one| one.id == *id))
            }),
            releases: releases
                .map(|(id, counters)| ReleaseCensus { id: *id, counters: Arc::clone(counters) })
                .collect(),
            gates,
        }
    }

    fn seen(&mut self) -> AppSeen {
        self.departed.retain(|gate| gate.is_used());
        let now = Instant::now();
        for gate in &self.departed {
            self.gone.note_used(gate.release, now);
        }
        let gates = self.gates.values().chain(&self.departed);
        AppSeen {
            routes: self.routes.clone(),
            instances: gates.map(|gate| gate.seen()).collect(),
            releases: self
                .counters
                .iter()
                .map(|(release, counters)| counters.seen(*release))
                .collect(),
            past: self.past.seen(),
            held: self.lasting.held.seen(),
        }
    }
}

/// What cannot be routed, whoever asks for it.
fn check(routes: &Routes) -> Result<(), Fault> {
    let usage = |what: String| Err(Fault::new(Kind::Usage, what));
    if !routes.path_prefix.starts_with('/') {
        return usage(format!("the path prefix `{}` does not start with `/`", routes.path_prefix));
    }
    let odd = |c: char| c.is_ascii_uppercase() || c.is_whitespace() || c.is_control() || c == '/';
    let wild = |host: &str| host.strip_prefix("*.").unwrap_or(host).contains('*') || host == "*.";
    let has_port = |host: &str| !host.starts_with('[') && host.contains(':');
    let bad = |h: &&String| h.is_empty() || h.contains(odd) || has_port(h) || wild(h);
    if let Some(host) = routes.hosts.iter().find(bad) {
        return usage(format!(
            "`{}` is not a host in lower case without a port",
            host.escape_debug()
        ));
    }
    if let Some(hold) = &routes.hold {
        let carried = routes.pools.iter().any(|pool| pool.state == PoolState::Serving);
        if carried || hold.wait_ms == 0 || hold.requests == 0 {
            return usage("a hold needs bounds, and no pool that serves beside it".to_owned());
        }
    }
    if let Some(HandOver { instances, pace, .. }) = &routes.hand_over {
        let serving = routes.pools.iter().filter(|pool| pool.state == PoolState::Serving);
        let served =
            serving.flat_map(|pool| &pool.instances).any(|one| instances.contains(&one.id));
        let nothing = matches!(&pace.farewell, Farewell::Frame(text) if text.is_empty());
        if served || nothing || pace.per_second == 0 || pace.at_once == 0 {
            return usage(
                "a hand-over needs a pace, and none of its instances may serve".to_owned(),
            );
        }
    }
    let mut ids = BTreeSet::new();
    for id in routes.pools.iter().flat_map(|pool: &Pool| &pool.instances).map(|one| &one.id) {
        if id.0.is_empty() || !id.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return usage(format!("`{}` cannot be the id of an instance", id.0.escape_debug()));
        }
        if !ids.insert(id) {
            return usage(format!("the instance `{id}` is named twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
