//! Ids of runs: what people type, what reports are named after.
//!
//! Whether an id is taken is not known here: the journal refuses the second one.

use model::{Fault, Kind};

/// Eight lower-case letters and digits, without those that look alike.
pub(crate) fn new_run_id() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..8).map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())])).collect()
}

/// An id that somebody else chose: it becomes part of file names.
pub(crate) fn check_run_id(id: String) -> Result<String, Fault> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if (8..=32).contains(&id.len()) && id.bytes().all(plain) {
        return Ok(id);
    }
    let what = format!("`{}` cannot be the id of a run", id.escape_debug());
    Err(Fault::new(Kind::Usage, what).help("use 8 to 32 lower-case letters and digits, or none"))
}

#[cfg(test)]
mod tests {
    use super::{check_run_id, new_run_id};

    #[test]
    fn ids_are_plain() {
        assert!(check_run_id(new_run_id()).is_ok());
        for odd in ["", "short", "../../../etc", "UPPERCASE", &"a".repeat(33)] {
            assert!(check_run_id(odd.to_owned()).is_err(), "{odd}");
        }
    }
}
