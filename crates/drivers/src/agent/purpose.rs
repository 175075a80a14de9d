//! What an agent of Consul is asked for, and the words that depend on it.
//!
//! Nobody is asked here.

/// What an agent is asked for; decides what is said of one that does not answer as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Instances are registered there for a router that follows it.
    Register,
    /// Instances that somebody else registered are read.
    Read,
}

impl Purpose {
    /// Where a key stands in the file.
    pub(super) fn place(self, key: &str) -> String {
        match self {
            Self::Register => format!("`{key}` under [router]"),
            Self::Read => format!("`{key}` in `instances`"),
        }
    }

    /// What a token must allow, as what to do.
    pub(crate) const fn rights(self) -> &'static str {
        match self {
            Self::Register => {
                "give the token a policy with `service_prefix \"\" { policy = \"write\" }` (or one \
                 `service` for each app), `key_prefix \"cutover/\" { policy = \"write\" }`, \
                 `session_prefix \"\" { policy = \"write\" }` and `node_prefix \"\" { policy = \
                 \"read\" }`, and name its variable or file: `token = { from = \
                 \"CONSUL_HTTP_TOKEN\" }`"
            }
            Self::Read => {
                "give the token a policy with `service_prefix \"\" { policy = \"read\" }` and \
                 `node_prefix \"\" { policy = \"read\" }`, and name its variable or file: `token = \
                 { from = \"CONSUL_HTTP_TOKEN\" }`"
            }
        }
    }
}
