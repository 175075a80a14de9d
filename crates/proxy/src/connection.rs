//! Which connection a request takes to an instance: one that is there already, or a fresh one.
//!
//! Nothing is sent here, and what a stale connection costs is decided elsewhere (`replay`).

use tokio::net::TcpStream;

use crate::call::Call;
use crate::gate::Gate;
use crate::replay::Failure;
use crate::upstream::{self, Upstreams};

/// A connection to the instance, and whether it carried requests before; `pool` is there for a request
/// that could be sent again, should the pooled connection be stale. What may have an effect each time
/// takes one only where the kernel has heard of no end a moment ago.
pub(crate) async fn take(
    pool: Option<&Upstreams>,
    call: &Call,
    gate: &Gate,
) -> Result<(TcpStream, bool), Failure> {
    let pooled = pool
        .filter(|_| !call.asks.upgrade)
        .and_then(|pool| if call.asks.idempotent { pool.take(gate) } else { pool.take_sure(gate) });
    if let Some(stream) = pooled {
        return Ok((stream, true));
    }
    let limit = call.patience.connect.min(call.left());
    if let Ok(stream) = upstream::connect(gate, limit).await {
        return Ok((stream, false));
    }
    if call.left().is_zero() {
        return Err(Failure::Overdue);
    }
    gate.note_refused();
    Err(Failure::Connect)
}
