//! Where marked words lie in memory when they are read from a socket, and when they are written to one.
//!
//! Tests have it, and nobody else; it keeps track on the thread that asked for it. Who lies in another
//! place when written was copied in between; how often is not seen. What is carried stands in `copies`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;

use memchr::memmem;

/// Bytes of a word.
pub(crate) const WORD: usize = 8;
/// Every word begins so, and goes on with its number.
const MARK: [u8; 4] = *b"\xf1wo\xf2";

/// What was seen of marked words.
#[derive(Debug, Default)]
pub(crate) struct Tracks {
    places: HashMap<[u8; WORD], usize>,
    /// Words that were written from where they had been read to.
    pub(crate) stayed: usize,
    /// Words that were written from elsewhere.
    pub(crate) moved: usize,
}

thread_local! {
    static TRACKS: RefCell<Option<Tracks>> = const { RefCell::new(None) };
}

/// Words with these numbers.
pub(crate) fn words(numbers: Range<u32>) -> Vec<u8> {
    numbers.flat_map(|number| [MARK, number.to_be_bytes()].concat()).collect()
}

/// Keeps track on this thread from now on.
pub(crate) fn begin() {
    TRACKS.set(Some(Tracks::default()));
}

/// What was seen.
pub(crate) fn end() -> Tracks {
    TRACKS.take().unwrap_or_default()
}

/// These bytes lie where they were read to.
pub(crate) fn came(bytes: &[u8]) {
    TRACKS.with_borrow_mut(|tracks| {
        let Some(tracks) = tracks else { return };
        tracks.places.extend(found(bytes));
    });
}

/// So many bytes were written from where these lie.
pub(crate) fn went(parts: &[IoSlice<'_>], mut left: usize) {
    TRACKS.with_borrow_mut(|tracks| {
        let Some(tracks) = tracks else { return };
        for part in parts {
            let written = &part[..left.min(part.len())];
            left -= written.len();
            for (word, place) in found(written) {
                // One that was read in two parts has no place.
                match tracks.places.remove(&word) {
                    Some(known) if known == place => tracks.stayed += 1,
                    Some(_) => tracks.moved += 1,
                    None => {}
                }
            }
        }
    });
}

/// Whole words, and where they lie.
fn found(bytes: &[u8]) -> impl Iterator<Item = ([u8; WORD], usize)> {
    memmem::find_iter(bytes, &MARK).filter_map(|at| {
        let word = bytes.get(at..at + WORD)?;
        Some((word.try_into().ok()?, word.as_ptr().addr()))
    })
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::{begin, came, end, went, words};

    #[test]
    fn a_copy_is_seen_and_what_stays_is_no_copy() {
        let read = words(0..10);
        let copy = read[40..].to_vec();
        begin();
        came(&read);
        went(&[IoSlice::new(b"head"), IoSlice::new(&read[..40]), IoSlice::new(&copy)], 4 + 40 + 16);
        let tracks = end();
        assert_eq!((tracks.stayed, tracks.moved), (5, 2), "three words were not written yet");
        came(&read);
        assert_eq!(end().stayed, 0, "nobody keeps track any more");
    }
}
