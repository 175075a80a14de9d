//! One case: its bytes, its own randomness, and the ways of cutting bytes into pieces.
//!
//! Where its bytes come from is in `mutate`, how many cases there are in `lib`.

use std::fmt::Debug;

use fastrand::Rng;

/// What a body is given.
#[derive(Debug)]
pub struct Case {
    /// The input.
    pub bytes: Vec<u8>,
    /// For whatever the body decides by chance; follows from the seed.
    pub random: Rng,
}

impl Case {
    /// The input as text, what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// What `read` makes of the input, which must be the same for the whole, for single bytes and
    /// for random pieces of it.
    ///
    /// # Panics
    /// When it is not.
    pub fn however_cut<T: PartialEq + Debug>(&mut self, read: impl Fn(&[&[u8]]) -> T) -> T {
        let whole = read(&[&self.bytes]);
        let single: Vec<&[u8]> = self.bytes.chunks(1).collect();
        assert_eq!(read(&single), whole, "byte by byte");
        for _ in 0..3 {
            let mut cuts: Vec<usize> = (0..self.random.usize(1..8))
                .map(|_| self.random.usize(..=self.bytes.len()))
                .collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.iter().copied().chain([self.bytes.len()]) {
                pieces.push(&self.bytes[from..cut]);
                from = cut;
            }
            assert_eq!(read(&pieces), whole, "cut at {cuts:?}");
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::Case;
    use fastrand::Rng;

    fn case() -> Case {
        Case { bytes: b"abcdef".to_vec(), random: Rng::with_seed(1) }
    }

    #[test]
    fn pieces_make_up_the_whole() {
        assert_eq!(case().however_cut(|pieces| pieces.concat()), b"abcdef");
    }

    #[test]
    #[should_panic(expected = "byte by byte")]
    fn a_reader_that_depends_on_the_cuts_is_found() {
        case().however_cut(|pieces| pieces.len());
    }
}
