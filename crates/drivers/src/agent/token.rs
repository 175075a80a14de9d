//! What an agent of Consul wants to be shown, and where it is found.
//!
//! It is written nowhere, and nothing of it is ever told.

use std::fmt;

use model::{Fault, TokenPlace};

/// What an agent wants to be shown; it is never written anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes it as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The field of a request that shows it.
    pub(super) fn line(&self) -> String {
        format!("X-Consul-Token: {}\r\n", self.0)
    }

    /// Takes it from where it is. Nothing of it is shown.
    pub fn read(place: &TokenPlace) -> Result<Self, Fault> {
        let (text, shown) = match place {
            TokenPlace::Variable(name) => {
                (std::env::var(name).ok(), format!("the variable {name}"))
            }
            TokenPlace::File(path) => {
                (std::fs::read_to_string(path).ok(), path.display().to_string())
            }
        };
        let text = text.as_deref().map(str::trim).unwrap_or_default();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self::new(text));
        }
        let what =
            format!("{shown}, which should hold Consul's token, is not there, empty, or no token");
        Err(Fault::environment(what).help("set it where `cutover` is started, or remove `token`"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new("secret-of-ours")), "Token");
    }
}
