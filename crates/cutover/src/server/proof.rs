//! What a server is shown of who asks it: a bearer token, or a name and a password.
//!
//! Looked up each time that it is shown, and kept nowhere. Nothing of it is ever told, also where a server
//! says it again: [`Proof::hidden`].

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use model::TokenPlace;

use crate::config::Login;

/// A longer one is none.
const LONGEST: u64 = 64 << 10;

/// It, ready to be sent.
pub(super) struct Proof {
    header: HeaderValue,
    /// What nobody may read.
    secrets: Vec<String>,
}

impl Proof {
    /// Looks it up; in words that follow a name of the server, why it is not there. Reads a file.
    pub(super) fn of(login: &Login) -> Result<Self, String> {
        match login {
            Login::Token(place) => {
                let token = secret(place, "token")?;
                Self::new(&format!("Bearer {token}"), vec![token], place)
            }
            Login::Password { user, place } => {
                let password = secret(place, "password")?;
                let both = STANDARD.encode(format!("{user}:{password}"));
                Self::new(&format!("Basic {both}"), vec![both, password], place)
            }
        }
    }

    fn new(header: &str, secrets: Vec<String>, place: &TokenPlace) -> Result<Self, String> {
        let header = HeaderValue::try_from(header);
        let mut header =
            header.map_err(|_| format!("is sent nothing: {} holds no token", shown(place)))?;
        header.set_sensitive(true);
        Ok(Self { header, secrets })
    }

    /// The value of `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// What a server said, without anything of what it was shown.
    pub(super) fn hidden(shown: Option<&Self>, said: String) -> String {
        let secrets = shown.into_iter().flat_map(|proof| &proof.secrets);
        secrets.fold(said, |said, secret| said.replace(secret.as_str(), "[hidden]"))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof")
    }
}

/// The secret that is there, without the end of its line.
fn secret(place: &TokenPlace, what: &str) -> Result<String, String> {
    let text = match place {
        TokenPlace::Variable(name) => std::env::var(name).map_err(|_| {
            format!("is sent nothing: the variable {name} with its {what} is not set")
        })?,
        TokenPlace::File(path) => {
            let mut text = String::new();
            let read =
                File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
            read.map_err(|e| {
                format!("is sent nothing: its {what} cannot be read from {}: {e}", path.display())
            })?;
            text
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("is sent nothing: {} holds no {what}", shown(place)));
    }
    Ok(text.to_owned())
}

fn shown(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Variable(name) => name.clone(),
        TokenPlace::File(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use model::TokenPlace;

    use super::Proof;
    use crate::config::Login;

    #[test]
    fn a_token_or_a_password_is_shown_to_the_server_and_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let place = TokenPlace::File(path.clone());
        let token = Login::Token(place.clone());
        let password = Login::Password { user: "Aladdin".to_owned(), place };
        let why = Proof::of(&token).unwrap_err();
        assert!(why.starts_with("is sent nothing: its token cannot be read from /"), "{why}");
        std::fs::write(&path, "open sesame\n").unwrap();
        let proof = Proof::of(&password).unwrap();
        // As in RFC 7617.
        assert_eq!(proof.header().to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let said = "no `open sesame`, nor QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned();
        assert_eq!(Proof::hidden(Some(&proof), said), "no `[hidden]`, nor [hidden]");
        assert_eq!(format!("{proof:?} {:?}", proof.header()), "Proof Sensitive");
        assert_eq!(Proof::of(&token).unwrap().header().to_str().unwrap(), "Bearer open sesame");
        for none in ["", "\n", "two\nlines"] {
            std::fs::write(&path, none).unwrap();
            let why = Proof::of(&token).unwrap_err();
            assert!(why.ends_with("secret holds no token") && !why.contains("two"), "{why}");
        }
        let unset = Login::Token(TokenPlace::Variable("NO_SUCH_TOKEN".to_owned()));
        let why = Proof::of(&unset).unwrap_err();
        assert_eq!(why, "is sent nothing: the variable NO_SUCH_TOKEN with its token is not set");
    }
}
