//! What is probed: a URL, taken apart once.
//!
//! It resolves nothing: a name is looked up anew for each connection, by who opens it.

use std::fmt;

use model::{Fault, Kind};

/// An `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    host: String,
    port: u16,
    path: String,
    /// Sent as `Host` instead of the address.
    named: Option<String>,
    /// By which a proxy of ours knows that it is us who ask.
    key: Option<String>,
}

impl Target {
    /// Takes `http[s]://host[:port][/path][?query]` apart; anything else is refused with the reason.
    pub fn parse(url: &str) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            let what = format!("`{}` cannot be probed: {why}", url.escape_debug());
            Fault::new(Kind::Usage, what).help("write it as http://host:port/path")
        };
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("a URL has no spaces, control or non-ASCII characters"));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("it has no scheme"));
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => return Err(wrong(&format!("the scheme `{other}` is not supported"))),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("a user name in the URL is not supported"));
        }
        let (host, port) = host_and_port(authority, usual_port(secure)).map_err(wrong)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { secure, host, port, path, named: None, key: None })
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// True for `https`.
    pub const fn secure(&self) -> bool {
        self.secure
    }

    /// The name that a certificate must be for: the one that users know.
    pub(crate) fn server_name(&self) -> String {
        let named = self.named.as_deref().and_then(|name| host_and_port(name, 443).ok());
        named.map_or_else(|| self.host.clone(), |(host, _)| host)
    }

    /// Path and query, starting with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same address, asked for `name`: for a virtual host whose name does not lead here.
    pub fn with_host(mut self, name: &str) -> Result<Self, Fault> {
        host_and_port(name, usual_port(self.secure)).map_err(|why| {
            let what = format!("`{}` cannot be a Host header: {why}", name.escape_debug());
            Fault::new(Kind::Usage, what).help("write it as name or name:port")
        })?;
        self.named = Some(name.to_owned());
        Ok(self)
    }

    /// The same, and each request carries this key, by which a proxy of ours tells it from users'.
    pub fn with_key(mut self, key: &str) -> Result<Self, Fault> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Fault::new(Kind::Usage, "the prober's key is not letters and digits"));
        }
        self.key = Some(key.to_owned());
        Ok(self)
    }

    /// The key.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        self.named.clone().unwrap_or_else(|| self.address())
    }

    fn address(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual_port(self.secure) { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.address(), self.path)
    }
}

impl std::str::FromStr for Target {
    type Err = Fault;
    fn from_str(url: &str) -> Result<Self, Fault> {
        Self::parse(url)
    }
}

const fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn host_and_port(authority: &str, usual: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        rest.split_once(']').ok_or("the bracket of its address is not closed")?
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(plain) {
        return Err("it names no host");
    }
    let port = match port.strip_prefix(':') {
        Some(digits) => digits.parse().ok().filter(|&port| port != 0),
        None if port.is_empty() => Some(usual),
        None => None,
    };
    Ok((host.to_owned(), port.ok_or("its port is not a number from 1 to 65535")?))
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |url: &str| {
            let target = Target::parse(url).unwrap();
            (target.host().to_owned(), target.port(), target.path().to_owned(), target.to_string())
        };
        let expected = |host: &str, port, path: &str, text: &str| {
            (host.to_owned(), port, path.to_owned(), text.to_owned())
        };
        assert_eq!(parts("http://a"), expected("a", 80, "/", "http://a/"));
        assert_eq!(parts("HTTP://a:81/b?c=d#e"), expected("a", 81, "/b?c=d", "http://a:81/b?c=d"));
        assert_eq!(parts("https://a/b"), expected("a", 443, "/b", "https://a/b"));
        assert_eq!(parts("https://a:80/"), expected("a", 80, "/", "https://a:80/"));
        assert_eq!(parts("http://a?b"), expected("a", 80, "/?b", "http://a/?b"));
        assert_eq!(parts("http://[::1]:8/"), expected("::1", 8, "/", "http://[::1]:8/"));
    }

    #[test]
    fn what_cannot_be_probed_is_refused_with_the_reason() {
        for (url, why) in [
            ("localhost:80", "no scheme"),
            ("ftp://a/", "`ftp` is not supported"),
            ("http:///x", "names no host"),
            ("http://a:0/", "port"),
            ("http://a:99999/", "port"),
            ("http://[::1]x/", "port"),
            ("http://u:p@a/", "user name"),
            ("http://a/ b", "spaces"),
            ("http://a/\r\nX: y", "spaces"),
        ] {
            let fault = Target::parse(url).unwrap_err();
            assert!(fault.what.contains(why), "{url:?}: {}", fault.what);
            assert!(fault.help.is_some());
        }
    }
}
