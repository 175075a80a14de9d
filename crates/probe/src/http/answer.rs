//! One answer, read as it comes: whole, not yet whole, or no answer at all.
//!
//! What it says of its origin is read in `says`; the class of a failure is given in `exchange`.

use model::Attempt;

use super::body::{Body, Chunks, Fed};
use super::says::{Reading, Said};
use super::watch::{Order, Watch};
use crate::text;

/// Longest head (with interim answers before it), bytes.
const HEAD_MAX: usize = 64 * 1024;

/// Most header lines.
const HEADERS_MAX: usize = 128;

/// What is known after more input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The answer goes on.
    More,
    /// It is whole.
    Whole,
    /// It is not an answer in HTTP; why.
    Wrong(String),
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    reading: &'a Reading,
    head: Vec<u8>,
    /// Bytes of heads read, with interim answers.
    head_bytes: usize,
    body: Option<Body>,
    kept: Vec<u8>,
    /// How many bytes of the body are kept.
    keep: usize,
    watch: Watch,
    /// The digest that its head names, and what its head says it is.
    stated_digest: Option<String>,
    streams_events: bool,
    /// It answers HEAD.
    head_only: bool,
    length: Option<u64>,
    bytes: u64,
    status: u16,
    reason: String,
    said: Said,
    close: bool,
    /// Once it is whole: whether more came behind it.
    surplus: Option<bool>,
}

impl<'a> Answer<'a> {
    /// Nothing has come yet.
    pub(crate) fn new(reading: &'a Reading) -> Self {
        Self {
            reading,
            head: Vec::new(),
            head_bytes: 0,
            body: None,
            kept: Vec::new(),
            keep: reading.keeps(),
            watch: Watch::Nothing,
            stated_digest: None,
            streams_events: false,
            head_only: false,
            length: None,
            bytes: 0,
            status: 0,
            reason: String::new(),
            said: Said::default(),
            close: false,
            surplus: None,
        }
    }

    /// It ends with its head, which tells the length of a body that does not come.
    pub(crate) fn ends_with_its_head(&mut self) {
        self.head_only = true;
    }

    /// Keeps at least so many bytes of the body, to be searched.
    pub(crate) fn keeping(mut self, bytes: usize) -> Self {
        self.keep = self.keep.max(bytes);
        self
    }

    /// Makes a digest of the body.
    pub(crate) fn hashing(mut self) -> Self {
        self.watch = Watch::Digest(sha2::Digest::new());
        self
    }

    /// Looks at the order of the events in the body.
    pub(crate) fn watching_events(mut self) -> Self {
        self.watch = Watch::Events(Order::default());
        self
    }

    /// SHA-256 of the body so far in hex, where it was asked for.
    pub(crate) fn digest(&self) -> String {
        self.watch.digest()
    }

    /// The SHA-256 that the head names (`X-Content-SHA256`).
    pub(crate) fn stated_digest(&self) -> Option<&str> {
        self.stated_digest.as_deref()
    }

    /// True when the head says that a stream of events follows.
    pub(crate) fn streams_events(&self) -> bool {
        self.streams_events
    }

