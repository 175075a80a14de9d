//! How far chance alone can move a share that was counted.
//!
//! The score test of Wilson (1927): a share is in the interval when what was counted is within z
//! standard deviations of it. It knows nothing of requests.

/// Square of the two-sided 99.9 % quantile of the normal distribution.
const Z2: f64 = 10.827_566_170_662_9;

/// All of it, basis points.
const WHOLE: u16 = 10_000;

/// True when `hits` of `of` may come of a share of `wanted_bp` by chance alone.
///
/// The same as asking whether the interval holds the share, and exact at its ends: with no chance
/// or with certainty, a single answer from the wrong side is too many.
pub(crate) fn fits(hits: u64, of: u64, wanted_bp: u16) -> bool {
    let (n, p) = (of as f64, f64::from(wanted_bp) / f64::from(WHOLE));
    let away = hits as f64 - n * p;
    away * away <= Z2 * n * p * (1.0 - p)
}

/// The share counted and the ends of its interval, basis points; none without any.
pub(crate) fn interval(hits: u64, of: u64) -> Option<[u16; 3]> {
    if of == 0 {
        return None;
    }
    let n = of as f64;
    let p = hits as f64 / n;
    let scale = 1.0 + Z2 / n;
    let middle = (p + Z2 / (2.0 * n)) / scale;
    let half = (Z2 * (p * (1.0 - p) / n + Z2 / (4.0 * n * n))).sqrt() / scale;
    // Rounding must not claim none or all where one answer says otherwise.
    let least = u16::from(hits > 0);
    let most = WHOLE - u16::from(hits < of);
    let bp = |share: f64| basis_points(share).clamp(least, most);
    Some([bp(p), basis_points(middle - half).clamp(least, WHOLE), bp(middle + half)])
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "kept between none and all first"
)]
fn basis_points(share: f64) -> u16 {
    (share.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u16
}

#[cfg(test)]
mod tests {
    use super::{fits, interval};

    #[test]
    fn the_interval_is_wilsons() {
        // From the formula with z = 3.290527, worked out apart from this code.
        assert_eq!(interval(500, 2_000), Some([2_500, 2_195, 2_831]));
        assert_eq!(interval(10, 40), Some([2_500, 964, 5_101]));
        assert_eq!(interval(0, 30), Some([0, 0, 2_652]));
        assert_eq!(interval(30, 30), Some([10_000, 7_348, 10_000]));
        assert_eq!(interval(0, 0), None);
    }

    #[test]
    fn a_share_fits_when_the_interval_holds_it() {
        for (hits, of) in [(500, 2_000), (618, 1_980), (7, 31), (1, 900), (899, 900)] {
            let [_, low, high] = interval(hits, of).unwrap();
            for wanted in 1..10_000 {
                let held = (low..=high).contains(&wanted);
                let edge = wanted.abs_diff(low) <= 1 || wanted.abs_diff(high) <= 1;
                assert!(edge || held == fits(hits, of, wanted), "{hits} of {of}: {wanted}");
            }
        }
    }

    #[test]
    fn none_and_all_take_no_exception() {
        assert!(fits(0, 5_000_000, 0) && fits(5_000_000, 5_000_000, 10_000));
        assert!(!fits(1, 5_000_000, 0) && !fits(4_999_999, 5_000_000, 10_000));
        assert_eq!(interval(4_999_999, 5_000_000).unwrap()[0], 9_999);
    }
}
