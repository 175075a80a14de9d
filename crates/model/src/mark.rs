//! What of a request sends it to a certain release: a header, a cookie, a query parameter, its source.
//!
//! A mark is checked at birth, because it ends up in the configuration of routers. Reading requests is the
//! routers' own. Which release a marked request goes to is in `rule`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};
use crate::network::Network;

/// Longest name of a header, cookie or parameter, and longest value, bytes.
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
    /// The parameter of exactly this name in the query of the target.
    Query(String),
    /// The client's address, in this range.
    Source(Network),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::Source(network) => write!(f, "source {network}"),
        }
    }
}

/// What its value must be. Of several values any one will do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Exactly this.
    Exactly(String),
    /// It begins with this.
    Prefix(String),
    /// It is there, whatever its value. Sources know nothing else.
    Present,
}

impl Wanted {
    /// True for a value that will do.
    pub fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Exactly(wanted) => wanted.as_bytes() == value,
            Self::Prefix(wanted) => value.starts_with(wanted.as_bytes()),
            Self::Present => true,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Exactly(text) | Self::Prefix(text) => Some(text),
            Self::Present => None,
        }
    }

    /// True when everything that will do for the other will do here.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (Self::Prefix(prefix), Self::Exactly(text) | Self::Prefix(text)) => {
                text.starts_with(prefix.as_str())
            }
            (Self::Exactly(one), Self::Exactly(other)) => one == other,
            _ => false,
        }
    }
}

/// What a request must carry, or be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Mark {
    on: Selector,
    wanted: Wanted,
}

/// A mark as it travels; without value and prefix it only has to be there.
#[derive(Serialize, Deserialize)]
struct Unchecked {
    on: Selector,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
}

impl Mark {
    /// One with exactly this value; see [`Self::of`].
    pub fn new(on: Selector, value: impl Into<String>) -> Result<Self, Fault> {
        Self::of(on, Wanted::Exactly(value.into()))
    }

    /// Checks and takes it: names have at most 64 bytes, those of headers and cookies are tokens;
    /// values are printable ASCII that a request can hold, at most 256 bytes. Names of headers become
    /// lower case. A source has no value.
    pub fn of(on: Selector, wanted: Wanted) -> Result<Self, Fault> {
        let on = match on {
            Selector::Header(name) => Selector::Header(name.to_ascii_lowercase()),
            other => other,
        };
        match &on {
            Selector::Source(_) => check_source(&wanted)?,
            Selector::Header(name) | Selector::Cookie(name) | Selector::Query(name) => {
                check_name(&on, name)?;
                wanted.text().map_or(Ok(()), |text| check_value(&on, text))?;
            }
        }
        Ok(Self { on, wanted })
    }

    /// What of a request is looked at.
    pub const fn on(&self) -> &Selector {
        &self.on
    }

    /// What its value must be.
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// True when every request that carries the other carries this one too.
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.on, &other.on) {
            (Selector::Source(wide), Selector::Source(narrow)) => wide.covers(narrow),
            (one, two) => one == two && self.wanted.covers(&other.wanted),
        }
    }
}

impl TryFrom<Unchecked> for Mark {
    type Error = Fault;
    fn try_from(mark: Unchecked) -> Result<Self, Fault> {
        let wanted = match (mark.value, mark.prefix) {
            (Some(value), None) => Wanted::Exactly(value),
            (None, Some(prefix)) => Wanted::Prefix(prefix),
            (None, None) => Wanted::Present,
            (Some(_), Some(_)) => {
                return Err(Fault::new(Kind::Config, "a mark has a value and a prefix"));
            }
        };
        Self::of(mark.on, wanted)
    }
}

impl From<Mark> for Unchecked {
    fn from(mark: Mark) -> Self {
        let (value, prefix) = match mark.wanted {
            Wanted::Exactly(text) => (Some(text), None),
            Wanted::Prefix(text) => (None, Some(text)),
            Wanted::Present => (None, None),
        };
        Self { on: mark.on, value, prefix }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::Exactly(text) => write!(f, "{} = {text}", self.on),
            Wanted::Prefix(text) => write!(f, "{} = {text}…", self.on),
            Wanted::Present => write!(f, "{}", self.on),
        }
    }
}

