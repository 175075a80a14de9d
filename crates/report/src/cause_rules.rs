//! The table of causes: which failures, in which phase, of which version, mean what.
//!
//! The first rule that fits speaks; from special to general, and every class has one that always
//! fits. Words in braces are filled in by `cause`. A rule says what the evidence shows and no more.

use model::{Class, Phase};

/// Which release a version belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The release users were on.
    Old,
    /// The release being shipped.
    New,
    /// Neither.
    Other,
    /// No version is known.
    Unknown,
}

/// What is known of a failure beyond its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sign {
    /// Nothing.
    Plain,
    /// A reuse race.
    Raced,
    /// The name led to no address.
    NoAddress,
    /// The connection stood, and TLS on it did not.
    NoTls,
}

/// One line of the table; an empty list fits everything.
pub(crate) struct Rule {
    pub(crate) classes: &'static [Class],
    pub(crate) phases: &'static [Phase],
    pub(crate) side: Option<Side>,
    /// 502, 503 or 504 that the app itself did not sign.
    pub(crate) gateway: Option<bool>,
    pub(crate) sign: Option<Sign>,
    pub(crate) why: &'static str,
    pub(crate) advice: &'static str,
}

const ANY: Rule =
    Rule { classes: &[], phases: &[], side: None, gateway: None, sign: None, why: "", advice: "" };

const SWITCHING: &[Phase] = &[Phase::Shifting, Phase::Baking];
const DRAINING: &[Phase] = &[Phase::Draining];
const STOPPING: &[Phase] = &[Phase::HandingOver, Phase::Stopping];
const BACK: &[Phase] = &[Phase::RollingBack, Phase::DrainingCandidate, Phase::StoppingCandidate];
const BEFORE: &[Phase] = &[Phase::Starting, Phase::Previewing, Phase::Arming];
const GONE: &[Class] = &[Class::LostInFlight, Class::ResetBeforeBytes];

