//! Requests that go to a certain release because of what they carry, whatever its weight.
//!
//! A mark is checked at birth, because it ends up in the configuration of routers. Reading requests
//! is the routers' own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};
use crate::fleet::ReleaseId;

/// Longest name of a header or cookie, and longest value, bytes.
const NAME_MAX: usize = 64;
const VALUE_MAX: usize = 256;

/// What of a request is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// The header of this name; in a [`Mark`] in lower case.
    Header(String),
    /// The cookie of exactly this name.
    Cookie(String),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

/// What a request must carry: a header or cookie with exactly one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Mark {
    on: Selector,
    value: String,
}

/// A mark as it travels.
#[derive(Serialize, Deserialize)]
struct Unchecked {
    on: Selector,
    value: String,
}

/// Sends requests that carry a mark to one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What such requests carry.
    pub mark: Mark,
    /// Where they go, whatever its weight; without a pool that serves the rule matches nothing.
    pub release: ReleaseId,
}

impl Mark {
    /// Checks and takes it: the name is a token of at most 64 bytes, the value printable ASCII that a
    /// request can hold, at most 256 bytes. Names of headers become lower case.
    pub fn new(on: Selector, value: impl Into<String>) -> Result<Self, Fault> {
        let value = value.into();
        let on = match on {
            Selector::Header(name) => Selector::Header(name.to_ascii_lowercase()),
            cookie @ Selector::Cookie(_) => cookie,
        };
        check_name(&on)?;
        check_value(&on, &value)?;
        Ok(Self { on, value })
    }

    /// What of a request is looked at.
    pub const fn on(&self) -> &Selector {
        &self.on
    }

    /// The only value that matches.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl TryFrom<Unchecked> for Mark {
    type Error = Fault;
    fn try_from(mark: Unchecked) -> Result<Self, Fault> {
        Self::new(mark.on, mark.value)
    }
}

impl From<Mark> for Unchecked {
    fn from(mark: Mark) -> Self {
        Self { on: mark.on, value: mark.value }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.on, self.value)
    }
}

/// A token of RFC 9110 section 5.6.2.
fn check_name(on: &Selector) -> Result<(), Fault> {
    let (sort, name) = match on {
        Selector::Header(name) => ("header", name),
        Selector::Cookie(name) => ("cookie", name),
    };
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(tchar) {
        return Ok(());
    }
    let what = format!("`{}` cannot be the name of a {sort}", name.escape_debug());
    Err(Fault::new(Kind::Config, what).help(format!(
        "use letters, digits and `! # $ % & ' * + - . ^ _ | ~`, at most {NAME_MAX} characters"
    )))
}

fn check_value(on: &Selector, value: &str) -> Result<(), Fault> {
    let (sort, help) = match on {
        Selector::Header(_) => ("header", "use printable ASCII without blanks at its ends"),
        Selector::Cookie(_) => {
            ("cookie", "use printable ASCII without `;` and without blanks at its ends")
        }
    };
    let parts = matches!(on, Selector::Cookie(_)) && value.contains(';');
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if printable && !parts && value.trim() == value && (1..=VALUE_MAX).contains(&value.len()) {
        return Ok(());
    }
    let what = format!("`{}` cannot be the value of a {sort}", value.escape_debug());
    Err(Fault::new(Kind::Config, what).help(format!("{help}, 1 to {VALUE_MAX} characters")))
}

#[cfg(test)]
mod tests {
    use super::{Mark, Selector};

    fn header(name: &str, value: &str) -> Result<Mark, crate::Fault> {
        Mark::new(Selector::Header(name.into()), value)
    }

    fn cookie(name: &str, value: &str) -> Result<Mark, crate::Fault> {
        Mark::new(Selector::Cookie(name.into()), value)
    }

    #[test]
    fn what_no_request_can_carry_is_refused() {
        for name in ["", "x canary", "x:y", "é", "a\r\nb", "a\"", "a=b", &"x".repeat(65)] {
            assert!(header(name, "1").is_err() && cookie(name, "1").is_err(), "{name:?}");
        }
        for value in ["", " a", "a ", "a\tb", "a\r\nx: y", "\u{7f}", "é", &"v".repeat(257)] {
            assert!(header("x", value).is_err() && cookie("x", value).is_err(), "{value:?}");
        }
        assert!(cookie("x", "a;b").is_err() && header("x", "a;b, c").is_ok());
        assert!(cookie("x", "\"quoted\"").is_ok());
    }

    #[test]
    fn headers_are_in_lower_case_and_cookies_as_written_also_when_read_back() {
        let mark = header("X-Canary", "New").unwrap();
        assert_eq!(mark.to_string(), "header x-canary = New");
        assert_eq!(cookie("Canary", "1").unwrap().on(), &Selector::Cookie("Canary".into()));
        let text = serde_json::to_string(&mark).unwrap();
        assert_eq!(text, r#"{"on":{"header":"x-canary"},"value":"New"}"#);
        assert_eq!(serde_json::from_str::<Mark>(&text).unwrap(), mark);
        assert!(serde_json::from_str::<Mark>(&text.replace("New", "a\\nb")).is_err());
    }
}
