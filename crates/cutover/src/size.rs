//! Sizes as people write them in the configuration: `64KiB`, `10MiB`, `2GiB`. Pure; which sizes make sense
//! where is not known here.
//!
//! A whole number with a unit. `MB` is refused: half of all tools mean 1000 by it and the other half
//! 1024.

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a size, bytes; `None` when it is not one.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == &text[digits..])?;
    text[..digits].parse::<u64>().ok()?.checked_mul(*unit)
}

/// Writes a size so that [`parse`] reads it again, to the byte.
pub(crate) fn show(bytes: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(whole).unwrap_or(&UNITS[3]);
    format!("{}{name}", bytes / unit)
}

/// What was probably meant by a text that is not a size: `10MB`, `10 m`, `1048576`.
pub(crate) fn repair(text: &str) -> Option<u64> {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim_end_matches('b').trim_end_matches('i') {
        "" => "B",
        "k" => "KiB",
        "m" => "MiB",
        "g" => "GiB",
        _ => return None,
    };
    parse(&format!("{}{unit}", &text[..digits]))
}

#[cfg(test)]
mod tests {
    use super::{parse, repair, show};

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in [("0B", 0), ("5B", 5), ("64KiB", 65_536), ("10MiB", 10 << 20)] {
            assert_eq!(parse(text), Some(bytes), "{text}");
            assert_eq!(show(bytes), text);
        }
        for bad in ["", "5", "KiB", "5MB", "5 MiB", "-5B", "1.5GiB", "99999999999999999999B"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(parse("99999999999GiB"), None, "more than there are numbers");
        for (text, bytes) in [("10MB", 10 << 20), ("5 m", 5 << 20), ("42", 42), ("1kb", 1024)] {
            assert_eq!(repair(text), Some(bytes), "{text}");
        }
        assert_eq!(repair("ten"), None);
    }
}
