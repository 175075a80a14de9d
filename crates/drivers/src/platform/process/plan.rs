//! What stands between the processes that are and those that should be. Pure.
//!
//! Order within a release: processes found unrecorded are entered, ends are noted, then instances
//! are told, killed and started. What must be waited for is named; nothing here waits.
//!
//! Of a release that runs, only those end that are named to leave: who can be spared is not known
//! here, and what still serves must leave the routes first. Any other surplus is left alone.

use std::time::Duration;

use model::{AppName, Change, Plan, Release, ReleaseId, RunState};

use super::step::{Expected, Step, Target, expect_empty, expect_number};
use super::told::again_at_ms;
use crate::platform::fleet::{Condition, FleetHave, FleetWant, InstanceHave, ReleaseWant};
use crate::words::span;

/// Plans for one app.
pub(super) fn plan(want: &FleetWant, have: &FleetHave) -> Plan {
    let mut draft = Draft { have, plan: Plan::default(), ports: have.free_ports.clone() };
    draft.ports.reverse();
    for release in &want.releases {
        match release.state {
            RunState::Running => draft.run(release),
            RunState::Terminating => {
                draft.tell_all(release.release.id, release.release.stop_timeout_ms);
            }
            RunState::Gone => draft.end(release.release.id, release.release.stop_timeout_ms),
        }
    }
    for known in &have.releases {
        if !want.releases.iter().any(|wanted| wanted.release.id == known.release.id) {
            draft.end(known.release.id, known.release.stop_timeout_ms);
        }
    }
    draft.plan
}

struct Draft<'a> {
    have: &'a FleetHave,
    plan: Plan,
    /// Free ports, the next one last.
    ports: Vec<u16>,
}

impl<'a> Draft<'a> {
    fn run(&mut self, want: &ReleaseWant) {
        let limit = want.release.stop_timeout_ms;
        let leaving = self.have.picked(want);
        let mut staying = Vec::new();
        for instance in self.settled_entries(want.release.id) {
            match &want.leave {
                Some(leave) if leaving.contains(&instance.id) => match leave.state {
                    RunState::Running => {}
                    RunState::Terminating => self.tell(instance, limit),
                    RunState::Gone => self.see_off(instance, limit),
                },
                _ if instance.stays() => staying.push(instance),
                _ => self.see_off(instance, limit),
            }
        }
        staying.sort_by_key(|i| (standing(i.condition), i.number()));
        let wanted = usize::from(want.instances);
        for instance in staying.iter().take(wanted).filter(|i| i.condition != Condition::Ready) {
            self.wait(format!("{} to pass its health check", instance.id));
        }
        let missing = wanted.saturating_sub(staying.len());
        if missing > 0 && !self.unclear(want.release.id) {
            self.start(&want.release, u32::try_from(missing).unwrap_or_default());
        }
    }

    /// True while something must be entered in the records before anything may be started: a
    /// process found alive may be the one that is missing, and a crash brings its back-off.
    fn unclear(&self, release: ReleaseId) -> bool {
        let crashed = |i: &InstanceHave| {
            i.condition == Condition::Ended && i.pid.is_some() && i.told_at_ms.is_none()
        };
        self.have.unrecorded(release) || self.have.of(release).any(crashed)
    }

    fn tell_all(&mut self, release: ReleaseId, limit_ms: u64) {
        for instance in self.settled_entries(release) {
            self.tell(instance, limit_ms);
        }
    }

    /// Tells an instance to end and sees to it that it heard; nothing else is waited for.
    fn tell(&mut self, instance: &InstanceHave, limit_ms: u64) {
        let Some(told) = instance.told_at_ms else {
            return self.push_tell(instance);
        };
        let again = again_at_ms(told, instance.telling_ms, limit_ms);
        if let Some(again) = again.filter(|_| !instance.killed) {
            self.tell_again(instance, again);
        }
    }

    /// Tells an instance of which it is not known whether it heard, when that is due.
    fn tell_again(&mut self, instance: &InstanceHave, at_ms: u64) {
        let left = at_ms.saturating_sub(self.have.now_ms);
        let id = &instance.id;
        if left > 0 {
            let left = span(Duration::from_millis(left));
            return self.wait(format!("{id} to end; perhaps not told yet, it is again in {left}"));
        }
        let words = format!("tell {id} to end once more (SIGTERM): perhaps it was not told");
        self.push(instance, Step::Tell { target: self.target(instance) }, words);
    }

