//! Inputs that are mostly right, so that their errors lie deep.
//!
//! Changes know bytes, words, lines and numbers; the corpus brings the rest of a language's structure.
//! Nothing here guides itself by what a body covers.

use fastrand::Rng;

use crate::Target;

/// Bytes that parsers of text have opinions on.
const BYTES: &[u8] = b"\r\n\0\t :;,=\"'/\\.-+0159afzA%#?@[]{}<>\x7f\x80\xc3\xff";
/// Numbers at the edges of what counters hold.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "+1",
    "00",
    "0x1",
    " 1",
    "1 ",
    "1e3",
    "255",
    "65536",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999",
    "",
];

/// Makes inputs of a corpus.
pub(crate) struct Mutator<'c> {
    pub(crate) target: Target,
    pub(crate) corpus: &'c [Vec<u8>],
}

impl Mutator<'_> {
    /// A random input.
    pub(crate) fn input(&self, random: &mut Rng) -> Vec<u8> {
        let mut bytes = match random.u8(..32) {
            0 => noise(random),
            _ => self.any(random).to_vec(),
        };
        for _ in 0..=random.usize(..4) * random.usize(..3) {
            self.change(&mut bytes, random);
        }
        bytes.truncate(self.target.most);
        bytes
    }

    fn any(&self, random: &mut Rng) -> &[u8] {
        &self.corpus[random.usize(..self.corpus.len())]
    }

    fn change(&self, bytes: &mut Vec<u8>, random: &mut Rng) {
        let at = random.usize(..=bytes.len());
        match random.u8(..14) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = BYTES[random.usize(..BYTES.len())],
            2 => bytes.insert(at, BYTES[random.usize(..BYTES.len())]),
            3 => drop(bytes.drain(range(bytes, at, random))),
            4 => {
                let piece = bytes[range(bytes, at, random)].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => bytes.truncate(at),
            6 | 7 if !self.target.words.is_empty() => {
                let word = self.target.words[random.usize(..self.target.words.len())];
                bytes.splice(at..at, word.bytes());
            }
            8 => renumber(bytes, at, random),
            9 => relined(bytes, self.any(random), random),
            10 => {
                let other = self.any(random);
                let from = random.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            11 => {
                let piece = bytes[range(bytes, at, random)].to_vec();
                let times = random.usize(..64).min(self.target.most / piece.len().max(1));
                bytes.splice(at..at, piece.repeat(times));
            }
            12 if at < bytes.len() => bytes[at] = random.u8(..),
            _ => bytes.extend_from_slice(self.any(random)),
        }
        // A little over the limit may still be cut down to it.
        bytes.truncate(2 * self.target.most);
    }
}

fn noise(random: &mut Rng) -> Vec<u8> {
    (0..random.usize(..300)).map(|_| random.u8(..)).collect()
}

/// A short stretch from `at` on.
fn range(bytes: &[u8], at: usize, random: &mut Rng) -> std::ops::Range<usize> {
    at..(at + random.usize(..24)).min(bytes.len())
}

/// Puts another number in the place of one behind `at`.
fn renumber(bytes: &mut Vec<u8>, at: usize, random: &mut Rng) {
    let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
        return;
    };
    let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS[random.usize(..NUMBERS.len())];
    bytes.splice(from..from + digits, number.bytes());
}

/// Drops, doubles, swaps or borrows a whole line.
fn relined(bytes: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let others: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.is_empty() || others.is_empty() {
        return;
    }
    let (one, two) = (random.usize(..lines.len()), random.usize(..lines.len()));
    match random.u8(..4) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(one, lines[two]),
        2 => lines.swap(one, two),
        _ => lines.insert(one, others[random.usize(..others.len())]),
    }
    *bytes = lines.concat();
}

#[cfg(test)]
mod tests {
    use super::Mutator;
    use crate::Target;
    use fastrand::Rng;

    #[test]
    fn inputs_follow_from_the_seed_are_bounded_and_differ() {
        let corpus = vec![b"one: 1\r\ntwo: 2\r\n".to_vec(), Vec::new()];
        let target = Target { corpus: "", words: &["word"], most: 100 };
        let mutator = Mutator { target, corpus: &corpus };
        let input = |seed| mutator.input(&mut Rng::with_seed(seed));
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2_000 {
            let bytes = input(seed);
            assert_eq!(bytes, input(seed));
            assert!(bytes.len() <= 100);
            seen.insert(bytes);
        }
        assert!(seen.len() > 500, "{} of 2000 differ", seen.len());
        assert!(seen.iter().any(|bytes| bytes.windows(4).any(|window| window == b"word")));
    }
}
