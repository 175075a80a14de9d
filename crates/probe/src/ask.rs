//! What every request of a run says beside its URL: method, fields, body.
//!
//! It writes no request; that is `http`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Fault, Kind};

/// Fields that are the prober's own to say.
const OURS: [&str; 7] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"];

/// Largest body, bytes: every attempt in flight sends it.
const BODY_MAX: usize = 16 << 20;

/// What every request says.
#[derive(Clone, PartialEq, Eq)]
pub struct Ask {
    method: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Default for Ask {
    fn default() -> Self {
        Self { method: "GET".to_owned(), fields: Vec::new(), body: Vec::new() }
    }
}

/// Names only: a value may be a password.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Ask")
            .field("method", &self.method)
            .field("fields", &names)
            .field("body", &self.body.len())
            .finish()
    }
}

impl Ask {
    /// Another method than GET.
    pub fn with_method(mut self, method: &str) -> Result<Self, Fault> {
        let upper = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        if !upper || matches!(method, "CONNECT" | "TRACE") {
            let what = format!("requests with `{}` cannot be probed", method.escape_debug());
            return Err(Fault::new(Kind::Usage, what)
                .help("use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"));
        }
        method.clone_into(&mut self.method);
        Ok(self)
    }

    /// One field more.
    pub fn with_field(mut self, name: &str, value: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            // The value may be a secret: it is not told.
            let what = format!("the field `{}` cannot be sent: {why}", name.escape_debug());
            Fault::new(Kind::Usage, what).help("write it as 'Name: value'")
        };
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            return Err(wrong("that is no name of a field"));
        }
        if OURS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(wrong("the prober says that itself (see --host)"));
        }
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(wrong("its value holds a line break"));
        }
        self.fields.push((name.to_owned(), value.trim().to_owned()));
        Ok(self)
    }

    /// `Authorization: Basic`, from `user:password`.
    pub fn with_basic(self, credentials: &str) -> Result<Self, Fault> {
        self.with_field("Authorization", &format!("Basic {}", STANDARD.encode(credentials)))
    }

    /// `Authorization: Bearer`.
    pub fn with_bearer(self, token: &str) -> Result<Self, Fault> {
        self.with_field("Authorization", &format!("Bearer {token}"))
    }

    /// A body.
    pub fn with_body(mut self, body: Vec<u8>) -> Result<Self, Fault> {
        if body.len() > BODY_MAX {
            return Err(Fault::new(Kind::Usage, "the body of the requests is larger than 16 MiB"));
        }
        self.body = body;
        Ok(self)
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// True when only the head of an answer is asked for: no body follows it, whatever it says of one.
    pub(crate) fn head_only(&self) -> bool {
        self.method == "HEAD"
    }

    /// The fields.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body; empty for none.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::Ask;

    #[test]
    fn what_would_break_a_request_is_refused_and_no_value_is_told() {
        for (name, value) in
            [("", "secret"), ("a b", "secret"), ("Host", "secret"), ("x", "secret\r\ny: z")]
        {
            let fault = Ask::default().with_field(name, value).unwrap_err();
            assert!(!fault.what.contains("secret"), "{}", fault.what);
        }
        for method in ["", "get", "G T", "head", "CONNECT"] {
            assert!(Ask::default().with_method(method).is_err(), "{method}");
        }
        let ask = Ask::default().with_basic("a:hidden").unwrap().with_bearer("hidden").unwrap();
        assert!(!format!("{ask:?}").contains("hidden"));
        assert_eq!(ask.fields().next(), Some(("Authorization", "Basic YTpoaWRkZW4=")));
    }
}
