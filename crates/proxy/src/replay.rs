//! The replay rule: whether a request that failed may be sent again, and where.
//!
//! The only place that decides it. It sends nothing.

use crate::class::Class;
use crate::limits;

/// What is known of a request when it failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Sending it again does what sending it once does: it is idempotent, or there is evidence that the
    /// instance never read it.
    pub(crate) harmless: bool,
    /// A byte of its body was taken from the client, and cannot be sent again.
    pub(crate) body_taken: bool,
    /// Something of an answer was passed on to the client.
    pub(crate) answered: bool,
}

/// How an instance failed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect,
    /// No socket was left here to ask an instance with.
    NoSocket,
    /// A connection from the pool ended before any byte of the answer: most likely it was stale.
    Stale,
    /// A fresh connection ended, or one from the pool after part of an answer's head.
    Died,
    /// No answer in time.
    Late,
    /// The time that the whole request may take was over.
    Overdue,
    /// An answer that is not HTTP as we know it.
    Malformed,
}

impl Failure {
    /// What it is called where requests are counted and written down.
    pub(crate) const fn class(self) -> Class {
        match self {
            Self::Connect => Class::Connect,
            Self::NoSocket => Class::NoSocket,
            Self::Stale | Self::Died => Class::Closed,
            Self::Late => Class::Late,
            Self::Overdue => Class::Overdue,
            Self::Malformed => Class::Malformed,
        }
    }

    /// What its client is told.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Connect => "no instance takes connections",
            Self::NoSocket => "no socket is left to ask an instance with",
            Self::Stale | Self::Died => "the instance closed the connection without an answer",
            Self::Late => "the instance did not answer in time",
            Self::Overdue => "the request took too long",
            Self::Malformed => "the instance's answer is malformed",
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it again on a fresh connection, to the same instance or another.
    Fresh,
    /// Send it again to an instance that was not tried.
    Elsewhere,
    /// Give up with this status.
    GiveUp(u16),
}

/// Methods that RFC 9110 section 9.2.2 calls idempotent.
pub(crate) fn idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// Decides. `tried` counts the instances this request was sent to.
pub(crate) const fn verdict(facts: Facts, failure: Failure, tried: usize) -> Verdict {
    let give_up = Verdict::GiveUp(match failure {
        Failure::Late | Failure::Overdue => 504,
        // Another instance would take a socket, too.
        Failure::NoSocket => 503,
        _ => 502,
    });
    if facts.answered || facts.body_taken {
        return give_up;
    }
    match failure {
        Failure::Stale if facts.harmless => Verdict::Fresh,
        Failure::Connect if tried < limits::TRIES => Verdict::Elsewhere,
        Failure::Died if facts.harmless && tried < limits::TRIES => Verdict::Elsewhere,
        _ => give_up,
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Failure, Verdict, verdict};

    const GET: Facts = Facts { harmless: true, body_taken: false, answered: false };
    const POST: Facts = Facts { harmless: false, ..GET };

    #[test]
    fn nothing_is_sent_twice_that_could_have_had_an_effect() {
        use Failure::{Connect, Died, Late, Malformed, NoSocket, Overdue, Stale};
        let taken = Facts { body_taken: true, ..GET };
        let answered = Facts { answered: true, ..GET };
        for (facts, failure, tried, expected) in [
            (GET, Connect, 1, Verdict::Elsewhere),
            (GET, NoSocket, 0, Verdict::GiveUp(503)),
            (taken, NoSocket, 1, Verdict::GiveUp(503)),
            (GET, Died, 2, Verdict::Elsewhere),
            (GET, Died, 3, Verdict::GiveUp(502)),
            (GET, Stale, 0, Verdict::Fresh),
            (GET, Late, 1, Verdict::GiveUp(504)),
            (GET, Overdue, 0, Verdict::GiveUp(504)),
            (GET, Malformed, 1, Verdict::GiveUp(502)),
            (POST, Connect, 1, Verdict::Elsewhere),
            (POST, Died, 1, Verdict::GiveUp(502)),
            (POST, Stale, 0, Verdict::GiveUp(502)),
            (taken, Connect, 1, Verdict::GiveUp(502)),
            (taken, Died, 1, Verdict::GiveUp(502)),
            (answered, Died, 1, Verdict::GiveUp(502)),
        ] {
            assert_eq!(verdict(facts, failure, tried), expected, "{facts:?} {failure:?} {tried}");
        }
    }
}
