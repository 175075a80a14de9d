//! By which latencies releases are compared: quantiles of stable's own, taken beforehand.
//!
//! Any thresholds are right as long as they are fixed before the candidate is seen; these are where a
//! change of the whole, of the tail or of a few requests shows. Nobody is compared here: that is done with
//! every threshold in `comparison`.

use model::{Threshold, latency};

/// How many requests of stable must be known.
pub const LEAST_KNOWN: u64 = 2_000;

/// What share of stable's requests may be slower, parts of 1000.
const SLOWER: [u64; 6] = [500, 250, 100, 50, 10, 1];

/// The thresholds, lowest first, from how often each bucket of [`latency`] was met (bucket, requests);
/// none when too little is known. Where several fall together there are fewer than six.
pub fn thresholds(met: &[(u16, u64)]) -> Vec<Threshold> {
    let of: u64 = met.iter().map(|(_, n)| n).sum();
    if of < LEAST_KNOWN {
        return Vec::new();
    }
    let beyond = |bucket: u16| met.iter().filter(|(at, _)| *at > bucket).map(|(_, n)| n).sum();
    let mut buckets: Vec<u16> = met.iter().map(|(bucket, _)| *bucket).collect();
    buckets.sort_unstable();
    let mut found: Vec<Threshold> = Vec::new();
    for parts in SLOWER {
        let rare = |bucket: &&u16| u128::from(beyond(**bucket)) * 1_000 <= u128::from(parts * of);
        let Some(bucket) = buckets.iter().find(rare) else { continue };
        let Some(us) = latency::bound_us(usize::from(*bucket)) else { continue };
        if found.last().is_none_or(|last| last.us < us) {
            found.push(Threshold { us, slow: beyond(*bucket), of });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use model::latency::{bound_us, bucket};

    use super::thresholds;

    fn met(times_us: impl Iterator<Item = u64>) -> Vec<(u16, u64)> {
        let mut met = std::collections::BTreeMap::new();
        for us in times_us {
            *met.entry(u16::try_from(bucket(us)).unwrap()).or_default() += 1;
        }
        met.into_iter().collect()
    }

    #[test]
    fn six_quantiles_of_what_is_known() {
        // A long tail: half of all take 200 us or less, one in a thousand 100 ms or more.
        let times = || (1..=10_000).map(|n| 1_000_000 / n);
        let found = thresholds(&met(times()));
        assert_eq!(found.len(), 6);
        for (threshold, quantile) in found.iter().zip([200, 400, 1_000, 2_000, 10_000, 100_000]) {
            let near = threshold.us as f64 / f64::from(quantile);
            assert!((0.9..1.15).contains(&near), "{threshold:?} {quantile}");
            let slow = times().filter(|us| *us >= threshold.us).count();
            assert_eq!((threshold.slow, threshold.of), (slow as u64, 10_000));
        }
    }

    #[test]
    fn little_known_is_nothing_and_equal_times_are_one_threshold() {
        assert!(thresholds(&met((0..1_999).map(|_| 700))).is_empty());
        let found = thresholds(&met((0..2_000).map(|_| 700)));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].us, found[0].slow), (bound_us(bucket(700)).unwrap(), 0));
    }
}
