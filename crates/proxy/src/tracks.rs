//! Where marked words lie in memory when they are read from a socket, and when they are written to one.
//!
//! Tests have it, and nobody else; it keeps track on the thread that asked for it. Who lies in another
//! place when written was copied in between; how often is seen where those who have them on the way say where they
//! lie. What TLS and the kernel do on their side of a read or a write is not looked at. What is carried stands in
//! `copies`.

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
    places: HashMap<[u8; WORD], Place>,
    /// Words that were written from where they had been read to.
    pub(crate) stayed: usize,
    /// Words that were written from where the one copy that was made of them lies.
    pub(crate) once: usize,
    /// Words that were written from elsewhere.
    pub(crate) moved: usize,
}

/// Where a word lies, and how many copies led there.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    copies: usize,
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
        tracks.places.extend(found(bytes).map(|(word, at)| (word, Place { at, copies: 0 })));
    });
}

/// These bytes, on their way, lie here now: where that is another place than before, they were copied.
pub(crate) fn lie(bytes: &[u8]) {
    TRACKS.with_borrow_mut(|tracks| {
        let Some(tracks) = tracks else { return };
        for (word, at) in found(bytes) {
            let Some(place) = tracks.places.get_mut(&word) else { continue };
            *place = Place { at, copies: place.copies + usize::from(place.at != at) };
        }
    });
}

/// So many bytes were written from where these lie.
pub(crate) fn went(parts: &[IoSlice<'_>], mut left: usize) {
    TRACKS.with_borrow_mut(|tracks| {
        let Some(tracks) = tracks else { return };
        for part in parts {
            let written = &part[..left.min(part.len())];
            left -= written.len();
            for (word, at) in found(written) {
                // One that was read in two parts has no place.
                let Some(known) = tracks.places.remove(&word) else { continue };
                match known.copies {
                    0 if known.at == at => tracks.stayed += 1,
                    1 if known.at == at => tracks.once += 1,
                    _ => tracks.moved += 1,
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

    use super::{begin, came, end, lie, went, words};

    #[test]
    fn a_copy_is_seen_and_what_stays_is_no_copy() {
        let read = words(0..10);
        let copy = read[40..].to_vec();
        begin();
        came(&read);
        went(&[IoSlice::new(b"head"), IoSlice::new(&read[..40]), IoSlice::new(&copy)], 4 + 40 + 16);
        let tracks = end();
        assert_eq!((tracks.stayed, tracks.moved), (5, 2), "three words were not written yet");
        begin();
        came(&read);
        lie(&copy);
        lie(&copy[..24]);
        let twice = copy[24..].to_vec();
        lie(&twice);
        went(&[IoSlice::new(&copy[..24]), IoSlice::new(&twice)], 40);
        let tracks = end();
        assert_eq!((tracks.stayed, tracks.once, tracks.moved), (0, 3, 2), "two were copied twice");
        came(&read);
        assert_eq!(end().stayed, 0, "nobody keeps track any more");
    }
}
