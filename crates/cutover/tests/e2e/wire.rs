//! HTTP/1.1 by hand: one connection, one exchange at a time, every byte of a body checked.
//!
//! It knows answers with a length and no others; it never tries a second time.

use std::io::{BufRead as _, BufReader, Error, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use socket2::{Domain, Socket, Type};

/// Nothing here takes as long as this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pieces in which bodies are sent and read, and the pause after each: half a second in all, or
/// longer than any switch takes, so that most moments find a body under way.
const PIECES: usize = 16;
const PAUSE: Duration = Duration::from_millis(30);
const CHUNK_PAUSE: Duration = Duration::from_millis(100);

/// A connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

/// Head of an answer whose body has yet to be read.
struct Head {
    length: usize,
    digest: Option<String>,
    stays: bool,
}

impl Wire {
    /// Opens one. Its buffer is small, so that what is not read yet is with the proxy.
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(64 * 1024)?;
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a body whose length it announces; true when another request may follow.
    pub(crate) fn upload(&mut self, bytes: usize) -> Result<bool> {
        let body = body(bytes);
        self.begin("POST /upload", &format!("Content-Length: {bytes}\r\n"))?;
        for piece in body.chunks(bytes / PIECES + 1) {
            self.stream.get_mut().write_all(piece)?;
            std::thread::sleep(PAUSE);
        }
        self.uploaded(&body)
    }

    /// The same in chunks.
    pub(crate) fn upload_in_chunks(&mut self, bytes: usize) -> Result<bool> {
        let body = body(bytes);
        self.begin("POST /upload", "Transfer-Encoding: chunked\r\n")?;
        for piece in body.chunks(bytes / PIECES + 1) {
            let stream = self.stream.get_mut();
            write!(stream, "{:x}\r\n", piece.len())?;
            stream.write_all(piece)?;
            stream.write_all(b"\r\n")?;
            std::thread::sleep(CHUNK_PAUSE);
        }
        self.stream.get_mut().write_all(b"0\r\n\r\n")?;
        self.uploaded(&body)
    }

    /// Reads a body of this length and compares it with the digest in the head.
    pub(crate) fn download(&mut self, bytes: usize) -> Result<bool> {
        self.begin(&format!("GET /download?bytes={bytes}"), "")?;
        let head = self.head()?;
        let mut hash = Sha256::new();
        let mut left = head.length;
        let mut piece = vec![0; bytes / PIECES + 1];
        while left > 0 {
            let size = piece.len().min(left);
            self.stream.read_exact(&mut piece[..size])?;
            hash.update(&piece[..size]);
            left -= size;
            std::thread::sleep(PAUSE);
        }
        let digest = head.digest.clone().unwrap_or_default();
        right(head.length == bytes && digest == hex(hash), "another body", &digest)?;
        Ok(head.stays)
    }

    /// Asks for an answer that takes this long.
    pub(crate) fn slow(&mut self, time: Duration) -> Result<bool> {
        let ms = time.as_millis();
        self.begin(&format!("GET /slow?ms={ms}"), "")?;
        let (head, answer) = self.json()?;
        let slept = answer["slept_ms"].as_u64().map(u128::from);
        right(slept == Some(ms), "another answer", &answer.to_string())?;
        Ok(head.stays)
    }

    /// The version that answers.
    pub(crate) fn version(&mut self) -> Result<String> {
        self.begin("GET /version", "")?;
        let (_, answer) = self.json()?;
        Ok(answer["version"].as_str().unwrap_or_default().to_owned())
    }

    fn begin(&mut self, line: &str, header: &str) -> Result<()> {
        write!(self.stream.get_mut(), "{line} HTTP/1.1\r\nHost: x\r\n{header}\r\n")
    }

    fn uploaded(&mut self, body: &[u8]) -> Result<bool> {
        let (head, answer) = self.json()?;
        let expected = hex(Sha256::new_with_prefix(body));
        let same = answer["bytes"] == body.len() && answer["sha256"] == expected;
        right(same, "another body arrived", &answer.to_string())?;
        Ok(head.stays)
    }

    fn json(&mut self) -> Result<(Head, Value)> {
        let head = self.head()?;
        let mut body = vec![0; head.length];
        self.stream.read_exact(&mut body)?;
        let value = serde_json::from_slice(&body).map_err(Error::other)?;
        Ok((head, value))
    }

    /// Reads a head, which must say 200 and a length.
    fn head(&mut self) -> Result<Head> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut text)?;
            right(read > 0, "closed before the end of the head", &text)?;
        }
        let field = |name: &str| {
            text.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = field("content-length").and_then(|length| length.parse().ok());
        let stays = !field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let (status, length) = (status.unwrap_or(0), length.unwrap_or(0));
        right(status == 200 && length > 0, "not a whole 200", &text)?;
        Ok(Head { length, digest: field("x-content-sha256"), stays })
    }
}

/// An error that says what is wrong and shows it.
fn right(is: bool, what: &str, shown: &str) -> Result<()> {
    if is { Ok(()) } else { Err(Error::other(format!("{what}: {shown}"))) }
}

/// Bytes without a short period.
fn body(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

fn hex(hash: Sha256) -> String {
    format!("{:x}", bytes::Bytes::copy_from_slice(&hash.finalize()))
}
