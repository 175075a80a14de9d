//! From when to when a certificate is valid: the one thing about it that rustls does not tell.
//!
//! A walk through DER (X.690) along the beginning of a certificate (RFC 5280 section 4.1) and no
//! further. It checks no signature.

use std::ops::Range;

use time::{Date, Month};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Validity of a certificate, seconds since 1970; `None` when it is no certificate.
pub(super) fn of(certificate: &[u8]) -> Option<Range<u64>> {
    let mut outer = certificate;
    let mut content = take(&mut outer).filter(|(tag, _)| *tag == SEQUENCE)?.1;
    let mut content = take(&mut content).filter(|(tag, _)| *tag == SEQUENCE)?.1;
    if content.first() == Some(&VERSION) {
        take(&mut content)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        take(&mut content)?;
    }
    let mut validity = take(&mut content).filter(|(tag, _)| *tag == SEQUENCE)?.1;
    let start = instant(take(&mut validity)?)?;
    let end = instant(take(&mut validity)?)?;
    Some(start..end)
}

/// Takes one element; gives its tag and content.
fn take<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let bytes = usize::from(first & 0x7f);
        let (digits, behind) = rest.split_at_checked(bytes).filter(|_| (1..=3).contains(&bytes))?;
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    *input = behind;
    Some((tag, content))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; what lies before 1970 counts as 1970.
fn instant((tag, text): (u8, &[u8])) -> Option<u64> {
    let digits = text.strip_suffix(b"Z").filter(|text| text.iter().all(u8::is_ascii_digit))?;
    let number =
        |range: Range<usize>| digits[range].iter().fold(0, |sum, d| sum * 10 + u32::from(d - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => (number(0..2) + if number(0..2) < 50 { 2000 } else { 1900 }, 2),
        (GENERALIZED_TIME, 14) => (number(0..4), 4),
        _ => return None,
    };
    let part = |at: usize| u8::try_from(number(rest + at..rest + at + 2)).ok();
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, part(2)?).ok()?;
    let moment = date.with_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(u64::try_from(moment.assume_utc().unix_timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::of;

    #[test]
    fn the_validity_is_what_the_certificate_says() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.test".into()]).unwrap();
        // The end is beyond what the short form of a time can say.
        params.not_before = date_time_ymd(2001, 2, 3);
        params.not_after = date_time_ymd(2051, 2, 3);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        assert_eq!(of(&der), Some(981_158_400..2_558_995_200));
        for end in 0..der.len().min(120) {
            assert_eq!(of(&der[..end]), None, "{end} bytes");
        }
    }
}
