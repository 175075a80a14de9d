//! A WebSocket as it passes: where its frames end, and what the proxy puts in between when its client
//! is to leave.
//!
//! Rules and states of one tunnel alone; bytes are moved by `tunnel`, and when it is its turn is said by
//! `handover`. A text message for the client comes between two messages of the instance. A closing comes
//! when nothing moves any more, or after a moment all the same: the instance is told first, as by a client
//! that leaves, so that what it still says arrives; its own Close becomes the one with 1012 for the client.

#[cfg(test)]
mod fuzz;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};

use model::Farewell;
use tokio::time::{Instant, sleep, sleep_until};

use crate::limits;
use crate::roster::Asked;
use crate::websocket::{Track, close_to_client, close_to_instance, text_frame};

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToInstance,
    ToClient,
}

/// What is to be done next in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Something of our own is written.
    Own,
    /// So many bytes go on.
    Pass(usize),
    /// So many bytes are thrown away.
    Skip(usize),
    /// More is read.
    Read,
}

/// Our part of a direction.
#[derive(Debug, Default)]
struct Own {
    frame: Vec<u8>,
    written: usize,
    /// It was decided on; once it is written nothing else is, if it was a Close.
    said: bool,
}

impl Own {
    fn say(&mut self, frame: Vec<u8>) {
        (self.frame, self.written, self.said) = (frame, 0, true);
    }

    const fn due(&self) -> bool {
        self.written < self.frame.len()
    }
}

/// What was asked for.
#[derive(Debug)]
enum Ending {
    /// This message for the client.
    Frame(String),
    /// A Close each way: not yet, between messages, or between any two frames.
    Close(Urgency),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    Quiet,
    Messages,
    Frames,
}

/// Its client is to leave.
#[derive(Debug)]
struct Leave {
    ending: Ending,
    to_instance: Own,
    to_client: Own,
    moved: Instant,
    /// Wakes the one who waits for the end of it.
    waker: Option<Waker>,
}

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Talk {
    to_instance: Track,
    to_client: Track,
    leave: Option<Box<Leave>>,
}

impl Talk {
    /// From the first frame on.
    pub(crate) const fn new() -> Self {
        Self { to_instance: Track::new(true), to_client: Track::new(false), leave: None }
    }

    /// What comes next in a direction in which these bytes wait, and at the end of which it may be.
    pub(crate) fn next(&mut self, way: Way, data: &[u8], over: bool) -> Next {
        self.decide(way, data, over);
        let track = self.track(way);
        let rest = if data.is_empty() { Next::Read } else { Next::Pass(data.len()) };
        let Some(leave) = &self.leave else { return rest };
        let own = leave.own(way);
        match (&leave.ending, rest) {
            _ if own.due() => Next::Own,
            (Ending::Close(_), Next::Pass(all)) if own.said => Next::Skip(all),
            // Frame by frame, so that each Close is found before it is written.
            (Ending::Close(_), Next::Pass(_)) => Next::Pass(track.until_end(data, false)),
            (Ending::Frame(_), Next::Pass(_)) if way == Way::ToClient && !own.said => {
                Next::Pass(track.until_end(data, true))
            }
            (_, rest) => rest,
        }
    }

    /// Says what is due at this place, if something is.
    fn decide(&mut self, way: Way, data: &[u8], over: bool) {
        let (track, left) = (*self.track(way), self.to_instance.closed());
        let Some(leave) = &mut self.leave else { return };
        // A client that closes by itself is answered by its instance.
        if leave.own(way).said || track.closed() || (left && !leave.to_instance.said) {
            return;
        }
        match &leave.ending {
            Ending::Frame(text) if way == Way::ToClient && track.between_messages() => {
                let frame = text_frame(text);
                leave.to_client.say(frame);
            }
            Ending::Close(urgency) if *urgency != Urgency::Quiet => {
                let urgent = *urgency == Urgency::Frames;
                let place = track.between_messages() || (urgent && track.between_frames());
                match way {
                    Way::ToInstance if place => {
                        leave.to_instance.say(close_to_instance(fastrand::u32(..).to_ne_bytes()));
                    }
                    // The instance has said the last it had to say, or is given up.
                    Way::ToClient
                        if track.closes_next(data)
                            || (track.between_frames() && (over || urgent)) =>
                    {
                        leave.to_client.say(close_to_client("service restart"));
                    }
                    _ => {}
                }
            }
            Ending::Frame(_) | Ending::Close(_) => {}
        }
    }

    /// What is left of our own frame.
    pub(crate) fn own(&self, way: Way) -> &[u8] {
        let own = self.leave.as_ref().map(|leave| leave.own(way));
        own.map_or(&[], |own| &own.frame[own.written..])
    }

