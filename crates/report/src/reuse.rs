//! Which failures are reuse races: a kept connection was closed in the moment in which it was used again.
//!
//! Nobody outside can see who had the request. That no instance had it is taken from three things
//! together: the connection had stood, its end came sooner than hardly any answer does, and requests on
//! fresh connections went through before and after. What fits only some of them is left to other rules.

use model::{Attempt, Class, Lane};

use crate::lanes::whole_answer;
use crate::run::{Run, percentile};

/// What the run says of answers and fresh connections.
pub(crate) struct Reuse {
    /// Hardly any answer came sooner after its request, us.
    quickest_us: u64,
    /// Of each request on a fresh connection: when it was sent, and whether it was answered.
    fresh: Vec<(u64, bool)>,
}

impl Reuse {
    pub(crate) fn of(run: &Run<'_>) -> Self {
        let on = |lane: Lane| run.sent.iter().filter(move |a| a.lane == lane);
        let answered = on(Lane::KeepAlive).filter(|a| whole_answer(a.class));
        let mut waits: Vec<u64> =
            answered.map(|a| a.first_byte_us.saturating_sub(a.sent_us)).collect();
        waits.sort_unstable();
        let fresh = on(Lane::Fresh).map(|a| (a.intended_us, whole_answer(a.class)));
        Self { quickest_us: percentile(&waits, 100).unwrap_or(0), fresh: fresh.collect() }
    }

    /// True of such a failure.
    pub(crate) fn raced(&self, a: &Attempt) -> bool {
        let gone = matches!(a.class, Class::LostInFlight | Class::ResetBeforeBytes);
        let stood = a.lane == Lane::KeepAlive && a.connection != 0 && a.connected_us == 0;
        let sent = gone && stood && a.sent_us > 0;
        sent && a.done_us.saturating_sub(a.sent_us) < self.quickest_us && self.passed_around(a)
    }

    /// Whoever came with a connection of its own just before and just after was answered.
    fn passed_around(&self, a: &Attempt) -> bool {
        let next = self.fresh.partition_point(|(us, _)| *us <= a.intended_us);
        let whole =
            |at: Option<usize>| at.and_then(|at| self.fresh.get(at)).is_some_and(|one| one.1);
        whole(next.checked_sub(1)) && whole(Some(next))
    }
}
