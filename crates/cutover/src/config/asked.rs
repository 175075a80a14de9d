//! Whom a metric asks, as it is written: a Prometheus, or a program.
//!
//! No parsing here, and no secret: of those only where they are.

use std::fmt;
use std::path::PathBuf;

use model::TokenPlace;

/// Who is asked for the value of a metric. `{version}` and `{stable}` stand for the versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A Prometheus, or what speaks like one.
    Prometheus(Prometheus),
    /// A program: its last line is the value, or its status says whether all is well.
    Command(Vec<String>),
}

/// A Prometheus, and what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prometheus {
    /// `http://` or `https://`, `host[:port][/prefix]`, without a slash at its end.
    pub(crate) url: String,
    /// In its language.
    pub(crate) query: String,
    /// The file with the certificates that are trusted, PEM; `None`: those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// What it is shown of who asks.
    pub(crate) login: Option<Login>,
}

/// What a server is shown of who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// A bearer token.
    Token(TokenPlace),
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// Where the password is.
        place: TokenPlace,
    },
}

impl Login {
    /// Where the secret of it is.
    pub(crate) const fn place(&self) -> &TokenPlace {
        match self {
            Self::Token(place) | Self::Password { place, .. } => place,
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("the token of ")?,
            Self::Password { user, .. } => write!(f, "`{user}` with the password of ")?,
        }
        match self.place() {
            TokenPlace::Variable(name) => write!(f, "the variable {name}"),
            TokenPlace::File(path) => write!(f, "{}", path.display()),
        }
    }
}
