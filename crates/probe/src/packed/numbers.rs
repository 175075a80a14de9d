//! A list of numbers, in as few bytes as each needs: seven bits of it in each (LEB128).
//!
//! It does not know what they mean; whoever reads must ask for as many as were written.

/// The list, as it grows.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<u8>);

impl Numbers {
    /// Adds a number.
    pub(super) fn push(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(low(number) | 0x80);
            number >>= 7;
        }
        self.0.push(low(number));
    }

    /// Adds how far it is from one number to another, in either direction.
    pub(super) fn step(&mut self, from: u64, to: u64) {
        let apart = to.wrapping_sub(from);
        // The lowest bit says which way, so that a short way back is few bytes, too.
        let back = apart >> 63 == 1;
        self.push(if back { !apart << 1 | 1 } else { apart << 1 });
    }

    /// From the first on.
    pub(super) fn read(&self) -> Reader<'_> {
        Reader(&self.0)
    }

    /// Bytes of it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The lowest seven bits.
fn low(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7F
}

/// What is not read yet.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// The next number; `None` at the end.
    pub(super) fn next(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(number)
    }

    /// The number that is the next step away from this one.
    pub(super) fn step(&mut self, from: u64) -> Option<u64> {
        let said = self.next()?;
        let apart = if said & 1 == 1 { !(said >> 1) } else { said >> 1 };
        Some(from.wrapping_add(apart))
    }

    /// A number that was smaller when it was written.
    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.next()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn what_is_read_is_what_was_written_in_the_fewest_bytes() {
        let edges = [0, 1, 127, 128, 16_383, 16_384, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX];
        let mut numbers = Numbers::default();
        for from in edges {
            numbers.push(from);
            for to in edges {
                numbers.step(from, to);
            }
        }
        let mut read = numbers.read();
        for from in edges {
            assert_eq!(read.next(), Some(from));
            for to in edges {
                assert_eq!(read.step(from), Some(to));
            }
        }
        assert_eq!(read.next(), None);
        for (from, to, bytes) in [(0, 63, 1), (64, 0, 1), (0, 64, 2), (1 << 40, (1 << 40) - 100, 2)]
        {
            let mut one = Numbers::default();
            one.step(from, to);
            assert_eq!(one.len(), bytes, "{from} to {to}");
        }
    }
}
