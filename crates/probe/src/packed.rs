//! Attempts kept for the end of a run, in 56 bytes each: stamps as distances from the intended time,
//! names and details once.
//!
//! What does not fit (a distance of more than an hour) is kept whole beside it. It forgets nothing but
//! details beyond a bound, and says so in their place.

use std::collections::BTreeMap;

use model::attempt::{Attempt, Class, Lane, Witness};

/// Different details that are kept.
const DETAILS_MAX: usize = 16_384;

/// What stands in place of the others.
const NO_ROOM: &str = "(more different failures than are kept)";

/// Attempts in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    rows: Vec<Row>,
    names: Words,
    details: Words,
    /// Whole ones, by row.
    odd: BTreeMap<usize, Attempt>,
}

/// One attempt. Distances are one more than they are, so that 0 stays "did not happen"; so are numbers
/// of words.
#[derive(Clone, Copy, Debug)]
struct Row {
    intended_us: u64,
    id: u32,
    dispatched: u32,
    connected: u32,
    sent: u32,
    first_byte: u32,
    done: u32,
    connection: u32,
    bytes: u32,
    detail: u32,
    status: u16,
    /// 0 for none.
    client: u16,
    version: u16,
    instance: u16,
    lane: Lane,
    class: Class,
    witness: Option<Witness>,
}

impl Packed {
    /// Keeps one more.
    pub(crate) fn push(&mut self, attempt: Attempt) {
        let row = self.row(&attempt);
        if row.is_none() {
            self.odd.insert(self.rows.len(), attempt);
        }
        self.rows.push(row.unwrap_or(Row::ODD));
    }

    /// All of them, whole.
    pub(crate) fn unpack(mut self) -> Vec<Attempt> {
        let mut odd = std::mem::take(&mut self.odd);
        let rows = std::mem::take(&mut self.rows);
        let whole = |(at, row): (usize, Row)| odd.remove(&at).unwrap_or_else(|| self.attempt(&row));
        rows.into_iter().enumerate().map(whole).collect()
    }

    /// How long each was taken up after its intended time, us.
    pub(crate) fn lateness(&self) -> Vec<u64> {
        let late = |(at, row): (usize, &Row)| match self.odd.get(&at) {
            Some(odd) => odd.dispatched_us.saturating_sub(odd.intended_us),
            None => u64::from(row.dispatched.saturating_sub(1)),
        };
        self.rows.iter().enumerate().map(late).collect()
    }

    /// `None` when it does not fit.
    fn row(&mut self, attempt: &Attempt) -> Option<Row> {
        let distance = |us: u64| match us {
            0 => Some(0),
            us => u32::try_from(us.checked_sub(attempt.intended_us)?.checked_add(1)?).ok(),
        };
        Some(Row {
            intended_us: attempt.intended_us,
            id: u32::try_from(attempt.id).ok()?,
            dispatched: distance(attempt.dispatched_us)?,
            connected: distance(attempt.connected_us)?,
            sent: distance(attempt.sent_us)?,
            first_byte: distance(attempt.first_byte_us)?,
            done: distance(attempt.done_us)?,
            connection: attempt.connection,
            bytes: u32::try_from(attempt.bytes).ok()?,
            status: attempt.status,
            client: attempt.client.unwrap_or(0),
            version: u16::try_from(self.names.number(attempt.version.as_deref(), usize::MAX))
                .ok()?,
            instance: u16::try_from(self.names.number(attempt.instance.as_deref(), usize::MAX))
                .ok()?,
            detail: self.details.number(attempt.detail.as_deref(), DETAILS_MAX),
            lane: attempt.lane,
            class: attempt.class,
            witness: attempt.witness,
        })
    }

