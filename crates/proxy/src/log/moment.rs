//! Moments as the access log writes them, in UTC with milliseconds.
//!
//! The day and second of the last one are kept as text: most requests of a thread share them. It reads no
//! clock.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes moments of one thread.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    second: Option<u64>,
    iso: String,
    common: String,
}

impl Moments {
    /// As RFC 3339 says: `2026-11-21T09:30:00.125Z`.
    pub(crate) fn iso(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        let ms = self.tell(at);
        out.extend_from_slice(self.iso.as_bytes());
        let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or(0);
        out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
    }

    /// As common web servers do: `21/Nov/2026:09:30:00 +0000`.
    pub(crate) fn common(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        self.tell(at);
        out.extend_from_slice(self.common.as_bytes());
    }

    /// Sees to the texts of that second; gives the milliseconds in it.
    fn tell(&mut self, at: SystemTime) -> u32 {
        // A clock before 1970 is shown as 1970.
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
            let now =
                OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let (year, month, day) = now.to_calendar_date();
            let (hour, minute, second) = now.to_hms();
            let (number, name) = (u8::from(month), MONTHS[usize::from(u8::from(month)) - 1]);
            self.iso = format!("{year:04}-{number:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
            self.common =
                format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000");
        }
        since.subsec_millis()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Moments;

    #[test]
    fn moments_are_written_in_utc() {
        let mut moments = Moments::default();
        let mut told = |ms: u64| {
            let (mut iso, mut common) = (Vec::new(), Vec::new());
            moments.iso(&mut iso, UNIX_EPOCH + Duration::from_millis(ms));
            moments.common(&mut common, UNIX_EPOCH + Duration::from_millis(ms));
            (String::from_utf8(iso).unwrap(), String::from_utf8(common).unwrap())
        };
        assert_eq!(
            told(0),
            ("1970-01-01T00:00:00.000Z".into(), "01/Jan/1970:00:00:00 +0000".into())
        );
        assert_eq!(told(1_709_210_096_007).0, "2024-02-29T12:34:56.007Z");
        assert_eq!(told(1_709_210_096_999).0, "2024-02-29T12:34:56.999Z");
        assert_eq!(
            told(1_735_689_599_123),
            ("2024-12-31T23:59:59.123Z".into(), "31/Dec/2024:23:59:59 +0000".into())
        );
    }
}
