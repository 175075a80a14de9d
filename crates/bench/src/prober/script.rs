//! What the server of truth does with each request: a known script, so that every failure is known too.
//!
//! Numbers and bytes only; who plays it stands in `truth`.

use std::time::Duration;

use model::Class;

/// A right answer.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nX-App-Version: v1\r\nContent-Length: 2\r\n\r\nok";

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Answered at once.
    Answer,
    /// Answered after so long.
    Wait(Duration),
    /// These bytes, and the connection stays.
    Say(&'static [u8]),
    /// These bytes, then the end of the connection.
    SayAndClose(&'static [u8]),
    /// These bytes, then a reset.
    SayAndReset(&'static [u8]),
    /// Never answered.
    Hang,
    /// The whole server stands still for so long, then answers.
    Freeze(Duration),
}

/// What becomes of each request, by its number from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// Everything is answered.
    Answer,
    /// Every second request has one of the faults, in turn; an answer that is late comes after so long.
    Faults(Duration),
    /// Nothing is answered.
    Hang,
    /// Stands still once, at that request.
    Freeze(u64, Duration),
}

/// How many different faults there are.
const FAULTS: u64 = 11;

impl Script {
    /// What is done with request `number`.
    pub(crate) fn act(self, number: u64) -> Act {
        match self {
            Self::Hang => Act::Hang,
            Self::Freeze(at, lasts) if at == number => Act::Freeze(lasts),
            Self::Faults(late) if number % 2 == 1 => fault(number / 2 % FAULTS, late),
            _ => Act::Answer,
        }
    }

    /// The class that request `number` must be counted under.
    pub(crate) fn class(self, number: u64) -> Class {
        match self.act(number) {
            Act::Answer | Act::Freeze(_) => Class::Ok,
            Act::Wait(_) => Class::Late,
            Act::Hang => Class::Timeout,
            Act::SayAndReset([]) => Class::ResetBeforeBytes,
            Act::SayAndClose([]) => Class::LostInFlight,
            Act::SayAndReset(_) => Class::Truncated,
            Act::Say(said) | Act::SayAndClose(said) => said_class(said),
        }
    }
}

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
const BROKEN: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
const SHORT_BODY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
const SHORT_CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
const SHORT_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Len";
const NO_HTTP: &[u8] = b"SSH-2.0-nobody\r\n";

fn fault(which: u64, late: Duration) -> Act {
    match which {
        0 => Act::Say(UNAVAILABLE),
        1 => Act::SayAndReset(b""),
        2 => Act::SayAndClose(b""),
        3 => Act::SayAndClose(SHORT_BODY),
        4 => Act::SayAndClose(SHORT_CHUNK),
        5 => Act::SayAndClose(SHORT_HEAD),
        6 => Act::SayAndReset(SHORT_BODY),
        7 => Act::SayAndClose(NO_HTTP),
        8 => Act::Say(BROKEN),
        9 => Act::Wait(late),
        _ => Act::Hang,
    }
}

fn said_class(said: &[u8]) -> Class {
    if said == NO_HTTP {
        Class::WrongContent
    } else if said == UNAVAILABLE || said == BROKEN {
        Class::BadStatus
    } else {
        Class::Truncated
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Class;

    use super::{FAULTS, Script};

    #[test]
    fn half_are_answered_and_the_rest_have_every_fault_that_http_can_have() {
        let script = Script::Faults(Duration::from_secs(1));
        let of = |class| (0..2 * FAULTS).filter(|n| script.class(*n) == class).count();
        let all = [
            (Class::Ok, 11),
            (Class::Late, 1),
            (Class::Timeout, 1),
            (Class::ResetBeforeBytes, 1),
            (Class::LostInFlight, 1),
            (Class::Truncated, 4),
            (Class::BadStatus, 2),
            (Class::WrongContent, 1),
        ];
        assert!(all.iter().all(|(class, count)| of(*class) == *count));
        assert_eq!(all.iter().map(|(_, count)| count).sum::<usize>(), 22);
    }
}
