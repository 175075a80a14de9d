//! How many units without a single event show that events are rarer than a limit.
//!
//! What follows from that is decided in `comparison`.

/// As many units of the candidate, all of them without an event, show that less than `limit` of them
/// are events, at a chance of error of `alpha`: the e-value `(1 - limit)^-n` has reached `1 / alpha`.
/// One event ends it for good.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of units; what does not fit is out of reach"
)]
pub fn clean_units(limit: f64, alpha: f64) -> u64 {
    (-alpha.ln() / -(-limit).ln_1p()).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::clean_units;

    #[test]
    fn known_answers() {
        for (limit, alpha, units) in [
            (0.01, 0.05, 299),
            (0.01, 0.01, 459),
            (0.001, 0.05, 2_995),
            (0.001, 0.01, 4_603),
            (0.0001, 0.05, 29_956),
            (0.0001, 0.01, 46_050),
        ] {
            assert_eq!(clean_units(limit, alpha), units);
        }
        assert_eq!(clean_units(0.0, 0.01), u64::MAX);
    }
}
