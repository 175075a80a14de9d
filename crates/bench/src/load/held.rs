//! Connections that are only held: idle ones, and tunnels.
//!
//! How much memory they cost is read by who calls.

use std::io;

use super::Target;
use super::connection::{Kept, Question};
use crate::cases::Case;

/// Connections that stay open until this is dropped.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "kept open")] Vec<Kept>);

/// Opens so many, one after the other, each used once: a request, or a message through a tunnel.
pub(crate) async fn hold(target: &Target, case: Case, count: usize) -> io::Result<Held> {
    let mut open = Vec::with_capacity(count);
    let small = Question::small(target);
    for _ in 0..count {
        let mut kept = Kept::open(target).await?;
        if case == Case::Tunnels {
            kept.switch(target).await?;
        } else {
            kept.ask(&small).await?;
        }
        open.push(kept);
    }
    Ok(Held(open))
}
