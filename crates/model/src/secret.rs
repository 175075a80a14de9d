//! Variables of an instance's environment, and how a secret is recognised without being known.
//!
//! Only the name of the variable that holds a secret is written anywhere, and a digest. The value is
//! looked up by the platform that starts an instance; nothing here has or keeps it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::name::AppName;

/// What a variable of a release is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Variable {
    /// This text, which everybody may read. Releases of earlier versions hold nothing else.
    Plain(String),
    /// The value that a variable of Cutover's own environment has when an instance is started.
    Secret(Secret),
}

impl From<&str> for Variable {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

/// A secret: where it is, and what shows whether it is still the one of the deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The variable of Cutover's own environment that holds it.
    pub from: String,
    /// SHA-256 in hexadecimal, over its [`Owner`] and its value at the deploy. A secret that can be
    /// guessed can be found from it, so it stays in the state directory too.
    digest: String,
}

/// Whose variable a secret is in. It is part of the digest, so that nobody can see from two digests
/// that two secrets are the same.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The number of the release.
    pub release: u32,
    /// Name of the variable in the instance.
    pub name: &'a str,
}

impl Secret {
    /// The secret that is `value` at the deploy and is taken from the variable `from`.
    pub fn new(owner: Owner<'_>, from: &str, value: &[u8]) -> Self {
        Self { from: from.to_owned(), digest: digest(owner, value) }
    }

    /// True when `value` is what it was at the deploy.
    pub fn is(&self, owner: Owner<'_>, value: &[u8]) -> bool {
        self.digest == digest(owner, value)
    }
}

/// Each part with its length before it, so that no two sets of parts look alike.
fn digest(owner: Owner<'_>, value: &[u8]) -> String {
    let mut hash = Sha256::new();
    let release = owner.release.to_be_bytes();
    for part in [owner.app.as_str().as_bytes(), &release, owner.name.as_bytes(), value] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let bytes = hash.finalize();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Owner, Secret, Variable};
    use crate::{AppName, Release};

    fn digest(app: &str, release: u32, name: &str, value: &str) -> String {
        let app = AppName::new(app).unwrap();
        let owner = Owner { app: &app, release, name };
        let secret = Secret::new(owner, "FROM", value.as_bytes());
        assert!(secret.is(owner, value.as_bytes()));
        assert!(!secret.is(owner, b"another"));
        secret.digest
    }

    #[test]
    fn equal_secrets_look_equal_only_in_the_same_place() {
        let one = digest("shop", 1, "TOKEN", "x");
        assert_eq!(one, digest("shop", 1, "TOKEN", "x"));
        assert_eq!(one.len(), 64);
        for other in [
            digest("shop", 2, "TOKEN", "x"),
            digest("web", 1, "TOKEN", "x"),
            digest("shop", 1, "KEY", "x"),
            digest("shop", 1, "TOKENx", ""),
            digest("shop", 1, "TOKEN", "y"),
        ] {
            assert_ne!(one, other);
        }
    }

    /// As the version before stored it, word for word.
    const OLD: &str = r#"{"app":"shop","id":3,"version":"v3","command":["/srv/shop","{port}"],
        "directory":"/srv","environment":{"LOG":"info","TOKEN":"x"},"health":{"path":"/healthz",
        "interval_ms":500,"timeout_ms":2000,"rise":3,"fall":3},"stop_timeout_ms":10000}"#;

    #[test]
    fn releases_of_earlier_versions_are_read_and_written_as_they_were() {
        let release: Release = serde_json::from_str(OLD).unwrap();
        assert_eq!(release.environment["TOKEN"], Variable::from("x"));
        let again = serde_json::to_value(&release).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(OLD).unwrap());
    }

    #[test]
    fn a_release_with_a_secret_survives_being_stored() {
        let mut release: Release = serde_json::from_str(OLD).unwrap();
        let secret = Secret::new(release.owner("TOKEN"), "SHOP_TOKEN", b"hush");
        release.environment.insert("TOKEN".to_owned(), Variable::Secret(secret));
        let text = serde_json::to_string(&release).unwrap();
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(serde_json::from_str::<Release>(&text).unwrap(), release);
        let Variable::Secret(secret) = &release.environment["TOKEN"] else { panic!("{text}") };
        assert_eq!(secret.from, "SHOP_TOKEN");
    }
}
