//! Room to read answers into, used again: asking for new room for each answer would cost more than most
//! answers do.
//!
//! It never waits: more room is made when there is none, and what is too much is not kept.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Bytes of one.
const SIZE: usize = 16 * 1024;

/// Pieces that are kept while nobody reads.
const KEPT: usize = 64;

/// Room that nobody uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Buffers(RefCell<Vec<Vec<u8>>>);

/// Room for one reader, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    buffers: &'a Buffers,
    bytes: Vec<u8>,
}

impl Buffers {
    /// Room; what stands in it is of no meaning.
    pub(crate) fn lend(&self) -> Lent<'_> {
        let bytes = self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; SIZE]);
        Lent { buffers: self, bytes }
    }
}

impl Deref for Lent<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut kept = self.buffers.0.borrow_mut();
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}
