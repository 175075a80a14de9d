//! Ticks joined until both releases have a unit: where users come from one address there is one unit in a tick, and never
//! one of both.
//!
//! Which ticks are joined depends on who had units in them, never on how those ended: no bet is made in the knowledge of
//! its outcome, so the chance of blaming a candidate that is the same stays what it was. What is supposed to be common to
//! both is the rate of events of the seconds joined, as it was of one second before. Nothing is judged here.

use model::{Counted, Tick};
use serde::{Deserialize, Serialize};

/// Ticks that are joined at most; the oldest are left out, so that what is compared was at about the same time.
const MOST: usize = 60;

/// Ticks in which only one release had units, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joined(Vec<Tick>);

impl Joined {
    /// Takes a tick; answers it, with those that waited for it, once both releases have a unit.
    pub(crate) fn add(&mut self, tick: &Tick) -> Option<Tick> {
        let Tick { candidate, stable } = tick;
        if candidate.units + stable.units == 0 {
            return None;
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(tick.clone());
        let had = |of: fn(&Tick) -> u64| self.0.iter().any(|tick| of(tick) > 0);
        let both = had(|tick| tick.candidate.units) && had(|tick| tick.stable.units);
        both.then(|| self.0.drain(..).fold(Tick::default(), sum))
    }
}

fn sum(mut sum: Tick, tick: Tick) -> Tick {
    add(&mut sum.candidate, tick.candidate);
    add(&mut sum.stable, tick.stable);
    sum
}

fn add(sum: &mut Counted, more: Counted) {
    sum.units += more.units;
    sum.errors += more.errors;
    if sum.slow.len() < more.slow.len() {
        sum.slow.resize(more.slow.len(), 0);
    }
    for (slow, more) in sum.slow.iter_mut().zip(more.slow) {
        *slow += more;
    }
}

#[cfg(test)]
mod tests {
    use model::{Counted, Tick};

    use super::{Joined, MOST};

    fn tick(candidate: u64, stable: u64) -> Tick {
        let counted = |units| Counted { units, errors: units / 2, slow: vec![units; 2] };
        // Nobody is slow of whom nobody is there.
        let some = |units| if units > 0 { counted(units) } else { Counted::default() };
        Tick { candidate: some(candidate), stable: some(stable) }
    }

    #[test]
    fn a_tick_of_both_is_one_and_others_wait_until_both_had_one() {
        let mut joined = Joined::default();
        assert_eq!(joined.add(&tick(3, 40)), Some(tick(3, 40)));
        assert_eq!(
            [tick(0, 2), tick(0, 0), tick(0, 4)].map(|it| joined.add(&it)),
            [const { None }; 3]
        );
        assert_eq!(joined.add(&tick(8, 0)), Some(tick(8, 6)));
        assert_eq!(joined.add(&tick(1, 0)), None, "it begins anew");
    }

    #[test]
    fn what_was_long_ago_is_left_out() {
        let mut joined = Joined::default();
        for _ in 0..3 * MOST {
            assert_eq!(joined.add(&tick(0, 2)), None);
        }
        let stable = u64::try_from(2 * (MOST - 1)).unwrap();
        assert_eq!(joined.add(&tick(2, 0)), Some(tick(2, stable)));
    }
}