/// The table.
pub(crate) const RULES: &[Rule] = &[
    // WebSockets.
    Rule {
        classes: &[Class::WsDropped],
        phases: SWITCHING,
        side: Some(Side::Old),
        why: "sockets on {old} were cut before they were handed over: its instances ended while \
              tunnels were open",
        advice: "find what stopped {old} early (a crash, the memory limit, another supervisor): \
                 its instances must run until their tunnels have moved",
        ..ANY
    },
    Rule {
        classes: &[Class::WsDropped],
        phases: DRAINING,
        side: Some(Side::Old),
        why: "sockets on {old} were cut while its requests were drained: its instances ended \
              before the hand-over of tunnels",
        advice: "find what stopped {old} early; tunnels move only after the drain",
        ..ANY
    },
    Rule {
        classes: &[Class::WsDropped],
        phases: STOPPING,
        side: Some(Side::Old),
        why: "sockets on {old} ended in the hand-over without a close frame or an announcement, \
              or with a message unanswered",
        advice: "on SIGTERM let the app tell its clients to reconnect (a message or a close frame \
                 with code 1012) and keep tunnels open until they have left; {handover}",
        ..ANY
    },
    Rule {
        classes: &[Class::WsDropped],
        side: Some(Side::New),
        why: "sockets on {new} were cut: its instances ended, or ended the tunnels, while they \
              were open",
        advice: "read the log of {new} at that time",
        ..ANY
    },
    Rule {
        classes: &[Class::WsDropped],
        why: "a socket ended without a close frame, or a message on it was never echoed",
        advice: "look for an idle timeout on tunnels between the prober and the app",
        ..ANY
    },
    // Answers that began.
    Rule {
        classes: &[Class::Truncated],
        phases: &[Phase::Draining, Phase::HandingOver, Phase::Stopping],
        side: Some(Side::Old),
        why: "an answer of {old} was cut short after its head had arrived: {old} was ended while \
              it was still sending",
        advice: "{drain}",
        ..ANY
    },
    Rule {
        classes: &[Class::Truncated],
        why: "an answer was cut short after its head had arrived: who sent the body (the \
              instance, or a proxy on the way) ended the connection in the middle of it",
        advice: "look in the log of the instance and of the proxy at that time; when neither \
                 ended, something between them did",
        ..ANY
    },
    // Requests that got nothing back.
    Rule {
        classes: GONE,
        sign: Some(Sign::Raced),
        why: "reuse race: a kept connection that had been idle was closed in the moment in which it \
              was used again, while requests on fresh connections went through; whatever closes \
              idle connections there (a reload of nginx before 1.27.4 does) did not wait for what \
              was on its way",
        advice: "let it wait: for nginx `keepalive_min_timeout` from 1.27.4 on, for HAProxy `option \
                 idle-close-on-response`; a client that repeats such a request does not notice",
        ..ANY
    },
    Rule {
        classes: GONE,
        phases: DRAINING,
        why: "requests were taken and never answered while {old} was drained: it ended with \
              requests open",
        advice: "{drain}",
        ..ANY
    },
    Rule {
        classes: GONE,
        phases: STOPPING,
        why: "requests were taken and never answered while {old} was being stopped: it still got \
              requests, or ended with requests open",
        advice: "on SIGTERM let the app finish what is open before it exits; {drain}; {stop}",
        ..ANY
    },
    Rule {
        classes: GONE,
        phases: SWITCHING,
        why: "connections ended after a request had been sent, around the switch: an \
              instance or the proxy closed them without answering",
        advice: "look for crashes of {new} and for an early end of {old} at that time",
        ..ANY
    },
    Rule {
        classes: GONE,
        phases: BACK,
        why: "requests were taken and never answered while traffic went back to {old}: {new} \
              ended with requests open",
        advice: "read the log of {new}; it was on its way out",
        ..ANY
    },
    Rule {
        classes: GONE,
        why: "connections were closed after a request had been sent and before any byte of the \
              answer: either an idle connection was closed just as it was used, or the request \
              died with its instance",
        advice: "let the side that closes idle connections keep them longer than the side that \
                 reuses them",
        ..ANY
    },
    Rule {
        classes: &[Class::Refused],
        sign: Some(Sign::NoAddress),
        why: "the name in {url} led to no address when a connection was to be opened: nobody was asked",
        advice: "look at the name server at that time; a switch made in DNS must never leave the name \
                 without an address",
        ..ANY
    },
    Rule {
        classes: &[Class::Refused],
        sign: Some(Sign::NoTls),
        why: "connections to {url} stood, and the two sides did not come to terms over TLS (the rows say how)",
        advice: "see that every certificate there is valid, names this host and is one that the prober \
                 trusts (--ca); when it is so around the switch only, who listens now has another one, or \
                 closed while hands were shaken",
        ..ANY
    },
    Rule {
        classes: &[Class::Refused],
        phases: BEFORE,
        why: "connections to {url} were refused before the switch: the listener was not there, \
              whatever the rollout did",
        advice: "see that the proxy runs and that its port is right",
        ..ANY
    },
    Rule {
        classes: &[Class::Refused],
        why: "connections to {url} were refused: nothing was listening, so the listening socket \
              itself was closed for a while",
        advice: "whatever listens there must hand its socket over, not close and open it",
        ..ANY
    },
    Rule {
        classes: &[Class::Timeout],
        phases: SWITCHING,
        why: "no whole answer came within {timeout} around the switch: requests went to something \
              that accepts and does not answer",
        advice: "see whether {new} passes its health check before it can really serve",
        ..ANY
    },
    Rule {
        classes: &[Class::Timeout],
        why: "no whole answer came within {timeout}",
        advice: "look for what the requests waited for in the log of the app at that time",
        ..ANY
    },
    // Wrong answers.
    Rule {
        classes: &[Class::BadStatus],
        phases: SWITCHING,
        gateway: Some(true),
        why: "something before the app answered {status} around the switch: the instance that had \
              the request was gone, and it could not be sent again elsewhere",
        advice: "look for crashes of {new} and for an early end of {old} at that time",
        ..ANY
    },
    Rule {
        classes: &[Class::BadStatus],
        gateway: Some(true),
        why: "something before the app answered {status}: it had no instance that could take or \
              finish the request",
        advice: "see that an instance was ready at that time; {drain}",
        ..ANY
    },
    Rule {
        classes: &[Class::BadStatus],
        side: Some(Side::New),
        why: "{new} itself answered {status}",
        advice: "mend {new}; to catch it before users do, let its health check ask for what users \
                 ask for",
        ..ANY
    },
    Rule {
        classes: &[Class::BadStatus],
        phases: &[Phase::Draining, Phase::HandingOver, Phase::Stopping],
        side: Some(Side::Old),
        why: "{old} answered {status} while it was on its way out: it refuses requests as soon as \
              it is told to end",
        advice: "let the app go on answering after SIGTERM until it has nothing open",
        ..ANY
    },
    Rule {
        classes: &[Class::BadStatus],
        side: Some(Side::Old),
        why: "{old} itself answered {status}: this is not the new version's doing",
        advice: "see whether it answers so without a rollout as well: `cutover probe {url}`",
        ..ANY
    },
    Rule {
        classes: &[Class::BadStatus],
        why: "answers came with status {status}",
        advice: "see whether they come without a rollout as well: `cutover probe {url}`",
        ..ANY
    },
    Rule {
        classes: &[Class::WrongContent],
        why: "a whole answer came and was not what had been asked for: a wrong echo, a wrong \
              digest, or not HTTP",
        advice: "the failure's row shows how it began; answers of one request must never reach \
                 another",
        ..ANY
    },
    // Slow answers.
    Rule {
        classes: &[Class::Late],
        phases: SWITCHING,
        side: Some(Side::New),
        why: "{new} answered later than {late} right after the switch, as a version does that is \
              still cold",
        advice: "warm it up before its health check passes, or give it fewer requests at first",
        ..ANY
    },
    Rule {
        classes: &[Class::Late],
        side: Some(Side::New),
        why: "{new} answered later than {late}",
        advice: "compare its response times with those of {old} in this report",
        ..ANY
    },
    Rule {
        classes: &[Class::Late],
        why: "answers came later than {late}",
        advice: "see whether they do without a rollout as well: `cutover probe {url}`",
        ..ANY
    },
];

#[cfg(test)]
mod tests {
    use super::RULES;
    use model::Class;

    #[test]
    fn every_failure_has_a_rule_that_always_fits() {
        for class in Class::ALL.into_iter().filter(|c| c.failed()) {
            let general = RULES.iter().rposition(|r| {
                r.classes.contains(&class)
                    && r.phases.is_empty()
                    && r.side.is_none()
                    && r.gateway.is_none()
                    && r.sign.is_none()
            });
            let last = RULES.iter().rposition(|r| r.classes.contains(&class));
            assert!(general.is_some(), "{class:?} has none");
            assert_eq!(general, last, "{class:?} has rules that can never speak");
        }
    }
}
