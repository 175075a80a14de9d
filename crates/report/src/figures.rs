//! Figures and times for people.
//!
//! It rounds for reading only; the report itself keeps exact numbers.

use time::OffsetDateTime;

/// 12000 as `12,000`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 request`, `2,000 requests`.
pub(crate) fn several(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
}

/// A duration: `850 µs`, `3.1 ms`, `38 ms`, `1.4 s`, `31 s`, `12 min 3 s`.
pub(crate) fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..9_950 if us.is_multiple_of(1_000) => format!("{} ms", us / 1_000),
        1_000..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..9_950_000 => format!("{:.1} s", us as f64 / 1e6),
        9_950_000..120_000_000 => format!("{:.0} s", us as f64 / 1e6),
        _ => format!("{} min {} s", us / 60_000_000, us / 1_000_000 % 60),
    }
}

/// A duration that is longer than a limit, and reads so: `500.3 ms` beyond 500 ms.
pub(crate) fn over(us: u64, limit_us: u64) -> String {
    if us > limit_us && span(us) == span(limit_us) { exactly(us) } else { span(us) }
}

/// A duration as it was measured: `1,040 ms`, `500.3 ms`.
pub(crate) fn exactly(us: u64) -> String {
    let whole = count(us / 1_000);
    match us % 1_000 {
        0 => format!("{whole} ms"),
        rest => format!("{whole}.{} ms", format!("{rest:03}").trim_end_matches('0')),
    }
}

/// A duration, or a dash.
pub(crate) fn span_or_dash(us: Option<u64>) -> String {
    us.map_or_else(|| "–".to_owned(), span)
}

/// Parts per billion as per cent with two significant digits: 250,000 as `0.025 %`.
pub(crate) fn percent_of_ppb(ppb: u64) -> String {
    let percent = ppb as f64 / 1e7;
    let decimals = match ppb {
        100_000_000.. => 0,
        10_000_000.. => 1,
        1_000_000.. => 2,
        100_000.. => 3,
        10_000.. => 4,
        _ => 5,
    };
    let text = format!("{percent:.decimals$}");
    let short = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short} %")
}

/// Basis points as per cent: 2,500 as `25.00%`.
pub(crate) fn percent(basis_points: u16) -> String {
    format!("{}.{:02}%", basis_points / 100, basis_points % 100)
}

/// UTC time of day with milliseconds: `14:02:44.019`.
pub(crate) fn clock_ms(t0_unix_ms: u64, at_us: i64) -> String {
    wall(t0_unix_ms, at_us)
        .map_or_else(|| format!("{at_us} µs"), |t| format!("{}.{:03}", hms(t), t.millisecond()))
}

/// UTC time of day: `14:02:44`.
pub(crate) fn clock(t0_unix_ms: u64, at_us: i64) -> String {
    wall(t0_unix_ms, at_us).map_or_else(|| format!("{at_us} µs"), hms)
}

/// UTC time of day, as finely as it takes to tell it: `14:02:44`, `14:02:44.500`.
pub(crate) fn moment(t0_unix_ms: u64, at_us: i64) -> String {
    match wall(t0_unix_ms, at_us) {
        Some(t) if t.nanosecond() == 0 => hms(t),
        _ => clock_ms(t0_unix_ms, at_us),
    }
}

/// UTC date: `2026-11-21`.
pub(crate) fn date(t0_unix_ms: u64, at_us: i64) -> String {
    wall(t0_unix_ms, at_us).map_or_else(
        || "unknown day".to_owned(),
        |t| format!("{:04}-{:02}-{:02}", t.year(), u8::from(t.month()), t.day()),
    )
}

/// Joins as English does: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn hms(t: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
}

fn wall(t0_unix_ms: u64, at_us: i64) -> Option<OffsetDateTime> {
    let ns = i128::from(t0_unix_ms) * 1_000_000 + i128::from(at_us) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(ns).ok()
}

/// `1 request was answered`, `20 requests were answered`.
pub(crate) fn were_answered(requests: u64) -> String {
    let were = if requests == 1 { "was" } else { "were" };
    format!("{} {were} answered", several(requests, "request"))
}

#[cfg(test)]
mod tests {
    use super::{clock_ms, count, date, list, moment, over, percent_of_ppb, span};

    #[test]
    fn figures_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(span(850), "850 µs");
        assert_eq!(span(3_140), "3.1 ms");
        assert_eq!(span(5_000), "5 ms");
        assert_eq!(span(9_960), "10 ms");
        assert_eq!(span(38_400), "38 ms");
        assert_eq!(span(999_600), "1.0 s");
        assert_eq!(span(723_000_000), "12 min 3 s");
        assert_eq!(over(500_300, 500_000), "500.3 ms");
        assert_eq!(over(1_040_020, 1_000_000), "1,040.02 ms");
        assert_eq!(over(499_900, 500_000), "500 ms");
        assert_eq!(over(700_000, 500_000), "700 ms");
        assert_eq!(percent_of_ppb(250_000), "0.025 %");
        assert_eq!(percent_of_ppb(500_000), "0.05 %");
        assert_eq!(percent_of_ppb(0), "0 %");
        assert_eq!(percent_of_ppb(300_000_000), "30 %");
    }

    #[test]
    fn times_are_utc_and_absurd_ones_do_no_harm() {
        assert_eq!(clock_ms(1_795_255_364_000, 19_000), "10:02:44.019");
        assert_eq!(moment(1_795_255_364_000, 19_000_000), "10:03:03");
        assert_eq!(moment(1_795_255_364_000, 19_500_000), "10:03:03.500");
        assert_eq!(date(1_795_255_364_000, -86_400_000_000), "2026-11-20");
        assert_eq!(clock_ms(u64::MAX, i64::MAX), format!("{} µs", i64::MAX));
    }

    #[test]
    fn lists_end_with_and() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&words), "a, b and c");
        assert_eq!(list(&words[..1]), "a");
    }
}
