//! Attempts, each as what differs from the one before: times as distances, names and details once.
//!
//! A row is read from the first on only.

use model::attempt::{Attempt, Class, Lane, Witness};

use super::numbers::{Numbers, Reader};
use super::words::Words;
use super::{at, place};

/// Different details that are kept.
const DETAILS_MAX: usize = 16_384;

/// Who may have said a version.
const WITNESSES: [Option<Witness>; 3] = [None, Some(Witness::App), Some(Witness::Stamp)];

/// Attempts in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    rows: Numbers,
    last: Before,
    names: Words,
    details: Words,
}

/// What the next row is told by.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    id: u64,
    intended_us: u64,
    connection: u32,
}

/// An attempt without its texts, which are numbers here.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: u64,
    lane: Lane,
    class: Class,
    witness: Option<Witness>,
    intended_us: u64,
    /// Taken up, connected, sent, first byte, done: 0 for what did not happen.
    stamps: [u64; 5],
    status: u16,
    connection: u32,
    bytes: u64,
    client: Option<u16>,
    version: u32,
    instance: u32,
    detail: u32,
}

impl Attempts {
    /// Keeps one more.
    pub(crate) fn push(&mut self, attempt: &Attempt) {
        let row = Row {
            id: attempt.id,
            lane: attempt.lane,
            class: attempt.class,
            witness: attempt.witness,
            intended_us: attempt.intended_us,
            stamps: [
                attempt.dispatched_us,
                attempt.connected_us,
                attempt.sent_us,
                attempt.first_byte_us,
                attempt.done_us,
            ],
            status: attempt.status,
            connection: attempt.connection,
            bytes: attempt.bytes,
            client: attempt.client,
            version: self.names.number(attempt.version.as_deref(), usize::MAX),
            instance: self.names.number(attempt.instance.as_deref(), usize::MAX),
            detail: self.details.number(attempt.detail.as_deref(), DETAILS_MAX),
        };
        row.write(&mut self.rows, self.last);
        self.last = row.as_before();
    }

    /// All of them, whole.
    pub(crate) fn unpack(&self) -> Vec<Attempt> {
        self.rows().map(|row| self.attempt(&row)).collect()
    }

    /// How long each was taken up after its intended time, us.
    pub(crate) fn lateness(&self) -> Vec<u64> {
        self.rows().map(|row| row.stamps[0].saturating_sub(row.intended_us)).collect()
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let (mut reader, mut before) = (self.rows.read(), Before::default());
        std::iter::from_fn(move || {
            let row = Row::read(&mut reader, before)?;
            before = row.as_before();
            Some(row)
        })
    }

    fn attempt(&self, row: &Row) -> Attempt {
        let [dispatched_us, connected_us, sent_us, first_byte_us, done_us] = row.stamps;
        Attempt {
            id: row.id,
            lane: row.lane,
            class: row.class,
            intended_us: row.intended_us,
            dispatched_us,
            connected_us,
            sent_us,
            first_byte_us,
            done_us,
            status: row.status,
            connection: row.connection,
            bytes: row.bytes,
            client: row.client,
            version: self.names.word(row.version),
            witness: row.witness,
            instance: self.names.word(row.instance),
            detail: self.details.word(row.detail),
        }
    }
}

impl Row {
    /// The same in the same order as [`Row::read`].
    fn write(&self, to: &mut Numbers, before: Before) {
        // One bit for each stamp that there is, then whether there is a client.
        let mut there = self.stamps.iter().rev().fold(0, |bits, us| bits << 1 | u64::from(*us > 0));
        there |= u64::from(self.client.is_some()) << self.stamps.len();
        to.push(there);
        to.push(place(&Lane::ALL, &self.lane));
        to.push(place(&Class::ALL, &self.class));
        to.push(place(&WITNESSES, &self.witness));
        to.step(before.id, self.id);
        to.step(before.intended_us, self.intended_us);
        let mut from = self.intended_us;
        for us in self.stamps.into_iter().filter(|us| *us > 0) {
            to.step(from, us);
            from = us;
        }
        to.push(self.status.into());
        to.step(before.connection.into(), self.connection.into());
        to.push(self.bytes);
        if let Some(client) = self.client {
            to.push(client.into());
        }
        for word in [self.version, self.instance, self.detail] {
            to.push(word.into());
        }
    }

    /// `None` at the end.
    fn read(from: &mut Reader<'_>, before: Before) -> Option<Self> {
        let there = from.next()?;
        let lane = at(&Lane::ALL, from.next()?)?;
        let class = at(&Class::ALL, from.next()?)?;
        let witness = at(&WITNESSES, from.next()?)?;
        let id = from.step(before.id)?;
        let intended_us = from.step(before.intended_us)?;
        let (mut stamps, mut last) = ([0; 5], intended_us);
        for (bit, us) in stamps.iter_mut().enumerate() {
            if there >> bit & 1 == 1 {
                last = from.step(last)?;
                *us = last;
            }
        }
        let client = there >> stamps.len() & 1 == 1;
        Some(Self {
            id,
            lane,
            class,
            witness,
            intended_us,
            stamps,
            status: from.small()?,
            connection: u32::try_from(from.step(before.connection.into())?).ok()?,
            bytes: from.next()?,
            client: if client { Some(from.small()?) } else { None },
            version: from.small()?,
            instance: from.small()?,
            detail: from.small()?,
        })
    }

    const fn as_before(&self) -> Before {
        Before { id: self.id, intended_us: self.intended_us, connection: self.connection }
    }
}

#[cfg(test)]
mod tests {
    use model::attempt::{Attempt, Class, Lane, Witness};

    use super::super::words::NO_ROOM;
    use super::{Attempts, DETAILS_MAX};

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
    fn what_is_unpacked_is_what_was_packed_however_odd_it_is() {
        let mut all: Vec<Attempt> = (0..100).map(attempt).collect();
        all[10].done_us = u64::MAX;
        all[11].connected_us = 1;
        all[12].bytes = u64::MAX;
        all[13].id = u64::MAX;
        all[14].intended_us = u64::MAX;
        all[15].connection = u32::MAX;
        all[16].client = Some(0);
        all[17].status = u16::MAX;
        let mut packed = Attempts::default();
        for attempt in &all {
            packed.push(attempt);
        }
        assert!(packed.unpack() == all);
        let late = all.iter().map(|a| a.dispatched_us.saturating_sub(a.intended_us));
        assert_eq!(packed.lateness(), late.collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_of_another_kind_each_time_is_not_remembered_for_good() {
        let mut packed = Attempts::default();
        let many = DETAILS_MAX as u64 + 1_000;
        for id in 0..many {
            packed.push(&Attempt { detail: Some(format!("failure {id}")), ..attempt(1) });
        }
        assert_eq!(packed.details.words.len(), DETAILS_MAX + 1);
        let last = packed.unpack().pop().unwrap();
        assert_eq!(last.detail.as_deref(), Some(NO_ROOM));
    }
}
