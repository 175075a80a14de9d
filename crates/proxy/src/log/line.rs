//! One line of the access log, as JSON or in the combined format.
//!
//! It writes into memory. Text of strangers goes through `escape`, all of it. When a line is written is
//! decided in `account`; the file is `writer`'s.

use std::time::{Duration, SystemTime};

use model::admin::LogFormat;

use super::escape;
use super::moment::Moments;
use super::words::Words;
use crate::trail::Trail;

/// What is said of a request that has ended.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    /// What was remembered of it.
    pub(crate) trail: &'a Trail,
    /// What its head said, as far as it could be read.
    pub(crate) words: Words<'a>,
    /// Version of the protocol; empty if not known.
    pub(crate) protocol: &'a str,
    /// Its app, if one is routed there.
    pub(crate) app: Option<&'a str>,
    /// Its id, if it has one.
    pub(crate) id: &'a [u8],
    /// Why its head was refused; empty if it was not.
    pub(crate) reason: &'a str,
    /// From its head to its end.
    pub(crate) took: Duration,
    /// The wall clock now.
    pub(crate) now: SystemTime,
}

impl Said<'_> {
    /// Appends the line, with its end.
    pub(crate) fn write(&self, format: LogFormat, moments: &mut Moments, out: &mut Vec<u8>) {
        match format {
            LogFormat::Json => self.json(moments, out),
            LogFormat::Combined => self.combined(moments, out),
        }
        out.push(b'\n');
    }

    fn began(&self) -> SystemTime {
        self.now.checked_sub(self.took).unwrap_or(self.now)
    }

    /// How long it was a tunnel.
    fn open(&self) -> Option<Duration> {
        self.trail.tunnel.map(|since| {
            self.took.saturating_sub(since.saturating_duration_since(self.trail.began))
        })
    }

    fn json(&self, moments: &mut Moments, out: &mut Vec<u8>) {
        let Self { trail, words, .. } = self;
        out.extend_from_slice(b"{\"time\":\"");
        moments.iso(out, self.began());
        let mut line = Object { out };
        line.out.push(b'"');
        line.address("client", trail.client);
        line.address("peer", trail.origin.peer.to_canonical());
        line.text("method", words.method);
        line.text("host", words.host);
        line.text("path", words.path);
        line.text("protocol", self.protocol.as_bytes());
        line.raw("tls", if trail.origin.secure { "true" } else { "false" });
        line.number("status", u64::from(trail.status));
        line.number("bytes_in", trail.received);
        line.number("bytes_out", trail.sent);
        line.ms("first_byte_ms", trail.to_first_byte());
        line.ms("last_byte_ms", Some(self.took));
        line.text("app", self.app.unwrap_or_default().as_bytes());
        if let Some(gate) = &trail.gate {
            line.number("release", u64::from(gate.release.0));
            line.text("version", gate.counters.version.as_bytes());
            line.text("instance", gate.id.0.as_bytes());
        } else {
            line.raw("release", "null");
            line.text("version", b"");
            line.text("instance", b"");
        }
        line.number("replays", u64::from(trail.replays));
        line.ms("open_ms", self.open());
        line.text("request_id", self.id);
        line.text("referer", words.referer);
        line.text("user_agent", words.agent);
        line.text("error", trail.class.map_or("", |class| class.name()).as_bytes());
        line.text("reason", self.reason.as_bytes());
        line.out.push(b'}');
    }

    /// The combined format of Apache and nginx, and what it lacks behind it as `name=value`.
    fn combined(&self, moments: &mut Moments, out: &mut Vec<u8>) {
        use std::io::Write;
        let Self { trail, words, .. } = self;
        // A vector takes everything.
        let _ = write!(out, "{} - - [", trail.client);
        moments.common(out, self.began());
        out.extend_from_slice(b"] \"");
        if words.method.is_empty() {
            out.push(b'-');
        } else {
            for (at, part) in
                [words.method, words.path, self.protocol.as_bytes()].iter().enumerate()
            {
                if at > 0 {
                    out.push(b' ');
                }
                escape::quoted(out, part);
            }
        }
        let _ = write!(out, "\" {} {}", trail.status, trail.sent);
        for part in [words.referer, words.agent] {
            out.extend_from_slice(b" \"");
            escape::quoted(out, if part.is_empty() { b"-" } else { part });
            out.push(b'"');
        }
        let gate = trail.gate.as_deref();
        let release = gate.map_or_else(|| "-".to_owned(), |gate| gate.release.0.to_string());
        let mut pair = |name: &str, value: &[u8]| {
            let _ = write!(out, " {name}=\"");
            escape::quoted(out, if value.is_empty() { b"-" } else { value });
            out.push(b'"');
        };
        pair("host", words.host);
        pair("app", self.app.unwrap_or_default().as_bytes());
        pair("release", release.as_bytes());
        pair("instance", gate.map_or("", |gate| gate.id.0.as_str()).as_bytes());
        pair("request_id", self.id);
        pair("error", trail.class.map_or("", |class| class.name()).as_bytes());
        let _ = write!(out, " tls={} bytes_in={}", trail.origin.secure, trail.received);
        for (name, time) in [
            ("first_byte_ms", trail.to_first_byte()),
            ("last_byte_ms", Some(self.took)),
            ("open_ms", self.open()),
        ] {
            let _ = write!(out, " {name}=");
            ms(out, time, b"-");
        }
        let _ = write!(out, " replays={} peer={}", trail.replays, trail.origin.peer.to_canonical());
        if !self.reason.is_empty() {
            out.extend_from_slice(b" reason=\"");
            escape::quoted(out, self.reason.as_bytes());
            out.push(b'"');
        }
    }
}

/// The inside of a JSON object, behind its first member.
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn number(&mut self, name: &str, value: u64) {
        self.raw(name, itoa::Buffer::new().format(value));
    }

    fn ms(&mut self, name: &str, value: Option<Duration>) {
        self.name(name);
        ms(self.out, value, b"null");
    }

    fn address(&mut self, name: &str, value: std::net::IpAddr) {
        use std::io::Write;
        self.name(name);
        let _ = write!(self.out, "\"{value}\"");
    }

    /// Nothing is `null`.
    fn text(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() {
            return self.raw(name, "null");
        }
        self.name(name);
        escape::json(self.out, value);
    }
}

/// Milliseconds with three places.
fn ms(out: &mut Vec<u8>, time: Option<Duration>, none: &[u8]) {
    let Some(time) = time else { return out.extend_from_slice(none) };
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    out.extend_from_slice(itoa::Buffer::new().format(us / 1000).as_bytes());
    let digit = |n: u64| b'0' + u8::try_from(n % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(us / 100), digit(us / 10), digit(us)]);
}
