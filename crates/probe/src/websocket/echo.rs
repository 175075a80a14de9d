//! Numbered messages and their echoes: which came back, twice, out of order or never. Pure.
//!
//! A message is plain text without anything that JSON would escape, so that an app may send it back
//! as it is or inside a JSON string.

use std::collections::{BTreeMap, BTreeSet};

use model::Attempt;

/// How many past messages of a socket are remembered.
const REMEMBERED: usize = 1_024;

/// Writes and finds numbered messages of one run.
#[derive(Debug)]
pub(super) struct Numbering {
    mark: String,
}

impl Numbering {
    /// `run` tells this run's messages from another's.
    pub(super) fn new(run: u64) -> Self {
        Self { mark: format!(" run={run:x};") }
    }

    /// The text of message `number`.
    pub(super) fn text(&self, number: u64) -> String {
        format!("seq={number}{}", self.mark)
    }

    /// The number of the message that `text` contains whole, if it does.
    pub(super) fn find(&self, text: &str) -> Option<u64> {
        let before = &text[..text.find(&self.mark)?];
        let digits = before.rsplit("seq=").next().filter(|digits| digits.len() < before.len())?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    }
}

/// True when the app asks its client to open a new socket.
pub(super) fn asks_to_reconnect(text: &str) -> bool {
    text.contains("reconnect")
        && serde_json::from_str::<serde_json::Value>(text)
            .is_ok_and(|value| value.get("message").is_some_and(|word| word == "reconnect"))
}

/// What a numbered message was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// The first echo of this attempt.
    First {
        /// The attempt.
        attempt: Box<Attempt>,
        /// A later message had been echoed before.
        reordered: bool,
    },
    /// It had been echoed before.
    Doubled,
    /// Not one of this socket's, or given up before.
    Stray,
}

/// Messages of one socket.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    outstanding: BTreeMap<u64, Attempt>,
    answered: BTreeSet<u64>,
    highest: u64,
}

impl Echoes {
    /// A message is being sent.
    pub(super) fn sent(&mut self, attempt: Attempt) {
        self.outstanding.insert(attempt.id, attempt);
    }

    /// The record of a message that is outstanding.
    pub(super) fn outstanding(&mut self, number: u64) -> Option<&mut Attempt> {
        self.outstanding.get_mut(&number)
    }

    /// A numbered message has come.
    pub(super) fn arrived(&mut self, number: u64) -> Echo {
        let Some(attempt) = self.outstanding.remove(&number) else {
            return if self.answered.contains(&number) { Echo::Doubled } else { Echo::Stray };
        };
        self.answered.insert(number);
        if self.answered.len() > REMEMBERED {
            self.answered.pop_first();
        }
        let reordered = number < self.highest;
        self.highest = self.highest.max(number);
        Echo::First { attempt: Box::new(attempt), reordered }
    }

    /// True when every message has been echoed or given up.
    pub(super) fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// When the oldest outstanding message was intended, us.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        self.outstanding.values().next().map(|attempt| attempt.intended_us)
    }

    /// Gives up messages intended at or before `limit_us`.
    pub(super) fn give_up(&mut self, limit_us: u64) -> Vec<Attempt> {
        let late = |_: &u64, attempt: &mut Attempt| attempt.intended_us <= limit_us;
        self.outstanding.extract_if(.., late).map(|(_, attempt)| attempt).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::Lane;

    use super::{Echo, Echoes, Numbering, asks_to_reconnect};
    use crate::clock::Clock;
    use crate::jars::Clients;
    use crate::ledger::Ledger;

    #[test]
    fn a_message_is_found_whole_or_not_at_all() {
        let (ours, theirs) = (Numbering::new(0xab), Numbering::new(0xabc));
        let text = ours.text(12);
        assert_eq!(ours.find(&text), Some(12));
        assert_eq!(ours.find(&format!("{{\"echo\":\"{text}\",\"seq=\":1}}")), Some(12));
        assert_eq!(ours.find(&theirs.text(12)), None);
        for odd in ["", "seq=", "seq= run=ab;", " run=ab;", "12 run=ab;", "seq=1x run=ab;"] {
            assert_eq!(ours.find(odd), None, "{odd:?}");
        }
        assert_eq!(serde_json::to_string(&text).unwrap(), format!("\"{text}\""));
    }

    #[test]
    fn only_the_message_reconnect_asks_to_reconnect() {
        assert!(asks_to_reconnect(r#"{"message":"reconnect","after":1}"#));
        for other in ["reconnect", r#"{"echo":"reconnect"}"#, r#"["reconnect"]"#] {
            assert!(!asks_to_reconnect(other), "{other}");
        }
    }

    #[test]
    fn echoes_are_told_apart() {
        let ledger = Ledger::new(Clock::start(), 1, None, Clients::default());
        let mut echoes = Echoes::default();
        for intended in [10, 20, 30] {
            echoes.sent(ledger.take(Lane::Websocket, intended));
        }
        let first = |echo| matches!(echo, Echo::First { reordered: false, .. });
        let late = |echo| matches!(echo, Echo::First { reordered: true, .. });
        assert!(first(echoes.arrived(1)));
        assert!(late(echoes.arrived(0)));
        assert_eq!(echoes.arrived(1), Echo::Doubled);
        assert_eq!(echoes.arrived(7), Echo::Stray);
        assert!(echoes.give_up(29).is_empty());
        assert_eq!(echoes.give_up(30).len(), 1);
        assert_eq!(echoes.arrived(2), Echo::Stray, "an echo after its time is not a double");
        assert!(echoes.is_empty());
    }
}
