//! Memory that a thread sets aside for bodies of requests that it keeps.
//!
//! It counts and holds nothing; whose bodies those are stands in `gather`.

use std::cell::Cell;
use std::rc::Rc;

use crate::limits;

/// Bytes that a thread has set aside for bodies it gathers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space(Rc<Cell<usize>>);

/// What a gathered body takes of them, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Share {
    of: Space,
    bytes: usize,
}

impl Space {
    /// Room for so many bytes, if there is.
    pub(crate) fn take(&self, bytes: usize) -> Option<Share> {
        let taken = self.0.get() + bytes;
        (taken <= limits::GATHERED).then(|| {
            self.0.set(taken);
            Share { of: self.clone(), bytes }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.set(self.of.0.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::Space;
    use crate::limits;

    #[test]
    fn a_thread_gathers_no_more_than_it_has_room_for_and_has_it_again() {
        let space = Space::default();
        let all = limits::GATHERED / limits::KEPT;
        let mut shares: Vec<_> = (0..all).map(|_| space.take(limits::KEPT).unwrap()).collect();
        assert!(space.take(1).is_none(), "one byte too many");
        shares.pop();
        let _again = space.take(limits::KEPT).unwrap();
        assert!(space.take(1).is_none());
        drop(shares);
        assert!(space.take((all - 1) * limits::KEPT).is_some());
    }
}