    fn end(&mut self, release: ReleaseId, limit_ms: u64) {
        for instance in self.settled_entries(release) {
            self.see_off(instance, limit_ms);
        }
        let known = self.have.releases.iter().any(|known| known.release.id == release);
        if known && self.have.of(release).next().is_none() {
            let step = Step::Forget { app: self.have.app.clone(), release };
            let words = format!("forget release {release} of {}", self.have.app);
            self.plan.changes.push(step.change(words, expect_empty()));
        }
    }

    /// The instances that may be told, killed or kept; the others get their change here.
    fn settled_entries(&mut self, release: ReleaseId) -> Vec<&'a InstanceHave> {
        let mut rest = Vec::new();
        for instance in self.have.of(release) {
            let over = instance.condition == Condition::Ended;
            let target = self.target(instance);
            let pid = instance.pid.unwrap_or_default();
            if instance.condition == Condition::Found {
                let words = format!("adopt {} (pid {pid})", instance.id);
                self.push(instance, Step::Adopt { target }, words);
            } else if over && (instance.told_at_ms.is_none() || !instance.left_behind) {
                let words = format!("note that {} has ended", instance.id);
                self.push(instance, Step::Note { target }, words);
            } else {
                rest.push(instance);
            }
        }
        rest
    }

    /// Tells an instance to end, kills it when its time is over, and waits.
    fn see_off(&mut self, instance: &InstanceHave, limit_ms: u64) {
        let Some(told) = instance.told_at_ms else {
            return self.push_tell(instance);
        };
        let left = (told + limit_ms).saturating_sub(self.have.now_ms);
        let id = &instance.id;
        if instance.killed {
            self.wait(format!("{id} to be gone, it was killed"));
        } else if let Some(again) = again_at_ms(told, instance.telling_ms, limit_ms) {
            self.tell_again(instance, again);
        } else if left == 0 {
            let limit = span(Duration::from_millis(limit_ms));
            let words = format!("kill {id}: it did not end within {limit} after SIGTERM");
            self.push(instance, Step::Kill { target: self.target(instance) }, words);
        } else {
            let left = span(Duration::from_millis(left));
            self.wait(format!("{id} to end; it is killed in {left}"));
        }
    }

    fn push_tell(&mut self, instance: &InstanceHave) {
        let group = match instance.pid {
            Some(pid) => format!("the group of pid {pid}"),
            // It is foretold: nobody has started it yet.
            None => "its group".to_owned(),
        };
        let words = format!("tell {} to end (SIGTERM to {group})", instance.id);
        self.push(instance, Step::Tell { target: self.target(instance) }, words);
    }

    fn start(&mut self, release: &Release, missing: u32) {
        let known = self.have.release(release.id);
        let pause = known.map_or(0, |k| k.not_before_ms.saturating_sub(self.have.now_ms));
        let crashes = known.map_or(0, |k| k.crashes);
        let last = self.have.last_numbers.get(&release.id).copied().unwrap_or_default();
        for i in 1..=missing {
            let number = last.saturating_add(i);
            let id = Target { app: release.app.clone(), release: release.id, number }.id();
            if pause > 0 {
                let pause = span(Duration::from_millis(pause));
                self.wait(format!("{id} to be started, in {pause} ({crashes} crashed so far)"));
            } else if let Some(port) = self.ports.pop() {
                // A foretold one gets the one that is free then.
                let port_words =
                    if port == 0 { "a free port".to_owned() } else { format!("port {port}") };
                let words = format!("start {id} ({}) on {port_words}", release.version);
                let step = Step::Start { release: Box::new(release.clone()), number, port };
                self.plan.changes.push(step.change(words, expect_number(number)));
            } else {
                self.wait(format!("a free port for {id}"));
            }
        }
    }

    fn push(&mut self, instance: &InstanceHave, step: Step, words: String) {
        let expected = expected_of(instance);
        let change: Change = step.change(words, expected);
        self.plan.changes.push(change);
    }

    fn wait(&mut self, what: String) {
        self.plan.waiting.push(what);
    }

    fn target(&self, instance: &InstanceHave) -> Target {
        let app: AppName = self.have.app.clone();
        Target { app, release: instance.release, number: instance.number() }
    }
}

/// Only the best are waited for when there are too many.
fn standing(condition: Condition) -> u8 {
    match condition {
        Condition::Ready => 0,
        Condition::Adopted => 1,
        Condition::Doubted => 2,
        Condition::Starting => 3,
        Condition::Unready => 4,
        Condition::Found | Condition::Ended => 5,
    }
}

fn expected_of(instance: &InstanceHave) -> String {
    Expected {
        identity: &instance.identity,
        alive: instance.condition != Condition::Ended,
        told: instance.told_at_ms.is_some(),
        telling_ms: instance.telling_ms,
        killed: instance.killed,
    }
    .words()
}
