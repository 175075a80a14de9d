//! The time that stands in a line of a log: `2026-11-21T14:02:31.204Z`, with a blank in place of the T,
//! with an offset, or with none (then it is UTC), near its beginning. Other forms are not read.

#[cfg(test)]
mod fuzz;

use std::time::{SystemTime, UNIX_EPOCH};

/// A time of day further into a line is part of what it says.
const WITHIN: usize = 80;
/// `2026-11-21T14:02:31`
const LENGTH: usize = 19;

/// The time of a line, ms since 1970; `None` when it does not say.
pub(super) fn of(line: &[u8]) -> Option<u64> {
    let near = &line[..line.len().min(WITHIN)];
    (0..near.len().saturating_sub(LENGTH - 1)).find_map(|at| read(&line[at..]))
}

/// A system time, ms since 1970.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn read(text: &[u8]) -> Option<u64> {
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let head = text.get(..LENGTH)?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == other,
    };
    if !head.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        head[from..to].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    let month = u8::try_from(number(5, 7)).ok().and_then(|n| time::Month::try_from(n).ok())?;
    let day = u8::try_from(number(8, 10)).ok()?;
    let date =
        time::Date::from_calendar_date(i32::try_from(number(0, 4)).ok()?, month, day).ok()?;
    let clock = i64::from(number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19));
    let seconds = date.midnight().assume_utc().unix_timestamp() + clock;
    let (ms, rest) = fraction(&text[LENGTH..]);
    let seconds = seconds - offset(rest);
    u64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(ms)
}

/// Milliseconds, and what follows.
fn fraction(text: &[u8]) -> (u64, &[u8]) {
    let Some((b'.' | b',', digits)) = text.split_first() else { return (0, text) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let first = digits[..length].iter().chain(b"000").take(3);
    let ms = first.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (ms, &digits[length..])
}

/// Seconds east of UTC.
fn offset(text: &[u8]) -> i64 {
    let Some((sign @ (b'+' | b'-'), rest)) = text.split_first() else { return 0 };
    let digits: Vec<i64> = rest
        .iter()
        .filter(|byte| **byte != b':')
        .map_while(|byte| byte.is_ascii_digit().then(|| i64::from(byte - b'0')))
        .take(4)
        .collect();
    let [h1, h2, m1, m2] = digits[..] else { return 0 };
    let seconds = (h1 * 10 + h2) * 3600 + (m1 * 10 + m2) * 60;
    if *sign == b'-' { -seconds } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn times_are_read_in_their_usual_forms() {
        for (line, ms) in [
            ("1970-01-01T00:00:01Z x", Some(1_000)),
            ("1970-01-01 00:00:01.25 x", Some(1_250)),
            ("{\"time\":\"1970-01-02T00:00:00.5+01:00\"}", Some(82_800_500)),
            ("[1970-01-01 00:00:00,007 -0100] x", Some(7)),
            ("1970-01-01T00:00:00-00:30", Some(1_800_000)),
            ("1970-13-01T00:00:00Z", None),
            ("nothing", None),
            ("", None),
            ("1970-01-01", None),
        ] {
            assert_eq!(of(line.as_bytes()), ms, "{line}");
        }
        assert_eq!(of(["x".repeat(90), "1970-01-01T00:00:01Z".into()].concat().as_bytes()), None);
    }
}
