//! Which connection a request takes to an instance: one that is there already, or a fresh one.
//!
//! Nothing is sent here, and what a stale connection costs is decided elsewhere (`replay`).

use std::sync::Arc;

use crate::call::Call;
use crate::gate::Gate;
use crate::life::Shared;
use crate::replay::Failure;
use crate::upstream::{self, Unreached, Upstream, Upstreams};

/// A connection to the instance, and whether it carried requests before; `pool` is there for a request
/// that could be sent again, should the pooled connection be stale. What may have an effect each time
/// takes one only where the kernel has heard of no end a moment ago.
pub(crate) async fn take(
    (shared, pool): (&Arc<Shared>, Option<&Upstreams>),
    call: &Call,
    gate: &Gate,
) -> Result<(Upstream, bool), Failure> {
    let pooled = pool
        .filter(|_| !call.asks.upgrade)
        .and_then(|pool| if call.asks.idempotent { pool.take(gate) } else { pool.take_sure(gate) });
    if let Some(stream) = pooled {
        return Ok((stream, true));
    }
    let limit = call.patience.connect.min(call.left());
    match upstream::connect(shared, gate, limit).await {
        Ok(stream) => return Ok((stream, false)),
        Err(Unreached::NoSocket) => return Err(Failure::NoSocket),
        Err(Unreached::Refused) => {}
    }
    if call.left().is_zero() {
        return Err(Failure::Overdue);
    }
    gate.note_refused();
    Err(Failure::Connect)
}
