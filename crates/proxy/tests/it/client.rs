//! A raw client: it sends exactly what it is told and says exactly what came back.
//!
//! It judges nothing and opens no second connection; over frames there is `framed`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer as it arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let line = self.head.split("\r\n").find(|line| line.starts_with(&format!("{name}: ")))?;
        Some(&line[name.len() + 2..])
    }
}

/// A connection to the proxy.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(15))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        self.answer()
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<Answer, String> {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        self.answer()
    }

    /// Reads one whole answer to anything but HEAD.
    pub(crate) fn answer(&mut self) -> Result<Answer, String> {
        let mut answer = self.head()?;
        if answer.status < 200 || answer.status == 204 || answer.status == 304 {
            return Ok(answer);
        }
        answer.body = if let Some(length) = answer.field("content-length") {
            self.take(length.parse().unwrap())?
        } else if answer.field("transfer-encoding").is_some() {
            self.chunks()?
        } else {
            self.rest()?
        };
        Ok(answer)
    }

    /// Reads one head.
    pub(crate) fn head(&mut self) -> Result<Answer, String> {
        let head = self.until("\r\n\r\n")?;
        let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or("no status line")?;
        Ok(Answer { status, head: head.to_lowercase(), body: String::new() })
    }

    /// A chunked body, decoded; trailers are put behind a bar.
    fn chunks(&mut self) -> Result<String, String> {
        let mut body = String::new();
        loop {
            let line = self.until("\r\n")?;
            let size = line.trim().split(';').next().unwrap_or("");
            let size = usize::from_str_radix(size, 16).map_err(|_| format!("size {line:?}"))?;
            if size == 0 {
                break;
            }
            body.push_str(&self.take(size)?);
            self.take(2)?;
        }
        loop {
            let line = self.until("\r\n")?;
            if line == "\r\n" {
                return Ok(body);
            }
            body.push('|');
            body.push_str(line.trim());
        }
    }

    pub(crate) fn until(&mut self, mark: &str) -> Result<String, String> {
        let mark = mark.as_bytes();
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|window| window == mark) {
                return self.take(at + mark.len());
            }
            self.more()?;
        }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<String, String> {
        while self.read.len() < bytes {
            self.more()?;
        }
        let rest = self.read.split_off(bytes);
        let taken = std::mem::replace(&mut self.read, rest);
        Ok(String::from_utf8_lossy(&taken).into_owned())
    }

    /// Everything until the peer's end; a reset is an error.
    pub(crate) fn rest(&mut self) -> Result<String, String> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if error == "closed" => {
                    let taken = std::mem::take(&mut self.read);
                    return Ok(String::from_utf8_lossy(&taken).into_owned());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn more(&mut self) -> Result<(), String> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err("closed".into()),
            Ok(count) => {
                self.read.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
