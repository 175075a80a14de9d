//! What must hold of the world and of the machine in each step of the controller: a breach is noted, and ends the seed.
//!
//! What must be true when it is all over is judged in `main`, not here.

use model::event::PoolSeen;
use model::{Event, Phase, PoolState, ReleaseId, RunState, Weight};
use rollout::{Rollout, Strategy, Wants};

use super::Controller;
use crate::plan::{CANDIDATE, STABLE};

impl Controller<'_> {
    /// Nobody has the traffic only while requests wait, and they wait only then.
    pub(super) fn check_waiting(&mut self, wants: &Wants) {
        let nobody = wants.pools.iter().all(|pool| pool.weight == Weight::NONE);
        let waiting = wants.hold.is_some();
        let first = self.world.plan.start.stable.is_none();
        if waiting != nobody && !(first && nobody) {
            let what =
                format!("waiting: {waiting}, nobody serves: {nobody}, at {}", self.world.now);
            self.world.violations.push(what);
        }
    }

    /// Once the promotion is final, nobody of the candidate is told to end, and who is ready serves:
    /// all of them, but for a spare; and without a crash never fewer than usual.
    pub(super) fn check_promoted(&mut self) {
        let (world, plan) = (&self.world, self.world.plan);
        if plan.batch().is_some() || !self.machine.promotion_is_final() {
            return;
        }
        let told = world.candidate.instances.iter().filter(|one| one.told_to_end()).count();
        let serving = world.serving(CANDIDATE).count();
        let fewest = world.ready(CANDIDATE).min(plan.start.instances);
        let certain = !plan.crashes() || world.router.applied(world.now);
        let certain = certain && !world.router.foreign;
        if told > 0 || (certain && serving < usize::from(fewest)) {
            let what = format!("{told} told, {serving} of {fewest} serve at {}", world.now);
            self.world.violate(what);
        }
    }

    /// What is refused does no more than the time at which it was told.
    pub(super) fn check_refusal(&mut self, before: Rollout, event: &Event) {
        let Some(why) = before.refuses(event) else { return };
        let mut untold = before;
        untold.advance(self.world.now, &Event::Tick);
        let is = |machine: &Rollout| {
            (machine.wants(), machine.entered().len(), machine.paused().cloned())
        };
        if is(&untold) != is(&self.machine) {
            self.world.violations.push(format!("refused ({why}) and done at {}", self.world.now));
        }
    }

    /// Where the router moves tunnels, nobody is told to end who may go on until they have.
    pub(super) fn check_told(&mut self, after: &Wants) {
        let movable = [STABLE, CANDIDATE].map(|release| self.world.movable(release));
        let none = movable.into_iter().flatten().all(|left| left == 0);
        if self.world.plan.start.settings.handover.is_none() || none {
            return;
        }
        let told = after.fleet.iter().any(|want| want.state == RunState::Terminating);
        let leave = after.leave.as_ref().filter(|leave| !leave.named.is_empty());
        if told || leave.is_some_and(|leave| leave.state == RunState::Terminating) {
            self.world.violate(format!("told before its tunnels at {}", self.world.now));
        }
    }

    /// Traffic may move only to a release reported ready in this life, and a release that users were
    /// on may be told to end only while the one they are on now was reported ready.
    pub(super) fn check_homes(&mut self, before: &Wants, after: &Wants) {
        let home = home(&after.pools);
        let ready = |release: ReleaseId| self.reported.get(&release).copied().unwrap_or(0);
        let reported = home.map_or(0, ready);
        let now = self.world.now;
        for pool in &after.pools {
            let was = before.pools.iter().find(|was| was.release == pool.release);
            let more = pool.weight > was.map_or(Weight::NONE, |was| was.weight);
            // Where nobody serves any more, stable is to be found when it comes back.
            let stuck = self.machine.phase() == Phase::Stuck && self.world.plan.recreates();
            if more && ready(pool.release) == 0 && !stuck {
                let what =
                    format!("traffic moved to {}, not known to be ready, at {now}", pool.release);
                self.world.violations.push(what);
            }
        }
        for (was, is) in before.fleet.iter().zip(&after.fleet) {
            // In a rolling replacement the last ones have gone by then; the world watches each.
            let whole = self.world.plan.batch().is_none();
            let told = whole && was.state == RunState::Running && is.state != RunState::Running;
            let had_users = is.release == STABLE
                || self.machine.entered().iter().any(|entered| entered.phase == Phase::Shifting);
            let carried = self.world.serving(is.release).next().is_some();
            if told && had_users && carried && !self.world.router.foreign {
                let what = format!("{} told to end while it is routed, at {now}", is.release);
                self.world.violate(what);
            }
            let serves =
                |pool: &PoolSeen| pool.release == is.release && pool.state == PoolState::Serving;
            if told && had_users && self.routes.iter().flatten().any(serves) {
                let what = format!("{} told to end while it was seen routed, {now}", is.release);
                self.world.violations.push(what);
            }
            if told && had_users && home.is_some() && reported == 0 {
                let what =
                    format!("{} told to end while nothing else serves, at {now}", is.release);
                self.world.violations.push(what);
            }
        }
    }

    /// Room is made only where as many as usual but a batch (and its surge) go on serving, as far as was
    /// reported, or where those that leave serve nobody; and they are named when their requests or their time is
    /// over.
    pub(super) fn check_room(&mut self, before: &Wants, after: &Wants) {
        let Some(leave) = &after.leave else { return };
        let plan = self.world.plan;
        let Some(batch) = plan.batch() else {
            return self.check_spare(before, after);
        };
        if before.leave.as_ref().is_some_and(|was| was.named.is_empty()) {
            let began = self.machine.entered().iter().rev().find(|entered| {
                matches!(entered.phase, Phase::Draining | Phase::DrainingCandidate)
            });
            let over = began.unwrap().at_ms + plan.start.settings.drain_deadline_ms;
            let open: u64 = self.world.leaving(after).iter().map(|one| one.open().0).sum();
            let named = leave.state != RunState::Running || !leave.named.is_empty();
            if named && open > 0 && self.world.now < over {
                let what = format!("{leave:?} with {open} requests at {}", self.world.now);
                self.world.violate(what);
            }
        }
        if before.leave.is_some() {
            return;
        }
        let ready = |release: ReleaseId| self.reported.get(&release).copied().unwrap_or(0);
        let other = if leave.release == STABLE { CANDIDATE } else { STABLE };
        let stays = after.fleet.iter().find(|want| want.release == leave.release).unwrap();
        let then = ready(other) + ready(leave.release).min(stays.instances);
        let now = ready(other) + ready(leave.release).min(stays.instances + leave.instances);
        if then < now && then + batch < plan.start.instances + plan.surge() {
            let what = format!("{leave:?} while {now} serve at {}", self.world.now);
            self.world.violations.push(what);
        }
    }

    /// On the way home twice as many were reported ready when half of them is to leave, and nobody is
    /// ever to end.
    fn check_spare(&mut self, before: &Wants, after: &Wants) {
        let leave = after.leave.as_ref().unwrap();
        let usual = self.world.plan.start.instances;
        let ready = self.reported.get(&CANDIDATE).copied().unwrap_or(0) >= 2 * usual;
        let mut wanted = after.fleet.iter().filter(|want| want.state == RunState::Running);
        let stay = wanted.next().is_some_and(|want| {
            want.release == CANDIDATE && want.instances == usual && wanted.next().is_none()
        });
        let left_alone = leave.state == RunState::Running && leave.named.is_empty();
        let begins = before.leave.is_none();
        let holds = stay && left_alone && leave.release == CANDIDATE && leave.instances == usual;
        if !holds || (begins && !ready) {
            self.world.violations.push(format!("{leave:?} at {}", self.world.now));
        }
    }

    /// A phase means what it says: what its entry promises is true of the world.
    pub(super) fn check_entry(&mut self, phase: Phase) {
        let wants = self.machine.wants();
        let wanted = wants.fleet.iter().find(|want| want.release == CANDIDATE).unwrap().instances;
        let ready = self.reported.get(&CANDIDATE).copied().unwrap_or(0) >= wanted;
        // Of routes that somebody else set since, nothing was seen.
        let foreign = self.world.router.foreign;
        let seen = self.routes.as_ref().filter(|_| foreign);
        let pools = seen.unwrap_or(&self.world.router.routes.0);
        let (carries, as_wanted) = (home(pools), *pools == wants.pools);
        let said = self.machine.entered().last().is_some_and(|e| e.why.contains("warning"));
        let gone = |release| self.world.fleet(release).instances.is_empty() || said;
        let first = self.world.plan.start.stable.is_none();
        let rolling = self.world.plan.batch().is_some();
        let recreates = self.world.plan.recreates();
        let holds = match phase {
            Phase::Shifting => {
                self.crashes.1 = self.crashes.0;
                // For a smaller share stable is enough.
                let less = matches!(self.machine.shares(), [.., was, is] if is.share < was.share);
                let next = !self.world.plan.left_alone() || self.share_is_next(&wants);
                (ready || less) && next
            }
            // One that ends at once wants something else already.
            Phase::Baking => as_wanted || self.machine.phase() != phase,
            Phase::Draining | Phase::DrainingCandidate if recreates => true,
            Phase::Draining if rolling => ready,
            Phase::Draining if wants.leave.is_some() => {
                let leaving = self.world.leaving(&wants);
                foreign || leaving.iter().all(|one| self.world.router.out(one.id))
            }
            // How many may leave is counted by the world.
            Phase::DrainingCandidate if rolling => true,
            Phase::Draining => {
                let overlooked = self.world.plan.rolls_back();
                let crashed = self.crashes.0 != self.crashes.1 && !overlooked;
                // Bound by the others, it goes on whatever was seen since.
                let bound = self.world.plan.start.settings.together.is_some();
                bound || (ready && carries == Some(CANDIDATE) && !crashed)
            }
            Phase::DrainingCandidate => first || carries == Some(STABLE),
            Phase::Promoted if self.world.plan.keeps() => true,
            Phase::Promoted => gone(STABLE) && (wants.leave.is_none() || self.spare_is_drained()),
            Phase::Aborted => gone(CANDIDATE),
            _ => true,
        };
        if !holds {
            let what = format!("{phase} entered at {} without its condition", self.world.now);
            self.world.violate(what);
        }
    }

    /// Nothing is open on the spare, or the time of the phase before was over.
    fn spare_is_drained(&self) -> bool {
        let (entered, settings) = (self.machine.entered(), &self.world.plan.start.settings);
        let before = &entered[entered.len() - 2];
        let wants = self.machine.wants();
        let open: u64 = self.world.leaving(&wants).iter().map(|one| one.open().0).sum();
        let (time, drained) = match before.phase {
            Phase::Draining => (settings.drain_deadline_ms, open == 0),
            _ => (settings.shift_deadline_ms, false),
        };
        drained || self.world.now >= before.at_ms + time
    }

    /// A canary's shares come one after the other.
    fn share_is_next(&self, wants: &Wants) -> bool {
        let Strategy::Canary { steps, .. } = &self.world.plan.start.settings.strategy else {
            return true;
        };
        let first = self.world.plan.start.stable.is_none();
        let entered = self.machine.entered().iter();
        let switches = entered.filter(|entered| entered.phase == Phase::Shifting).count();
        let mut steps = steps.clone();
        steps.dedup();
        let share = steps.get(switches - 1).filter(|_| !first).copied().unwrap_or(Weight::ALL);
        wants.pools.iter().any(|pool| pool.release == CANDIDATE && pool.weight == share)
    }
}

fn home(pools: &[PoolSeen]) -> Option<ReleaseId> {
    pools.iter().find(|pool| pool.weight == Weight::ALL).map(|pool| pool.release)
}