    /// So much of it was written.
    pub(crate) fn wrote(&mut self, way: Way, bytes: usize) {
        if let Some(leave) = &mut self.leave {
            let own = leave.own_mut(way);
            own.written += bytes;
            if !own.due() {
                leave.wake();
            }
        }
    }

    /// These bytes have gone on, or were thrown away.
    pub(crate) fn passed(&mut self, way: Way, bytes: &[u8]) {
        let track = match way {
            Way::ToInstance => &mut self.to_instance,
            Way::ToClient => &mut self.to_client,
        };
        track.advance(bytes);
        let closed = track.closed();
        if let Some(leave) = &mut self.leave {
            leave.moved = Instant::now();
            if closed {
                leave.wake();
            }
        }
    }

    const fn track(&self, way: Way) -> &Track {
        match way {
            Way::ToInstance => &self.to_instance,
            Way::ToClient => &self.to_client,
        }
    }

    /// True when nothing can be put in between any more.
    const fn out_of_reach(&self) -> bool {
        let lost = self.to_client.lost() || self.to_instance.lost();
        lost || self.to_client.closed() || self.to_instance.closed()
    }

    /// True when our words are out, and for a closing both sides have said theirs.
    fn is_done(&self) -> bool {
        let Some(leave) = &self.leave else { return false };
        match leave.ending {
            Ending::Frame(_) => leave.to_client.said && !leave.to_client.due(),
            Ending::Close(_) => {
                let said = |own: &Own| own.said && !own.due();
                let ours = said(&leave.to_client) && said(&leave.to_instance);
                ours && self.to_client.closed() && self.to_instance.closed()
            }
        }
    }
}

impl Leave {
    const fn own(&self, way: Way) -> &Own {
        match way {
            Way::ToInstance => &self.to_instance,
            Way::ToClient => &self.to_client,
        }
    }

    const fn own_mut(&mut self, way: Way) -> &mut Own {
        match way {
            Way::ToInstance => &mut self.to_instance,
            Way::ToClient => &mut self.to_client,
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Sees a client off that was asked to leave. Ends when the tunnel is to end, be it that one side does
/// not answer; otherwise never, and the tunnel goes on.
pub(crate) async fn see_off(talk: &RefCell<Talk>, asked: Asked) {
    let close = match &asked.farewell {
        Farewell::Frame(text) => begin(talk, Ending::Frame(text.clone())),
        Farewell::Close => begin(talk, Ending::Close(Urgency::Quiet)),
    };
    if talk.borrow().out_of_reach() {
        talk.borrow_mut().leave = None;
        drop(asked);
        return pending::<()>().await;
    }
    if close {
        lull(talk).await;
        urge(talk, Urgency::Messages);
        if tokio::time::timeout(limits::FAREWELL_MESSAGE, done(talk)).await.is_err() {
            urge(talk, Urgency::Frames);
            // Whoever does not finish the handshake is cut.
            let _ = tokio::time::timeout(limits::FAREWELL_CLOSE, done(talk)).await;
        }
        return;
    }
    // It keeps its place for a moment, and others are told all the same if it does not leave.
    let told = async {
        done(talk).await;
        sleep(limits::FAREWELL_LEAVES).await;
    };
    let _ = tokio::time::timeout(limits::FAREWELL_PLACE, told).await;
    drop(asked);
    pending::<()>().await;
}

/// True for a closing.
fn begin(talk: &RefCell<Talk>, ending: Ending) -> bool {
    let close = matches!(ending, Ending::Close(_));
    let (to_instance, to_client) = (Own::default(), Own::default());
    let leave = Leave { ending, to_instance, to_client, moved: Instant::now(), waker: None };
    talk.borrow_mut().leave = Some(Box::new(leave));
    close
}

fn urge(talk: &RefCell<Talk>, urgency: Urgency) {
    if let Some(leave) = &mut talk.borrow_mut().leave {
        leave.ending = Ending::Close(urgency);
    }
}

/// Waits until nothing has moved for a moment: then nothing is under way that a Close would lose.
async fn lull(talk: &RefCell<Talk>) {
    let latest = Instant::now() + limits::FAREWELL_WAITS;
    loop {
        let moved = talk.borrow().leave.as_ref().map_or(latest, |leave| leave.moved);
        let quiet = moved + limits::FAREWELL_LULL;
        if quiet.min(latest) <= Instant::now() {
            return;
        }
        sleep_until(quiet.min(latest)).await;
    }
}

async fn done(talk: &RefCell<Talk>) {
    poll_fn(|context| {
        let mut talk = talk.borrow_mut();
        if talk.is_done() {
            return Poll::Ready(());
        }
        if let Some(leave) = &mut talk.leave {
            leave.waker = Some(context.waker().clone());
        }
        Poll::Pending
    })
    .await;
}
