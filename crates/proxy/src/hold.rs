//! Requests that wait while nobody may serve an app: bounded in time, count and memory, and let
//! through in the order in which they came, a few at a time.
//!
//! One [`Hold`] is one such time. Who is held and where they go afterwards stands in the routes; what
//! became of a request's client is its exchange's affair. Waiting is off the path of requests that are
//! not held: that has no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::Hold as Bounds;
use model::admin::HoldSeen;
use tokio::sync::Semaphore;

use crate::limits;

/// What was held of one app, over all its holds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    now: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
    refused: AtomicU64,
    longest_ms: AtomicU64,
}

impl Tally {
    /// What the admin socket says of it.
    pub(crate) fn seen(&self) -> HoldSeen {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        HoldSeen {
            now: of(&self.now),
            bytes: of(&self.bytes),
            total: of(&self.total),
            refused: of(&self.refused),
            longest_ms: of(&self.longest_ms),
        }
    }

    /// One was answered 503.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn waited(&self, since: Instant) {
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.longest_ms.fetch_max(ms, Ordering::Relaxed);
    }
}

/// One time in which nobody serves.
#[derive(Debug)]
pub(crate) struct Hold {
    /// Its bounds.
    pub(crate) bounds: Bounds,
    /// What is counted of the app.
    pub(crate) tally: Arc<Tally>,
    waiting: AtomicU64,
    released: AtomicBool,
    /// First come, first served; closed once everybody has gone through.
    turns: Semaphore,
}

impl Hold {
    /// Nobody waits yet.
    pub(crate) fn new(bounds: Bounds, tally: Arc<Tally>) -> Self {
        let (waiting, released) = (AtomicU64::new(0), AtomicBool::new(false));
        tally.longest_ms.store(0, Ordering::Relaxed);
        Self { bounds, tally, waiting, released, turns: Semaphore::new(0) }
    }

    /// A place for a request that takes so much memory, unless a bound is reached.
    pub(crate) fn enter(self: &Arc<Self>, bytes: u64) -> Option<Place> {
        let most = u64::from(self.bounds.requests);
        if !raise(&self.tally.now, 1, most) {
            return None;
        }
        if !raise(&self.tally.bytes, bytes, self.bounds.bytes) {
            self.tally.now.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.tally.total.fetch_add(1, Ordering::Relaxed);
        Some(Place { hold: Arc::clone(self), bytes: AtomicU64::new(bytes), since: Instant::now() })
    }

    /// True when it is over.
    fn is_over(&self) -> bool {
        self.released.load(Ordering::SeqCst)
    }

    /// It is over: those who wait go on, paced, whatever their time. To be called in a runtime; where
    /// there is none, they all go at once.
    pub(crate) fn release(self: Arc<Self>) {
        self.released.store(true, Ordering::SeqCst);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(self.pace());
            }
            Err(_) => self.turns.close(),
        }
    }

    async fn pace(self: Arc<Self>) {
        let all = self.waiting.load(Ordering::SeqCst);
        let batch = usize::try_from(all.div_ceil(limits::RELEASE_STEPS)).unwrap_or(usize::MAX);
        let batch = batch.clamp(limits::RELEASE_BATCH, Semaphore::MAX_PERMITS / 2);
        for _ in 0..limits::RELEASE_STEPS {
            if self.waiting.load(Ordering::SeqCst) == 0 {
                break;
            }
            self.turns.add_permits(batch);
            tokio::time::sleep(limits::RELEASE_STEP).await;
        }
        self.turns.close();
    }
}

/// Adds to a count unless it would be more than `most`.
fn raise(count: &AtomicU64, by: u64, most: u64) -> bool {
    let step = |now: u64| now.checked_add(by).filter(|then| *then <= most);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
}

/// A request that waits; dropping it frees its place.
#[derive(Debug)]
pub(crate) struct Place {
    hold: Arc<Hold>,
    bytes: AtomicU64,
    since: Instant,
}

impl Place {
    /// Takes more memory, unless the bound is reached.
    pub(crate) fn grow(&self, bytes: u64) -> bool {
        let grows = raise(&self.hold.tally.bytes, bytes, self.hold.bounds.bytes);
        if grows {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        grows
    }

    /// Waits for its turn; false when its time is over first.
    pub(crate) async fn turn(&self, deadline: tokio::time::Instant) -> bool {
        match tokio::time::timeout_at(deadline, self.hold.turns.acquire()).await {
            Ok(Ok(turn)) => turn.forget(),
            // Closed: everybody goes.
            Ok(Err(_)) => {}
            // Late only because those before it go first.
            Err(_) => return self.hold.is_over(),
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let tally = &self.hold.tally;
        tally.now.fetch_sub(1, Ordering::Relaxed);
        tally.bytes.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        tally.waited(self.since);
        self.hold.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// When a request that comes now has waited long enough.
pub(crate) fn deadline(bounds: &Bounds) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_millis(bounds.wait_ms)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Hold as Bounds;

    use super::{Hold, Tally, deadline};

    fn hold(requests: u32, bytes: u64) -> Arc<Hold> {
        Arc::new(Hold::new(Bounds { wait_ms: 50, requests, bytes }, Arc::new(Tally::default())))
    }

    #[test]
    fn places_are_bounded_in_count_and_in_bytes_and_are_given_back() {
        let hold = hold(2, 1_000);
        let (one, two) = (hold.enter(600).unwrap(), hold.enter(400).unwrap());
        assert!(hold.enter(0).is_none(), "a third one");
        drop(two);
        assert!(hold.enter(401).is_none(), "too many bytes");
        assert!(!one.grow(401) && one.grow(400));
        assert!(hold.enter(1).is_none());
        drop(one);
        let seen = hold.tally.seen();
        assert_eq!((seen.now, seen.bytes, seen.total), (0, 0, 2));
        assert!(hold.enter(1_000).is_some());
    }

    #[tokio::test]
    async fn whoever_waits_goes_in_the_order_of_arrival_or_when_its_time_is_over() {
        let hold = hold(1_000, 1_000);
        let place = hold.enter(1).unwrap();
        assert!(!place.turn(deadline(&hold.bounds)).await, "nobody released it");
        drop(place);
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..100 {
            let (place, tell) = (hold.enter(1).unwrap(), tell.clone());
            let until = deadline(&Bounds { wait_ms: 10_000, ..hold.bounds });
            tokio::spawn(async move {
                assert!(place.turn(until).await);
                tell.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        Arc::clone(&hold).release();
        for number in 0..100 {
            assert_eq!(told.recv().await, Some(number));
        }
    }
}
