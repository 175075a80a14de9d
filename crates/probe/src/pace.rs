//! How long before its time the prober is awake: pure arithmetic, no clock and no timer.
//!
//! A core that rests wakes late: by some ten microseconds on a quiet machine, by most of a millisecond on
//! a virtual one. Who is awake before the time sends on time, at the price of CPU time that the app under
//! test may want. So the price is bounded, and chosen by the user.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::thread::available_parallelism;

use model::{Fault, Kind};
use serde::{Deserialize, Serialize};

const NS_PER_S: u64 = 1_000_000_000;

/// The first guess, from which is learned.
const GUESS_NS: u64 = 250_000;

/// What a wake of a resting core takes on any machine.
const LEAST_NS: u64 = 50_000;

/// The most that is tried.
const MOST_NS: u64 = 500_000;

/// Who is woken later than this was not resting but had no core to itself. Waking early is no help then, and would
/// take more from others who have none: nothing is learned from it.
const STARVED_NS: u64 = 1_000_000;

/// So early [`Pace::Exact`] is: from 500 sends a second on it never sleeps.
const EXACT_NS: u64 = 2_000_000;

/// One wake in so many may be later than what was learned.
const ONE_IN: u64 = 200;

/// What is learned grows by one part in so many when a wake was later still.
const STEP: u64 = 10;

/// What a prober pays for sending on time. While it is awake it goes on reading answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Sleeps until the time has come. However late the machine wakes it, it sends.
    Frugal,
    /// Wakes as much earlier as the machine has woken it late before, up to one part in so many of a core.
    Steady(NonZero<u32>),
    /// Awake for two milliseconds before each send, which is always from 500 a second on: for a
    /// prober that has a core to itself.
    Exact,
}

impl Pace {
    /// The usual one on a machine of so many cores: up to a quarter of one core, or an eighth of the only one.
    pub const fn steady(cores: usize) -> Self {
        let parts = if cores > 1 { 4 } else { 8 };
        match NonZero::new(parts) {
            Some(parts) => Self::Steady(parts),
            None => Self::Frugal,
        }
    }
}

impl Default for Pace {
    /// The usual one on this machine, within what this process may use of it.
    fn default() -> Self {
        Self::steady(available_parallelism().map_or(1, NonZero::get))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Frugal => "frugal",
            Self::Steady(_) => "steady",
            Self::Exact => "exact",
        })
    }
}

impl FromStr for Pace {
    type Err = Fault;

    /// Reads `frugal`, `steady` (as on this machine) or `exact`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "frugal" => Ok(Self::Frugal),
            "steady" => Ok(Self::default()),
            "exact" => Ok(Self::Exact),
            _ => {
                let what = format!("`{}` is no pace of a probe", text.escape_debug());
                Err(Fault::new(Kind::Usage, what).help("write frugal, steady or exact"))
            }
        }
    }
}

/// How much earlier than its time the next wake is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Early {
    lead_ns: u64,
    /// The least and the most it may be; the same where nothing is learned.
    bounds_ns: (u64, u64),
}

impl Early {
    /// For sends at `rate` a second (at least 1).
    pub(crate) fn new(pace: Pace, rate: u32) -> Self {
        let bounds_ns = match pace {
            Pace::Frugal => (0, 0),
            Pace::Exact => (EXACT_NS, EXACT_NS),
            Pace::Steady(parts) => {
                let interval_ns = NS_PER_S / u64::from(rate.max(1));
                let most_ns = (interval_ns / u64::from(parts.get())).min(MOST_NS);
                (LEAST_NS.min(most_ns), most_ns)
            }
        };
        Self { lead_ns: GUESS_NS.clamp(bounds_ns.0, bounds_ns.1), bounds_ns }
    }

    /// By how much.
    pub(crate) const fn lead_ns(&self) -> u64 {
        self.lead_ns
    }

