//! Arithmetic on stamps: rate, lateness, evenness, quantiles. Pure.
//!
//! Stamps are nanoseconds of CLOCK_MONOTONIC, in their order. Which figure is good enough is said in
//! `marks`.

/// Sends per second as the slope of a straight line through all stamps: one that is late moves it less
/// than the first and the last alone would. `None` for fewer than three.
pub(crate) fn rate(stamps_ns: &[u64]) -> Option<f64> {
    let first = *stamps_ns.first()?;
    let count = stamps_ns.len() as f64;
    if stamps_ns.len() < 3 {
        return None;
    }
    let middle = (count - 1.0) / 2.0;
    let times = || stamps_ns.iter().map(|stamp| stamp.saturating_sub(first) as f64);
    let mean = times().sum::<f64>() / count;
    let (mut with, mut alone) = (0.0, 0.0);
    for (number, time) in times().enumerate() {
        let from_middle = number as f64 - middle;
        with += from_middle * (time - mean);
        alone += from_middle * from_middle;
    }
    (with > 0.0).then(|| alone / with * 1e9)
}

/// Parts per million by which `is` differs from `asked`.
pub(crate) fn error_ppm(is: f64, asked: f64) -> f64 {
    (is - asked) / asked * 1e6
}

/// Length of the bins for sends at a rate: a millisecond or an interval, whichever is longer.
pub(crate) fn bin_ns(rate: u32) -> u64 {
    (1_000_000_000 / u64::from(rate.max(1))).max(1_000_000)
}

/// Variance of the stamps' counts in bins of that length, divided by their mean: 0 for an even stream, 1
/// for one at random. The best of sixteen places for the first bin, so that nobody is charged for where
/// the bins happen to lie; the first and the last bin are left out.
pub(crate) fn dispersion(stamps_ns: &[u64], bin_ns: u64) -> Option<f64> {
    const PLACES: u64 = 16;
    let (first, last) = (*stamps_ns.first()?, *stamps_ns.last()?);
    let bins = usize::try_from((last - first) / bin_ns.max(1)).ok()?;
    if bins < 4 {
        return None;
    }
    let at = |place: u64| {
        let begin = first + bin_ns * place / PLACES;
        let mut counts = vec![0_u32; bins - 1];
        for stamp in stamps_ns.iter().filter_map(|stamp| stamp.checked_sub(begin)) {
            let bin = usize::try_from(stamp / bin_ns).unwrap_or(usize::MAX);
            if let Some(count) = counts.get_mut(bin) {
                *count += 1;
            }
        }
        let size = counts.len() as f64;
        let mean = counts.iter().map(|count| f64::from(*count)).sum::<f64>() / size;
        let square = |count: &u32| (f64::from(*count) - mean).powi(2);
        counts.iter().map(square).sum::<f64>() / size / mean.max(f64::MIN_POSITIVE)
    };
    (0..PLACES).map(at).min_by(f64::total_cmp)
}

/// The value that so many of a thousand do not exceed (nearest rank); 0 of none.
pub(crate) fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Median, 99th percentile and largest.
pub(crate) fn three(mut all: Vec<f64>) -> [f64; 3] {
    all.sort_by(f64::total_cmp);
    [500, 990, 1_000].map(|per_mille| quantile(&all, per_mille))
}

/// What a server that stood still for `frozen` of `length` seconds, at an even rate, does to the `p`th
/// quantile of the latencies; `None` where the quantile is not one of those who waited.
pub(crate) fn frozen_quantile(p: f64, frozen: f64, length: f64) -> Option<f64> {
    let waited = frozen - (1.0 - p) * length;
    (waited > 0.0 && waited <= frozen).then_some(waited)
}

#[cfg(test)]
mod tests {
    use super::{dispersion, error_ppm, frozen_quantile, quantile, rate, three};

    fn even(count: u64, step_ns: u64) -> Vec<u64> {
        (0..count).map(|n| 7_000_000_000 + n * step_ns).collect()
    }

    #[test]
    fn the_rate_of_an_even_stream_is_exact_and_one_late_send_hardly_moves_it() {
        let mut stamps = even(10_001, 1_000_000);
        assert!((rate(&stamps).unwrap() - 1_000.0).abs() < 1e-6);
        *stamps.last_mut().unwrap() += 5_000_000;
        let error = error_ppm(rate(&stamps).unwrap(), 1_000.0);
        assert!((-1.0..0.0).contains(&error), "{error} ppm");
        assert_eq!(rate(&stamps[..2]), None);
    }

    #[test]
    fn even_streams_have_no_dispersion_and_clumps_have_much() {
        for step in [100_000, 200_000, 1_000_000, 10_000_000] {
            let stamps = even(2_000, step);
            let spread = dispersion(&stamps, step.max(1_000_000)).unwrap();
            assert!(spread < 1e-9, "{spread} at {step} ns");
        }
        // Ten at once every ten milliseconds.
        let clumps: Vec<u64> = (0..2_000).map(|n| n / 10 * 10_000_000).collect();
        assert!(dispersion(&clumps, 1_000_000).unwrap() > 8.0);
        assert_eq!(dispersion(&even(3, 1_000_000), 1_000_000), None);
    }

    #[test]
    fn bins_may_begin_anywhere() {
        // Each send is late by up to 400 us: none leaves its millisecond, wherever that begins.
        let late = |n: u64| n * 1_000_000 + n * 7_919 % 400_000;
        let stamps: Vec<u64> = (0..1_000).map(late).collect();
        assert!(dispersion(&stamps, 1_000_000).unwrap() < 1e-9);
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let all: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(three(all.clone()).map(f64::to_bits), [100.0, 198.0, 200.0].map(f64::to_bits));
        assert_eq!((quantile(&all, 0), quantile(&[], 500)), (1.0, 0.0));
    }

    #[test]
    fn a_freeze_of_two_seconds_in_twenty_is_the_slowest_tenth() {
        assert_eq!(frozen_quantile(0.85, 2.0, 20.0), None);
        let p95 = frozen_quantile(0.95, 2.0, 20.0).unwrap();
        assert!((p95 - 1.0).abs() < 1e-9, "{p95}");
    }
}
