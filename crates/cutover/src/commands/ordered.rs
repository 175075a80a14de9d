//! What the commands that order a rollout have in common: they show first that its report can be written,
//! and say what was begun where nobody follows it. Follows nothing itself (see `deploy`).

use model::{AppName, Fault};

use super::also;
use crate::cli::Following;
use crate::interrupt::Interrupt;
use crate::server::orders::{Begun, Told};

/// Shows that the report can be written, before anything is asked for.
pub(super) fn ready(following: &Following) -> Result<Interrupt, Fault> {
    if !following.detach {
        super::writable(&following.out)?;
        also::writable(&following.also)?;
    }
    Interrupt::new()
}

/// Which rollout has begun, for somebody who does not follow it.
pub(super) fn begun(app: &AppName, begun: Begun, json: bool) -> Result<u8, Fault> {
    let text = std::iter::once(format!("{app}: began run {}", begun.run)).chain(begun.degrades);
    let text = text.collect::<Vec<_>>().join("\n");
    tell(&Told { text, run: Some(begun.run) }, json)
}

/// What will happen now, on stdout.
pub(super) fn tell(told: &Told, json: bool) -> Result<u8, Fault> {
    if json {
        let text = serde_json::to_string(told)
            .map_err(|e| Fault::internal(format!("the answer cannot be written: {e}")))?;
        crate::say::outln!("{text}");
    } else {
        crate::say::outln!("{}", told.text);
    }
    Ok(0)
}