/// Nothing but the range counts.
fn check_source(wanted: &Wanted) -> Result<(), Fault> {
    if *wanted == Wanted::Present {
        return Ok(());
    }
    Err(Fault::new(Kind::Config, "a source has no value besides its range")
        .help("leave `value` and `prefix` out"))
}

/// A token of RFC 9110 section 5.6.2; names of parameters may hold any printable ASCII.
fn check_name(on: &Selector, name: &str) -> Result<(), Fault> {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let fits = |byte: u8| match on {
        Selector::Query(_) => byte.is_ascii_graphic(),
        _ => tchar(byte),
    };
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    let (sort, use_these) = match on {
        Selector::Header(_) => ("header", "letters, digits and `! # $ % & ' * + - . ^ _ | ~`"),
        Selector::Query(_) => ("query parameter", "printable ASCII without blanks"),
        _ => ("cookie", "letters, digits and `! # $ % & ' * + - . ^ _ | ~`"),
    };
    let what = format!("`{}` cannot be the name of a {sort}", name.escape_debug());
    let help = format!("use {use_these}, at most {NAME_MAX} characters");
    Err(Fault::new(Kind::Config, what).help(help))
}

fn check_value(on: &Selector, value: &str) -> Result<(), Fault> {
    let (sort, help) = match on {
        Selector::Cookie(_) => {
            ("cookie", "use printable ASCII without `;` and without blanks at its ends")
        }
        Selector::Query(_) => ("query parameter", "use printable ASCII, without percent-encoding"),
        _ => ("header", "use printable ASCII without blanks at its ends"),
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
    use super::{Mark, Selector, Wanted};

    fn header(name: &str, value: &str) -> Result<Mark, crate::Fault> {
        Mark::new(Selector::Header(name.into()), value)
    }

    fn cookie(name: &str, value: &str) -> Result<Mark, crate::Fault> {
        Mark::new(Selector::Cookie(name.into()), value)
    }

    fn source(range: &str) -> Result<Mark, crate::Fault> {
        Mark::of(Selector::Source(range.parse()?), Wanted::Present)
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
        let query = |name: &str| Mark::of(Selector::Query(name.into()), Wanted::Present);
        assert!(query("a[b]").is_ok() && query("a b").is_err() && query("").is_err());
        assert!(source("10.0.0.0/8").is_ok() && source("10.0.0.1/8").is_err());
        let odd = Mark::new(Selector::Source("10.0.0.0/8".parse().unwrap()), "x");
        assert!(odd.is_err());
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
        let begins = Mark::of(Selector::Query("v".into()), Wanted::Prefix("2".into())).unwrap();
        for mark in [begins, source("fd00::/8").unwrap()] {
            let text = serde_json::to_string(&mark).unwrap();
            assert_eq!(serde_json::from_str::<Mark>(&text).unwrap(), mark, "{text}");
        }
    }

    #[test]
    fn a_mark_covers_those_that_ask_for_more() {
        let of = |name: &str, wanted| Mark::of(Selector::Header(name.into()), wanted).unwrap();
        let exactly = |text: &str| Wanted::Exactly(text.into());
        let prefix = |text: &str| Wanted::Prefix(text.into());
        for (one, other, covers) in [
            (Wanted::Present, exactly("a"), true),
            (prefix("a"), exactly("ab"), true),
            (prefix("a"), prefix("ab"), true),
            (exactly("a"), exactly("a"), true),
            (exactly("a"), exactly("b"), false),
            (exactly("a"), prefix("a"), false),
            (prefix("ab"), prefix("a"), false),
            (prefix("a"), Wanted::Present, false),
        ] {
            assert_eq!(of("x", one.clone()).covers(&of("X", other.clone())), covers);
            assert!(!of("x", one).covers(&of("y", other)));
        }
        let (wide, narrow) = (source("10.0.0.0/8").unwrap(), source("10.1.0.0/16").unwrap());
        assert!(wide.covers(&narrow) && !narrow.covers(&wide));
        assert!(!wide.covers(&of("x", Wanted::Present)));
    }
}
