//! The token that the API over TCP asks for. Only a digest of it is kept, and nothing of it is shown.
//!
//! Where it is looked for is the configuration's affair, who is asked for it that of `remote`.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use model::Fault;
use sha2::{Digest as _, Sha256};

use crate::config::TokenPlace;

/// A shorter one could be guessed.
const SHORTEST: usize = 32;
/// A longer one is none.
const LONGEST: usize = 4096;

/// A token, as its digest.
#[derive(Clone, Copy)]
pub(super) struct Token([u8; 32]);

impl Token {
    /// Takes it from where it is.
    pub(super) fn read(place: &TokenPlace) -> Result<Self, Fault> {
        let (text, shown) = match place {
            TokenPlace::Variable(name) => {
                let unset = || {
                    Fault::environment(format!("the variable {name}, which holds the API's token, is not set"))
                        .help(format!("set {name} where `cutover up` is started, such as to the output of `openssl rand -hex 32`"))
                };
                (std::env::var(name).map_err(|_| unset())?, format!("the variable {name}"))
            }
            TokenPlace::File(path) => (from_file(path)?, path.display().to_string()),
        };
        Self::of(text.trim_end_matches(['\r', '\n']), &shown)
    }

    fn of(text: &str, shown: &str) -> Result<Self, Fault> {
        let fits = (SHORTEST..=LONGEST).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(digest(text.as_bytes())));
        }
        Err(Fault::environment(format!("{shown} holds no token of {SHORTEST} characters or more"))
            .help("use visible ASCII characters, such as the output of `openssl rand -hex 32`"))
    }

    /// Whether somebody knows it. Takes as long for a wrong one as for the right one: what is compared are
    /// digests, and all of them.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let given = digest(given);
        self.0.iter().zip(given).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn from_file(path: &Path) -> Result<String, Fault> {
    let shown = path.display();
    let refused = |e: std::io::Error| {
        Fault::environment(format!("the API's token cannot be read from {shown}: {e}"))
            .help("name a file that the user who runs `cutover up` can read")
    };
    let file = File::open(path).map_err(refused)?;
    let mode = file.metadata().map_err(refused)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Fault::environment(format!("others can read the API's token in {shown}"))
            .help(format!("chmod 600 {shown}, and make a new token")));
    }
    let mut text = String::new();
    file.take(LONGEST as u64 + 2).read_to_string(&mut text).map_err(refused)?;
    Ok(text)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::Token;
    use crate::config::TokenPlace;

    const RIGHT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_the_whole_token_is_taken() {
        let token = Token::of(RIGHT, "x").unwrap();
        assert!(token.is(RIGHT.as_bytes()));
        for wrong in
            ["", "0", &RIGHT[1..], &RIGHT[..31], &[RIGHT, "0"].concat(), &RIGHT.to_uppercase()]
        {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_file_with_a_token_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{RIGHT}\n")).unwrap();
        let mode =
            |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = || Token::read(&TokenPlace::File(path.clone()));
        mode(0o640);
        let fault = read().unwrap_err();
        assert!(fault.what.contains("others can read") && !format!("{fault:?}").contains(RIGHT));
        mode(0o600);
        assert!(read().unwrap().is(RIGHT.as_bytes()));
        for short in ["", "short", "0123456789abcdef 0123456789abcdef"] {
            std::fs::write(&path, short).unwrap();
            assert!(read().is_err(), "{short}");
        }
        assert!(Token::read(&TokenPlace::File(folder.path().join("none"))).is_err());
    }
}
