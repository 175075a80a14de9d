//! What a look would find once a change was done and has led to what it is for. Pure.
//!
//! For plans of what is to come: what is started is ready, and what is told ends whenever whoever asks
//! says so. Nothing is looked at here, and nobody knows the process of what was not started.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::step::{Step, Target};
use crate::platform::fleet::{Condition, FleetHave, InstanceHave, ReleaseHave};

/// What is there after `step`.
pub(super) fn after(step: Step, mut have: FleetHave, host: Option<IpAddr>) -> FleetHave {
    match step {
        Step::Start { release, number, port } => {
            let target = Target { app: release.app.clone(), release: release.id, number };
            have.last_numbers.insert(release.id, number);
            have.free_ports.retain(|free| *free != port || port == 0);
            have.instances.push(started(&target, (host, port)));
            have.instances.sort_by_key(|one| (one.release, one.number()));
            if have.release(release.id).is_none() {
                have.releases.push(known(*release));
            }
        }
        Step::Adopt { target } => {
            change(&mut have, &target, |one| one.condition = Condition::Ready);
        }
        Step::Tell { target } => {
            let now = have.now_ms;
            change(&mut have, &target, |one| (one.told_at_ms, one.telling_ms) = (Some(now), None));
        }
        Step::Kill { target } => change(&mut have, &target, |one| one.killed = true),
        Step::Note { target } => have.instances.retain(|one| one.id != target.id()),
        Step::Forget { release, .. } => have.releases.retain(|of| of.release.id != release),
    }
    have
}

fn change(have: &mut FleetHave, target: &Target, what: impl FnOnce(&mut InstanceHave)) {
    let id = target.id();
    if let Some(one) = have.instances.iter_mut().find(|one| one.id == id) {
        what(one);
    }
}

fn started(target: &Target, (host, port): (Option<IpAddr>, u16)) -> InstanceHave {
    InstanceHave {
        id: target.id(),
        release: target.release,
        address: SocketAddr::new(host.unwrap_or(Ipv4Addr::LOCALHOST.into()), port),
        pid: None,
        identity: String::new(),
        condition: Condition::Ready,
        ready_before: true,
        told_at_ms: None,
        telling_ms: None,
        killed: false,
        left_behind: false,
        trouble: Vec::new(),
    }
}

const fn known(release: model::Release) -> ReleaseHave {
    ReleaseHave {
        release,
        crashes: 0,
        unstarted: 0,
        not_before_ms: 0,
        last_crash: Vec::new(),
        discovered: None,
    }
}
