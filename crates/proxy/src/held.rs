//! One request that is held: it waits for its turn, or its client goes, or a bound is reached.
//!
//! The bounds are `hold`'s; where the request goes afterwards is the exchange's affair.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::buffer::Buffer;
use crate::call::Call;
use crate::hold::{Hold, Place};
use crate::limits;
use crate::upload::Giver;
use crate::wire;

/// How the waiting of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Somebody serves again.
    Released,
    /// A bound was reached, in words.
    Refused(&'static str),
    /// The client went.
    ClientGone,
}

/// Lets a request wait, until then at most.
pub(crate) async fn wait(
    mut client: Giver<'_, '_>,
    call: &Call,
    (hold, deadline): (&Arc<Hold>, Instant),
) -> Waited {
    let Some(place) = hold.enter(takes(&mut client, call)) else {
        hold.tally.refused();
        return Waited::Refused("too many requests wait for this app to be replaced");
    };
    tokio::select! {
        biased;
        on = place.turn(deadline) => if on {
            Waited::Released
        } else {
            hold.tally.refused();
            Waited::Refused("this app is being replaced, and it took too long")
        },
        () = leaves(&mut client, &place) => Waited::ClientGone,
    }
}

/// Memory that a request takes while it waits, bytes. What its client may send ahead is counted
/// beforehand.
fn takes(client: &mut Giver<'_, '_>, call: &Call) -> u64 {
    let ahead = match client {
        Giver::Bytes(_, buffer) => {
            if buffer.as_ref().is_some_and(Buffer::is_empty) {
                **buffer = None;
            }
            if buffer.is_some() { limits::BUFFER } else { 0 }
        }
        Giver::Frames(..) if call.rest.body.done() => 0,
        Giver::Frames(..) => limits::STREAM_WINDOW as usize,
    };
    (call.head.capacity() + call.rest.kept.len() + ahead) as u64
}

/// Waits until the client is gone. What it sends meanwhile is kept, as far as there is room; behind
/// that its end cannot be seen.
async fn leaves(client: &mut Giver<'_, '_>, place: &Place) {
    let (read, buffer) = match client {
        Giver::Bytes(read, buffer) => (read, buffer),
        Giver::Frames(_, outgoing) => {
            return poll_fn(|context| outgoing.borrow_mut().poll_gone(context)).await;
        }
    };
    if buffer.is_none() {
        if wire::ready(*read).await.is_err() {
            return;
        }
        if !place.grow(limits::BUFFER as u64) {
            return pending().await;
        }
    }
    while buffer.as_ref().is_none_or(|buffer| !buffer.is_full()) {
        match wire::more(*read, buffer, Duration::MAX).await {
            // It may still read: nothing was done for it yet, and it gets a moment.
            Ok(0) => return sleep(limits::HALF_CLOSED).await,
            Ok(_) => {}
            Err(_) => return,
        }
    }
    pending::<()>().await;
}
