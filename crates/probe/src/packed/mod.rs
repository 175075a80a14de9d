//! What a run keeps of its attempts and connections until its end, in few bytes each: about 25 of an attempt and
//! 11 of a connection, so that also an attempt with a connection of its own stays below 64.
//!
//! Nothing is rounded or left out but details of failures beyond a bound. It is memory only; the file is
//! written by `samples`, as things happen.

mod attempts;
mod connections;
mod numbers;
mod words;

pub(crate) use attempts::Attempts;
pub(crate) use connections::Connections;

/// Place of one of few.
fn place<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().position(|other| other == one).unwrap_or(all.len()) as u64
}

/// The one at that place.
fn at<T: Copy>(all: &[T], place: u64) -> Option<T> {
    all.get(usize::try_from(place).ok()?).copied()
}
