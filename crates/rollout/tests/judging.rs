//! The comparison of candidate and stable over many simulated hours, looked at after every second.
//!
//! Seeds are fixed, and runs are few: the tables with thousands of them are not made here, but by
//! `cargo xtask bench canary`.

use model::{Counted, Tick};
use rollout::analysis::{Comparison, Rules};

/// Chance with a fixed seed (splitmix64).
struct Draw(u64);

impl Draw {
    /// True with this chance.
    fn hits(&mut self, chance: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / ((1_u64 << 53) as f64) < chance
    }

    fn of(&mut self, n: u64, chance: f64) -> u64 {
        (0..n).filter(|_| self.hits(chance)).count() as u64
    }

    fn tick(&mut self, units: u64, share: f64, (candidate, stable): (f64, f64)) -> Tick {
        let candidates = self.of(units, share);
        let mut counted =
            |units, chance| Counted { units, errors: self.of(units, chance), slow: Vec::new() };
        Tick {
            candidate: counted(candidates, candidate),
            stable: counted(units - candidates, stable),
        }
    }
}

fn comparison() -> Comparison {
    let rules = Rules { latency: false, max_error_share_bp: 0, ..Rules::default() };
    Comparison::new(rules, &[])
}

/// Runs of 500 s in which both releases are the same; how many were aborted at 0.05.
fn aborted(runs: u64, share: impl Fn(u64) -> f64, rate: impl Fn(u64) -> f64) -> u64 {
    let run = |seed: u64| {
        let (mut draw, mut comparison) = (Draw(seed * 7_919), comparison());
        for second in 0..500 {
            let rate = rate(second);
            comparison.add(&draw.tick(20, share(second), (rate, rate)));
        }
        comparison.p() <= 0.05
    };
    (0..runs).filter(|seed| run(*seed)).count() as u64
}

#[test]
fn a_candidate_that_is_the_same_is_aborted_no_more_often_than_alpha() {
    for (name, share) in [("half", 0.5), ("a tenth", 0.1), ("a twentieth", 0.05)] {
        let aborted = aborted(120, |_| share, |_| 0.05);
        assert!(aborted <= 6, "{name}: {aborted} of 120 at 5 %");
    }
}

#[test]
fn shares_that_grow_and_incidents_that_hit_both_abort_nobody() {
    let steps = |second: u64| [0.05, 0.1, 0.25, 0.5][usize::try_from(second / 125).unwrap()];
    let grown = aborted(120, steps, |_| 0.05);
    assert!(grown <= 6, "{grown} of 120 at 5 %");
    let incident = |second: u64| if second % 100 < 20 { 0.3 } else { 0.01 };
    let hit = aborted(120, |_| 0.1, incident);
    assert!(hit <= 6, "{hit} of 120 at 5 %");
}

/// One unit in a second, of either: seconds are joined. Also with errors that come in bursts, which hit whoever is there.
#[test]
fn a_candidate_that_is_the_same_from_one_address_is_aborted_no_more_often_than_alpha() {
    let run = |seed: u64, share: f64, rate: fn(u64) -> f64| {
        let (mut draw, mut comparison) = (Draw(seed * 15_485_863), comparison());
        for second in 0..3_000 {
            comparison.add(&draw.tick(1, share, (rate(second), rate(second))));
        }
        (comparison.p() <= 0.05, comparison.compared().0.units)
    };
    let bursts = |second: u64| if second % 100 < 20 { 0.3 } else { 0.01 };
    for (share, rate) in [(0.5, (|_| 0.05) as fn(u64) -> f64), (0.5, bursts), (0.1, bursts)] {
        let runs: Vec<(bool, u64)> = (0..120).map(|seed| run(seed, share, rate)).collect();
        let aborted = runs.iter().filter(|(aborted, _)| *aborted).count();
        assert!(aborted <= 6, "{share}: {aborted} of 120 at 5 %");
        assert!(runs.iter().all(|(_, units)| *units > 200), "{share}: too little is compared");
    }
}

/// One percent of errors at 100 requests a second and 10 % of them: about a minute.
#[test]
fn a_bad_candidate_is_found_in_a_minute() {
    let run = |seed: u64| {
        let (mut draw, mut comparison) = (Draw(seed * 104_729), comparison());
        (1_u64..=600).find(|_| {
            comparison.add(&draw.tick(100, 0.1, (0.01, 0.001)));
            comparison.p() <= 0.01
        })
    };
    let mut times: Vec<u64> = (0..31).map(|seed| run(seed).unwrap_or(u64::MAX)).collect();
    times.sort_unstable();
    assert!((30..=90).contains(&times[15]), "{times:?}");
}

/// A crash between any two ticks: what comes back from the journal decides as if nothing had been.
#[test]
fn stopped_and_continued_it_decides_the_same() {
    let (mut draw, mut whole) = (Draw(11), comparison());
    let mut stopped = whole.clone();
    for _ in 0..60 {
        let tick = draw.tick(50, 0.2, (0.03, 0.01));
        whole.add(&tick);
        stopped.add(&tick);
        let journaled = serde_json::to_vec(&stopped).unwrap();
        stopped = serde_json::from_slice(&journaled).unwrap();
        assert_eq!(stopped, whole);
        assert_eq!(stopped.finding(), whole.finding());
    }
}
