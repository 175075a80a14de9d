//! Names that end up in paths, environment variables and headers, so they are checked at birth.
//!
//! Versions *seen in answers* are not of this type: a server may say anything, and those stay plain
//! strings that are escaped where they are shown.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};

const APP_MAX: usize = 40;
const VERSION_MAX: usize = 64;

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the name.
            pub fn new(text: impl Into<String>) -> Result<Self, Fault> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Fault;
            fn try_from(text: String) -> Result<Self, Fault> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Fault;
            fn from_str(text: &str) -> Result<Self, Fault> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

checked_name!(
    /// Name of an app: a lower-case letter, then lower-case letters, digits and `-`, at most 40.
    AppName,
    check_app
);
checked_name!(
    /// Version of a release as the user named it: letters, digits and `. _ + -`, starting with a
    /// letter or digit, at most 64 characters. It is put into commands, paths and headers.
    Version,
    check_version
);

fn check_app(text: &str) -> Result<(), Fault> {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(rest);
    if ok && text.len() <= APP_MAX {
        return Ok(());
    }
    Err(Fault::new(Kind::Usage, format!("`{}` cannot be the name of an app", text.escape_debug()))
        .help("use a lower-case letter, then lower-case letters, digits and `-`, at most 40"))
}

fn check_version(text: &str) -> Result<(), Fault> {
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(rest);
    if ok && text.len() <= VERSION_MAX {
        return Ok(());
    }
    Err(Fault::new(Kind::Usage, format!("`{}` cannot be a version", text.escape_debug())).help(
        "use letters, digits and `. _ + -`, starting with a letter or digit, at most 64 characters",
    ))
}

#[cfg(test)]
mod tests {
    use super::{AppName, Version};

    #[test]
    fn versions_that_would_break_paths_or_headers_are_refused() {
        for bad in ["", "../v2", "v 2", "v2\n", "-v2", "v2;rm", "é", &"9".repeat(65)] {
            assert!(Version::new(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["v2", "1.2.3+build-7_x", "2026-11-21", &"9".repeat(64)] {
            assert!(Version::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn app_names_are_plain_words() {
        assert!(AppName::new("shop-2").is_ok());
        for bad in ["", "Shop", "2shop", "sh/op", "shop_2"] {
            assert!(AppName::new(bad).is_err(), "{bad:?} was taken");
        }
    }
}
