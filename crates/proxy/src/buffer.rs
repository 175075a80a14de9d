//! Buffers that bytes pass through, lent by the thread while something is under way.
//!
//! An idle connection holds none. A buffer is a plain window over fixed storage: it never grows.

use std::cell::RefCell;

use crate::limits;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read and not yet passed on.
#[derive(Debug)]
pub(crate) struct Buffer {
    storage: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Borrows an empty buffer from this thread.
    pub(crate) fn lend() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let storage = spare.unwrap_or_else(|| vec![0; limits::BUFFER].into_boxed_slice());
        Self { storage, start: 0, end: 0 }
    }

    /// What is there.
    pub(crate) fn data(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// True when nothing is there.
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// True when nothing more fits in, not even by moving what is there.
    pub(crate) const fn is_full(&self) -> bool {
        self.end - self.start == self.storage.len()
    }

    /// Takes `bytes` away from the front.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room to read into; what is there moves to the front when little is left behind it.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 && self.storage.len() - self.end < self.storage.len() / 2 {
            self.storage.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.storage[self.end..]
    }

    /// Says that `bytes` were read into the room.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.storage.len());
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let storage = std::mem::take(&mut self.storage);
        // The thread may be ending already; then the storage is simply freed.
        let _ = SPARE.try_with(|spare| {
            if let Ok(mut spare) = spare.try_borrow_mut()
                && spare.len() < limits::SPARE_BUFFERS
            {
                spare.push(storage);
            }
        });
    }
}