    /// Learns from a wake that came so late. The steps are such that up and down are level when one wake
    /// in [`ONE_IN`] is later than what was learned.
    pub(crate) fn woken(&mut self, late_ns: u64) {
        if late_ns > STARVED_NS {
            return;
        }
        let lead = self.lead_ns;
        let next =
            if late_ns > lead { lead + lead / STEP } else { lead - lead / (STEP * (ONE_IN - 1)) };
        self.lead_ns = next.clamp(self.bounds_ns.0, self.bounds_ns.1);
    }
}

#[cfg(test)]
mod tests {
    use super::{EXACT_NS, Early, LEAST_NS, MOST_NS, Pace};

    /// What is learned from so many wakes, each as late as the next of these, again and again.
    fn learned(mut early: Early, wakes: usize, late_us: &[u64]) -> u64 {
        for late in late_us.iter().cycle().take(wakes) {
            early.woken(late * 1_000);
        }
        early.lead_ns()
    }

    #[test]
    fn what_is_spent_awake_is_never_more_than_the_share_of_a_core() {
        for (cores, parts) in [(1, 8), (2, 4), (64, 4)] {
            for rate in [1, 10, 250, 1_000, 5_000, 33_333, 100_000] {
                let early = Early::new(Pace::steady(cores), rate);
                let lead_ns = early.lead_ns().max(learned(early, 1_000, &[950]));
                let awake_ns = u64::from(rate) * lead_ns;
                assert!(awake_ns <= 1_000_000_000 / parts, "{awake_ns} ns a second at {rate}/s");
                assert!(lead_ns <= MOST_NS, "{lead_ns} at {rate}/s");
            }
        }
    }

    #[test]
    fn it_learns_what_all_but_one_wake_in_two_hundred_keep_to() {
        let early = Early::new(Pace::steady(2), 100);
        // One wake in a hundred takes 400 µs, which is too many to be left out,
        let mut wakes = vec![30; 99];
        wakes.push(400);
        let often = learned(early, 5_000, &wakes);
        assert!((360_000..=480_000).contains(&often), "{often}");
        // and one in a thousand is not.
        wakes.extend([30; 900]);
        let seldom = learned(early, 50_000, &wakes);
        assert!((LEAST_NS..150_000).contains(&seldom), "{seldom}");
    }

    #[test]
    fn on_a_quiet_machine_it_comes_down_and_on_a_worse_one_up_again() {
        let early = Early::new(Pace::steady(2), 100);
        assert_eq!(learned(early, 10_000, &[20]), LEAST_NS);
        assert_eq!(learned(early, 10_000, &[900]), MOST_NS);
        let mut calm = early;
        for _ in 0..10_000 {
            calm.woken(20_000);
        }
        assert_eq!(learned(calm, 30, &[900]), MOST_NS, "thirty late wakes have not taught it");
    }

    #[test]
    fn who_is_starved_does_not_take_more() {
        let early = Early::new(Pace::steady(2), 100);
        // Most wakes are milliseconds late, the others are not.
        assert_eq!(learned(early, 20_000, &[5_000, 40, 90_000, 3_000, 30]), LEAST_NS);
    }

    #[test]
    fn frugal_is_never_early_and_exact_always_the_same() {
        for rate in [1, 500, 100_000] {
            for late_us in [0, 5_000] {
                let of = |pace| learned(Early::new(pace, rate), 1_000, &[late_us]);
                assert_eq!((of(Pace::Frugal), of(Pace::Exact)), (0, EXACT_NS));
            }
        }
    }

    #[test]
    fn paces_are_read_as_they_are_written_and_others_refused() {
        for pace in [Pace::Frugal, Pace::default(), Pace::Exact] {
            assert_eq!(pace.to_string().parse::<Pace>().unwrap(), pace);
        }
        for odd in ["", "Exact", "fast"] {
            assert!(odd.parse::<Pace>().is_err_and(|fault| fault.help.is_some()), "{odd:?}");
        }
    }
}