    /// True when what was kept of the body holds this text, in any case.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let mut windows = self.kept.windows(text.len().max(1));
        windows.any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    }

    /// The first bytes of the body.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Which part of the body has come, from 0 to 1; `None` when its length is not known.
    pub(crate) fn part(&self) -> Option<f64> {
        let length = self.length.filter(|length| *length > 0)?;
        Some((self.bytes as f64 / length as f64).clamp(0.0, 1.0))
    }

    /// Takes what was read from the connection.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Progress {
        if self.body.is_some() {
            return self.feed_body(input);
        }
        let seen = self.head.len();
        self.head.extend_from_slice(input);
        self.read_heads(seen)
    }

    /// True when the end of the connection makes the answer whole.
    pub(crate) fn ended_by_close(&self) -> bool {
        matches!(self.body, Some(Body::UntilClose))
    }

    /// True when the connection may carry another request.
    pub(crate) fn reusable(&self) -> bool {
        !self.close && self.surplus != Some(true) && !self.ended_by_close()
    }

    /// True when the answer said that the peer will close.
    pub(crate) fn announced_close(&self) -> bool {
        self.close
    }

    /// HTTP status, 0 before the head is whole.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// The status line and first bytes of the body, for people.
    pub(crate) fn excerpt(&self) -> String {
        let head = format!("{} {}", self.status, self.reason);
        text::detail([head.trim().as_bytes(), b": ", &self.kept].concat().as_slice())
    }

    /// The first bytes that came, whatever they were.
    pub(crate) fn first_bytes(&self) -> String {
        text::detail(&self.head[..self.head.len().min(256)])
    }

    /// The cookies that its head tells the client, where clients keep them.
    pub(crate) fn cookies(&self) -> &[String] {
        self.said.cookies()
    }

    /// Writes what is known into the record.
    pub(crate) fn tell(&mut self, attempt: &mut Attempt) {
        let right = self.status < 400 && (self.surplus.is_some() || self.ended_by_close());
        self.reading.body(&self.kept, right, &mut self.said);
        self.said.tell(attempt);
        attempt.status = self.status;
        attempt.bytes = self.bytes;
    }

    fn read_heads(&mut self, mut seen: usize) -> Progress {
        loop {
            let start = self.head.len().min(5);
            if self.head[..start] != b"HTTP/"[..start] {
                return Progress::Wrong(format!("not HTTP: {}", self.first_bytes()));
            }
            let Some(end) = head_end(&self.head, seen) else {
                if self.head_bytes + self.head.len() > HEAD_MAX {
                    return Progress::Wrong("a head of more than 64 KiB".to_owned());
                }
                return Progress::More;
            };
            self.head_bytes += end;
            if self.head_bytes > HEAD_MAX {
                return Progress::Wrong("a head of more than 64 KiB".to_owned());
            }
            if let Err(why) = self.read_head(end) {
                return Progress::Wrong(why);
            }
            let rest = self.head.split_off(end);
            if (100..200).contains(&self.status) {
                self.head = rest;
                self.status = 0;
                seen = 0;
                continue;
            }
            return self.feed_body(&rest);
        }
    }

    fn read_head(&mut self, end: usize) -> Result<(), String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(&self.head[..end]) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err("a head that does not end".to_owned()),
            Err(error) => return Err(format!("not HTTP ({error}): {}", self.first_bytes())),
        }
        self.status = parsed.code.unwrap_or(0);
        self.reason = parsed.reason.unwrap_or_default().to_owned();
        if self.status == 101 {
            return Err("an upgrade nobody asked for".to_owned());
        }
        let old = parsed.version == Some(0);
        self.said = self.reading.head(parsed.headers.iter().map(|h| (h.name, h.value)));
        for header in parsed.headers.iter() {
            if header.name.eq_ignore_ascii_case("x-content-sha256") {
                self.stated_digest = text::name(header.value);
            } else if header.name.eq_ignore_ascii_case("content-type") {
                self.streams_events = header.value.starts_with(b"text/event-stream");
            }
        }
        let framing = framing(parsed.headers, old)?;
        self.close = framing.close;
        self.body = (self.status >= 200).then_some(match self.status {
            _ if self.head_only => Body::Length(0),
            204 | 304 => Body::Length(0),
            _ => framing.body,
        });
        self.length = match self.body {
            Some(Body::Length(length)) => Some(length),
            _ => None,
        };
        Ok(())
    }

    fn feed_body(&mut self, input: &[u8]) -> Progress {
        let (kept, bytes, keep) = (&mut self.kept, &mut self.bytes, self.keep);
        let (watch, mut odd) = (&mut self.watch, Ok(()));
        let Some(body) = &mut self.body else { return Progress::More };
        let fed = body.feed(input, |data| {
            *bytes += data.len() as u64;
            kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
            if odd.is_ok() {
                odd = watch.see(data);
            }
        });
        if let Err(why) = odd {
            return Progress::Wrong(why);
        }
        match fed {
            Fed::More => Progress::More,
            Fed::Ended(at) => {
                self.surplus = Some(at < input.len());
                Progress::Whole
            }
            Fed::Wrong(why) => Progress::Wrong(why.to_owned()),
        }
    }
}

/// Where the head ends, if it does; `seen` bytes were looked at before.
fn head_end(head: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    let breaks = (from..head.len()).filter(|&at| head[at] == b'\n');
    for at in breaks {
        match &head[at + 1..] {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => {}
        }
    }
    None
}

struct Framing {
    body: Body,
    close: bool,
}