    fn attempt(&self, row: &Row) -> Attempt {
        let us = |distance: u32| match distance {
            0 => 0,
            distance => row.intended_us + u64::from(distance) - 1,
        };
        Attempt {
            id: u64::from(row.id),
            lane: row.lane,
            class: row.class,
            intended_us: row.intended_us,
            dispatched_us: us(row.dispatched),
            connected_us: us(row.connected),
            sent_us: us(row.sent),
            first_byte_us: us(row.first_byte),
            done_us: us(row.done),
            status: row.status,
            connection: row.connection,
            bytes: u64::from(row.bytes),
            client: (row.client != 0).then_some(row.client),
            version: self.names.word(u32::from(row.version)),
            witness: row.witness,
            instance: self.names.word(u32::from(row.instance)),
            detail: self.details.word(row.detail),
        }
    }
}

impl Row {
    /// Stands for one that is kept whole.
    const ODD: Self = Self {
        intended_us: 0,
        id: 0,
        dispatched: 0,
        connected: 0,
        sent: 0,
        first_byte: 0,
        done: 0,
        connection: 0,
        bytes: 0,
        detail: 0,
        status: 0,
        client: 0,
        version: 0,
        instance: 0,
        lane: Lane::KeepAlive,
        class: Class::NotSent,
        witness: None,
    };
}

/// Texts by number, from 1.
#[derive(Debug, Default)]
struct Words {
    numbers: BTreeMap<String, u32>,
    words: Vec<String>,
}

impl Words {
    /// 0 for none. From `most` different ones on, all further ones are one.
    fn number(&mut self, word: Option<&str>, most: usize) -> u32 {
        let Some(word) = word else { return 0 };
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let full = self.words.len() >= most;
        if full && let Some(number) = self.numbers.get(NO_ROOM) {
            return *number;
        }
        let word = if full { NO_ROOM } else { word };
        self.words.push(word.to_owned());
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.numbers.insert(word.to_owned(), number);
        number
    }

    fn word(&self, number: u32) -> Option<String> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.words.get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use model::attempt::{Attempt, Class, Lane, Witness};

    use super::{DETAILS_MAX, NO_ROOM, Packed, Row};

    fn attempt(id: u64) -> Attempt {
        let nth = usize::try_from(id).unwrap();
        let at = |step: u64| if id.is_multiple_of(3) { 0 } else { 1_000 + id + step };
        Attempt {
            id,
            lane: Lane::ALL[nth % Lane::ALL.len()],
            class: Class::ALL[nth % Class::ALL.len()],
            intended_us: 1_000 + id,
            dispatched_us: 1_000 + id,
            connected_us: at(1),
            sent_us: at(2),
            first_byte_us: at(3),
            done_us: at(4_000_000),
            status: 200,
            connection: 7,
            bytes: id,
            client: id.is_multiple_of(5).then_some(7),
            version: id.is_multiple_of(2).then(|| format!("v{}", id % 5)),
            witness: id.is_multiple_of(2).then_some(Witness::Stamp),
            instance: id.is_multiple_of(4).then(|| "a".to_owned()),
            detail: id.is_multiple_of(3).then(|| format!("odd {}", id % 7)),
        }
    }

    #[test]
    fn what_is_unpacked_is_what_was_packed_also_where_it_does_not_fit() {
        let mut all: Vec<Attempt> = (0..100).map(attempt).collect();
        all[10].done_us = u64::MAX;
        all[11].connected_us = 1;
        all[12].bytes = u64::MAX;
        all[13].id = u64::MAX;
        let mut packed = Packed::default();
        all.iter().cloned().for_each(|attempt| packed.push(attempt));
        assert_eq!(packed.odd.len(), 4);
        assert_eq!(packed.lateness(), vec![0; 100]);
        assert!(packed.unpack() == all);
    }

    #[test]
    fn an_attempt_takes_at_most_64_bytes() {
        assert!(size_of::<Row>() <= 64, "{}", size_of::<Row>());
    }

    #[test]
    fn a_failure_of_another_kind_each_time_is_not_remembered_for_good() {
        let mut packed = Packed::default();
        let many = DETAILS_MAX as u64 + 1_000;
        for id in 0..many {
            packed.push(Attempt { detail: Some(format!("failure {id}")), ..attempt(1) });
        }
        assert_eq!(packed.details.words.len(), DETAILS_MAX + 1);
        let last = packed.unpack().pop().unwrap();
        assert_eq!(last.detail.as_deref(), Some(NO_ROOM));
    }
}
