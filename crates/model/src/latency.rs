//! How long requests take, in buckets fine enough to compare releases by.
//!
//! Eight buckets for each doubling, so a bound is at most an eighth off. Bounds only; nothing is counted
//! here.

/// How many buckets there are; the last one has no upper bound.
pub const BUCKETS: usize = 200;

/// The bucket of a time, us.
pub const fn bucket(us: u64) -> usize {
    if us < 8 {
        return (us & 7) as usize;
    }
    let octave = us.ilog2() as usize;
    let eighth = ((us >> (octave - 3)) & 7) as usize;
    let at = (octave - 2) * 8 + eighth;
    if at < BUCKETS { at } else { BUCKETS - 1 }
}

/// The first time beyond a bucket, us; `None` behind the last one.
pub const fn bound_us(bucket: usize) -> Option<u64> {
    let next = bucket + 1;
    if next < 8 {
        return Some(next as u64);
    }
    if next >= BUCKETS {
        return None;
    }
    Some((8 + (next % 8) as u64) << (next / 8 - 1))
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, bound_us, bucket};

    #[test]
    fn buckets_touch_and_the_last_has_no_end() {
        for at in 0..BUCKETS - 1 {
            let bound = bound_us(at).unwrap();
            assert_eq!((bucket(bound - 1), bucket(bound)), (at, at + 1));
        }
        assert_eq!((bucket(u64::MAX), bound_us(BUCKETS - 1)), (BUCKETS - 1, None));
        assert!(bound_us(BUCKETS - 2).unwrap() > 120_000_000, "two minutes are told apart");
    }
}