/// How long the body is and whether the connection stays (RFC 9112, sections 6.3 and 9.3).
fn framing(headers: &[httparse::Header<'_>], old: bool) -> Result<Framing, String> {
    let mut length: Option<u64> = None;
    let mut coding: Option<bool> = None;
    let mut close = old;
    for header in headers {
        let framing = ["content-length", "transfer-encoding", "connection"];
        if !framing.iter().any(|name| header.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        let value = String::from_utf8_lossy(header.value).to_ascii_lowercase();
        let mut words = value.split(',').map(str::trim);
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let stated = digits.then(|| value.parse().ok()).flatten();
            if stated.is_none() || length.is_some_and(|before| Some(before) != stated) {
                return Err(format!("a content-length of {}", text::detail(header.value)));
            }
            length = stated;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = Some(words.next_back() == Some("chunked"));
        } else if header.name.eq_ignore_ascii_case("connection") {
            for word in words {
                close = (close || word == "close") && !(old && word == "keep-alive");
            }
        }
    }
    let body = match (coding, length) {
        (Some(true), _) => Body::Chunks(Chunks::default()),
        (None, Some(length)) => Body::Length(length),
        (Some(false), _) | (None, None) => Body::UntilClose,
    };
    Ok(Framing { body, close })
}

#[cfg(test)]
mod tests {
    use super::{Answer, Progress};
    use crate::http::Reading;
    use crate::options::VersionFrom;

    fn reading() -> Reading {
        Reading::new(VersionFrom::Header("x-app-version".to_owned()), false)
    }

    fn read(text: &[u8]) -> (Progress, bool, u16) {
        let reading = reading();
        let mut answer = Answer::new(&reading);
        let progress = answer.feed(text);
        (progress, answer.reusable(), answer.status())
    }

    #[test]
    fn whole_answers_are_whole_however_they_are_cut() {
        let text =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 1..text.len() {
            let reading = reading();
            let mut answer = Answer::new(&reading);
            assert_eq!(answer.feed(&text[..cut]), Progress::More, "cut at {cut}");
            assert_eq!(answer.feed(&text[cut..]), Progress::Whole, "cut at {cut}");
            assert_eq!((answer.status(), answer.reusable()), (200, true));
        }
    }

    #[test]
    fn the_end_and_the_reuse_follow_the_headers() {
        let whole = |reusable, status| (Progress::Whole, reusable, status);
        assert_eq!(read(b"HTTP/1.1 204 No\r\n\r\n"), whole(true, 204));
        assert_eq!(read(b"HTTP/1.1 304 \n\n"), whole(true, 304));
        let close = b"HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read(close), whole(false, 200));
        assert_eq!(read(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), whole(false, 200));
        let old = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read(old), whole(true, 200));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab"), whole(false, 200));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\nab").0, Progress::More);
        let both =
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(read(both), whole(true, 200));
    }

    #[test]
    fn an_answer_to_head_ends_with_it_whatever_it_says_of_a_body() {
        let reading = reading();
        for fields in ["Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n", ""] {
            let text = format!("HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\n{fields}\r\n");
            for (behind, reusable) in [("", true), ("whatever", false)] {
                let mut answer = Answer::new(&reading);
                answer.ends_with_its_head();
                let progress = answer.feed((text.clone() + behind).as_bytes());
                assert_eq!(progress, Progress::Whole, "{fields}{behind}");
                assert_eq!((answer.status(), answer.reusable()), (200, reusable), "{fields}");
                assert!(answer.kept().is_empty(), "{fields}");
            }
        }
        let mut answer = Answer::new(&reading);
        answer.ends_with_its_head();
        let odd = answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n");
        assert!(matches!(odd, Progress::Wrong(_)), "{odd:?}");
    }

    #[test]
    fn what_is_not_http_is_wrong_and_nothing_grows() {
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &vec![b'y'; 70_000]].concat();
        let many = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(200), b"\r\n".to_vec()];
        let interim = b"HTTP/1.1 102 Wait\r\n\r\n".repeat(4_000);
        for bad in [
            b"SSH-2.0-x\r\n".as_slice(),
            b"\0",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            &endless,
            &many.concat(),
            &interim,
        ] {
            let progress = read(bad).0;
            assert!(matches!(progress, Progress::Wrong(_)), "{progress:?}");
        }
    }
}
