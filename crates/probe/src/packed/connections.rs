//! Connections, each as what differs from the one before.
//!
//! Also one that was opened for a single attempt is kept whole. What a connection means is not known here.

use model::attempt::{Connection, Ending, Lane};

use super::numbers::{Numbers, Reader};
use super::{at, place};

/// Connections in the order in which they ended.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    rows: Numbers,
    last: Before,
}

/// What the next row is told by.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    connection: u32,
    opened_us: u64,
}

impl Connections {
    /// Keeps one more.
    pub(crate) fn push(&mut self, connection: &Connection) {
        write(&mut self.rows, self.last, connection);
        self.last = as_before(connection);
    }

    /// All of them.
    pub(crate) fn unpack(&self) -> Vec<Connection> {
        let (mut reader, mut before) = (self.rows.read(), Before::default());
        let next = || {
            let connection = read(&mut reader, before)?;
            before = as_before(&connection);
            Some(connection)
        };
        std::iter::from_fn(next).collect()
    }
}

/// The same in the same order as [`read`].
fn write(to: &mut Numbers, before: Before, connection: &Connection) {
    let stamps = [connection.established_us, connection.closed_us];
    // One bit for each of what need not be there.
    let mut there = u64::from(connection.close_code.is_some()) << 2;
    there |= u64::from(connection.successor.is_some()) << 3;
    there |= u64::from(stamps[0] > 0) | u64::from(stamps[1] > 0) << 1;
    to.push(there);
    to.push(place(&Lane::ALL, &connection.lane));
    to.push(place(&Ending::ALL, &connection.ending));
    to.step(before.connection.into(), connection.connection.into());
    to.step(before.opened_us, connection.opened_us);
    let mut from = connection.opened_us;
    for us in stamps.into_iter().filter(|us| *us > 0) {
        to.step(from, us);
        from = us;
    }
    to.push(connection.attempts.into());
    if let Some(code) = connection.close_code {
        to.push(code.into());
    }
    if let Some(successor) = connection.successor {
        to.step(connection.connection.into(), successor.into());
    }
}

/// `None` at the end.
fn read(from: &mut Reader<'_>, before: Before) -> Option<Connection> {
    let there = from.next()?;
    let has = |bit: u32| there >> bit & 1 == 1;
    let lane = at(&Lane::ALL, from.next()?)?;
    let ending = at(&Ending::ALL, from.next()?)?;
    let connection = u32::try_from(from.step(before.connection.into())?).ok()?;
    let opened_us = from.step(before.opened_us)?;
    let established_us = if has(0) { from.step(opened_us)? } else { 0 };
    let last = if has(0) { established_us } else { opened_us };
    let closed_us = if has(1) { from.step(last)? } else { 0 };
    let attempts = from.small()?;
    let close_code = if has(2) { Some(from.small()?) } else { None };
    let successor = if has(3) { Some(from.step(connection.into())?) } else { None };
    let successor = successor.map(u32::try_from).transpose().ok()?;
    Some(Connection {
        connection,
        lane,
        opened_us,
        established_us,
        closed_us,
        ending,
        close_code,
        attempts,
        successor,
    })
}

const fn as_before(connection: &Connection) -> Before {
    Before { connection: connection.connection, opened_us: connection.opened_us }
}

#[cfg(test)]
mod tests {
    use model::attempt::{Connection, Ending, Lane};

    use super::Connections;

    #[test]
    fn what_is_unpacked_is_what_was_packed_however_odd_it_is() {
        let one = |number: u32| {
            let nth = number as usize;
            let opened_us = u64::from(number) * 1_000;
            Connection {
                connection: number,
                lane: Lane::ALL[nth % Lane::ALL.len()],
                opened_us,
                established_us: if nth.is_multiple_of(7) { 0 } else { opened_us + 40 },
                closed_us: if nth.is_multiple_of(5) { 0 } else { opened_us + 250_000 },
                ending: Ending::ALL[nth % Ending::ALL.len()],
                close_code: nth.is_multiple_of(3).then_some(1_012),
                attempts: number % 4,
                successor: nth.is_multiple_of(4).then_some(number / 2),
            }
        };
        let mut all: Vec<Connection> = (1..=280).map(one).collect();
        all[10].opened_us = u64::MAX;
        all[11].closed_us = u64::MAX;
        all[12].connection = u32::MAX;
        all[13].attempts = u32::MAX;
        all[14].successor = Some(u32::MAX);
        all[15].close_code = Some(0);
        all[16].established_us = 1;
        let mut packed = Connections::default();
        for connection in &all {
            packed.push(connection);
        }
        assert_eq!(packed.unpack(), all);
    }
}
