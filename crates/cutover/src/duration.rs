//! Durations as people write them, in the configuration and on the command line: `500ms`, `10s`,
//! `1m30s`. Pure; which durations make sense where is not known here.
//!
//! Whole numbers with units, largest unit first, each unit once. A number without a unit is
//! refused: half of all tools mean seconds by it and the other half milliseconds.

use std::fmt::Write;
use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration; `None` when it is not one.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut total_ms, mut next_unit) = (text, 0_u64, 0);
    while next_unit == 0 || !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters])?;
        if unit < next_unit {
            return None;
        }
        total_ms = total_ms.checked_add(number.checked_mul(UNITS[unit].1)?)?;
        next_unit = unit + 1;
        rest = &rest[letters..];
    }
    Some(Duration::from_millis(total_ms))
}

/// Reads a duration on the command line. More than a day is refused, which keeps every deadline that
/// is made of it far from overflow.
pub(crate) fn argument(text: &str) -> Result<Duration, String> {
    let found = parse(text).ok_or("write it with its unit: 500ms, 10s or 1m30s")?;
    let short = found <= Duration::from_hours(24);
    short.then_some(found).ok_or_else(|| "it may be at most 24h".to_owned())
}

/// Writes a duration so that [`parse`] reads it again, to the millisecond.
pub(crate) fn show(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, ms) in UNITS {
        if left >= ms {
            let _ = write!(text, "{}{unit}", left / ms);
            left %= ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// What was probably meant by a text that is not a duration: `30`, `1.5s`, `10 sec`, `5 minutes`.
/// Without a unit it is seconds or milliseconds, whichever is nearer to what is usual.
pub(crate) fn repair(text: &str, usual: Duration) -> Option<Duration> {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let ms = match &text[digits..] {
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "" => {
            let ratio = |ms: f64| (ms.max(1.0) / usual.as_millis().max(1) as f64).ln().abs();
            if ratio(number) < ratio(number * 1000.0) { 1.0 } else { 1000.0 }
        }
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "ms" | "msec" | "millis" | "milliseconds" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64((number * ms).round() / 1000.0).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::argument;

    #[test]
    fn arguments_have_units_and_a_limit() {
        for (text, ms) in [("500ms", 500), ("2s", 2_000), ("1m", 60_000), ("1m30s", 90_000)] {
            assert_eq!(argument(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "40", "1.5s", "-1s", "2 s", "86400001ms", "99999999999999999999s"] {
            assert!(argument(bad).is_err(), "{bad:?} was taken");
        }
    }
}
