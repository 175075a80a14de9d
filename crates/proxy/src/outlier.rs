//! Which instance is left out for a while: one that fails request after request of users, whatever
//! its health checks say.
//!
//! Judged where a request has just ended, of that one instance, never of its release. It picks nobody:
//! `pick` passes over who is left out while there is somebody else. No thread waits for another: of
//! two that would leave out one too many, both may refrain, and the next failure tries again.

use std::sync::Arc;

use crate::gate::Gate;
use crate::life::Shared;
use crate::replay::Failure;
use crate::table::App;

/// The instance began an answer of this status, and it did not break off.
pub(crate) fn answered(shared: &Shared, app: &App, gate: &Gate, status: u16) {
    if status < 500 || !shared.settings.load().outliers.errors {
        gate.ejection.passed();
    } else {
        failed(shared, app, gate);
    }
}

/// A request failed before its answer began.
pub(crate) fn unanswered(shared: &Shared, app: &App, gate: &Gate, failure: Failure) {
    // A connection that was idle for a while says nothing of the next one, and without a socket nobody was
    // asked.
    if !matches!(failure, Failure::Stale | Failure::NoSocket) {
        failed(shared, app, gate);
    }
}

/// The instance failed a request of this app.
pub(crate) fn failed(shared: &Shared, app: &App, gate: &Gate) {
    let rule = &shared.settings.load().outliers;
    let peers = app.peers(gate);
    let most = rule.most(peers.len());
    if !gate.ejection.failed(rule) || most == 0 {
        return;
    }
    let out = || peers.iter().filter(|peer| peer.ejected_ms() > 0).count();
    if let Some(ms) = gate.ejection.eject(rule, gate.age_ms(), || out() <= most) {
        gate.counters.ejections.up();
        tell(gate, peers, ms);
    }
}

fn tell(gate: &Gate, peers: &[Arc<Gate>], ms: u64) {
    tracing::warn!(
        instance = %gate.id,
        times = gate.ejection.count(),
        "{} failed request after request and gets none for {ms} ms; its pool has {} instances",
        gate.id,
        peers.len(),
    );
}
