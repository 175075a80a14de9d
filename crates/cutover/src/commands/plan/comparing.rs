//! When the comparison of both versions by users' requests finds what, as a table.
//!
//! The figures are the server's; here they are rounded for people.

use std::fmt::{self, Write as _};

use model::Weight;

use super::time;
use crate::server::planned::{Compared, Planned, UsersPlanned};

/// More shares than this are not shown one by one.
const SHOWN: usize = 12;

/// What users' own requests show, where they are counted.
pub(super) fn compared(text: &mut String, planned: &Planned) -> fmt::Result {
    let (Some(from), to) = (&planned.from, &planned.to) else { return Ok(()) };
    if planned.compared.is_empty() {
        return Ok(());
    }
    let users = users(planned.users);
    writeln!(text, "\ncompared with {from} by what users meet, every second{users}")?;
    let slow = planned.compared.iter().any(|one| one.slow_requests.is_some());
    let slow = if slow { format!("twice as many over {from}'s p99") } else { String::new() };
    let errors = format!("errors of {to}, none of {from}");
    let head = format!("  share    {errors:<27} 1 % errors against 0.1 %    {slow}");
    writeln!(text, "{}", head.trim_end())?;
    // Of a hundred batches the first and the last ones tell all.
    let all = &planned.compared;
    let hidden = if all.len() > SHOWN { SHOWN / 2..all.len() - SHOWN / 2 } else { 0..0 };
    for (at, one) in all.iter().enumerate() {
        if hidden.contains(&at) {
            if at == hidden.start {
                writeln!(text, "  ... {} more shares ...", hidden.len())?;
            }
            continue;
        }
        let share = Weight::new(one.share).unwrap_or_default().to_string();
        let Compared { errors, requests, requests_ms, slow_requests, slow_ms, .. } = one;
        let found = after(Some(*requests), *requests_ms);
        let line =
            format!("  {share:<8} {errors:<27} {found:<27} {}", after(*slow_requests, *slow_ms));
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

/// ", at 50 requests a second", and whose.
fn users(users: Option<UsersPlanned>) -> String {
    let Some(UsersPlanned { per_second, counted_ms }) = users else {
        return "; how many come is not known".to_owned();
    };
    let rate = figure(per_second);
    counted_ms.map_or_else(
        || {
            format!(
                "; times if they send the prober's {rate} a second: how many come is not known yet"
            )
        },
        |ms| format!(", at {rate} requests a second (theirs of the last {})", seconds(ms)),
    )
}

/// "9,000 requests, 3m".
fn after(requests: Option<u64>, ms: Option<u64>) -> String {
    let Some(requests) = requests else { return String::new() };
    let when = ms.map_or_else(String::new, |ms| format!(", {}", seconds(ms)));
    format!("{} requests{when}", grouped(rounded(requests)))
}

/// To the second from one on.
fn seconds(ms: u64) -> String {
    if ms < 1_000 { time(ms) } else { time((ms + 500) / 1_000 * 1_000) }
}

/// To two digits.
fn rounded(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    (number + unit / 2) / unit * unit
}

/// 12,345,678.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whole from ten on, else to a tenth.
fn figure(rate: f64) -> String {
    let text = if rate < 9.95 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{figure, grouped, rounded, seconds};

    #[test]
    fn figures_are_as_exact_as_they_are_known() {
        assert_eq!([7, 99, 104, 5_263, 1_234_567].map(rounded), [7, 99, 100, 5_300, 1_200_000]);
        assert_eq!([7, 999, 1_000, 1_200_000].map(grouped), ["7", "999", "1,000", "1,200,000"]);
        assert_eq!([0.26, 3.0, 9.96, 1_250.2].map(figure), ["0.3", "3", "10", "1250"]);
        assert_eq!([430, 4_300, 105_777].map(seconds), ["430ms", "4s", "1m46s"]);
    }
}
