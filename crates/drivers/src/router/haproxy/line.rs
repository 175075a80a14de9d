//! One command over HAProxy's runtime API, over a unix or a TCP socket.
//!
//! A connection carries one command: the writing half is closed at once, because the socket of the
//! master keeps a connection open after its answer. It knows no commands and reads no tables.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, str::FromStr};

use model::{Fault, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use crate::words::clean;

/// Longest a command may take, from connecting to the whole answer.
const LIMIT: Duration = Duration::from_secs(3);
/// How long a refused connection may be that of a reload.
const RELOADING: Duration = Duration::from_secs(1);
/// Pause before a refused connection is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest answer that is taken, bytes.
const ANSWER_MAX: u64 = 32 * 1024 * 1024;

/// Where the runtime API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `stats socket PATH` of the process, or `-S PATH` of the master.
    Unix(PathBuf),
    /// `stats socket HOST:PORT`; it has no password, so it belongs on loopback.
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = Fault;

    /// `127.0.0.1:9999` is TCP, everything else is a path.
    fn from_str(text: &str) -> Result<Self, Fault> {
        Ok(text.parse().map_or_else(|_| Self::Unix(PathBuf::from(text)), Self::Tcp))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl Address {
    /// Sends one line and reads everything that comes back.
    pub(super) async fn ask(&self, command: &str) -> Result<String, Fault> {
        let exchange = async {
            match self {
                Self::Unix(path) => {
                    exchange(patiently(|| UnixStream::connect(path)).await?, command).await
                }
                Self::Tcp(address) => {
                    exchange(patiently(|| TcpStream::connect(address)).await?, command).await
                }
            }
        };
        let answer = timeout(LIMIT, exchange).await.map_err(|_late| {
            let what = format!("HAProxy at `{self}` did not answer within {} s", LIMIT.as_secs());
            Fault::environment(what).help("is this the socket of its runtime API?")
        })?;
        let bytes = answer.map_err(|error| self.absent(&error))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| self.odd(&String::from_utf8_lossy(error.as_bytes())))?;
        if text.trim_start().starts_with("Permission denied") {
            return Err(self.too_low(command));
        }
        Ok(text)
    }

    /// An answer that is none.
    pub(super) fn odd(&self, answer: &str) -> Fault {
        let shown = clean(answer.as_bytes(), 80);
        Fault::internal(format!("HAProxy at `{self}` answered what is no answer: `{shown}`"))
    }

    /// The socket does not allow what is needed.
    pub(super) fn too_low(&self, command: &str) -> Fault {
        let word = command.trim_start_matches(['@', '!']).to_owned();
        let what =
            format!("the HAProxy socket `{self}` does not allow `{}`", clean(word.as_bytes(), 60));
        Fault::new(Kind::Config, what)
            .help(format!("set its level: `stats socket {self} mode 600 level admin` in `global`"))
    }

    /// Nobody answers. What waiting cannot mend is trouble with the configuration.
    fn absent(&self, error: &io::Error) -> Fault {
        if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) {
            // It was there, and is being replaced.
            return Fault::internal(format!("HAProxy at `{self}` hung up in mid-answer: {error}"));
        }
        let what = format!("HAProxy at `{self}` cannot be reached: {error}");
        match error.kind() {
            ErrorKind::NotFound => Fault::environment(what).help(format!(
                "is it running, with `stats socket {self} mode 600 level admin` in `global`?"
            )),
            ErrorKind::PermissionDenied => Fault::new(Kind::Config, what).help(format!(
                "run Cutover as the owner of the socket, or let it in: `stats socket {self} \
                 user NAME mode 600 level admin`"
            )),
            ErrorKind::InvalidInput => Fault::new(Kind::Config, what)
                .help("name a socket whose path is shorter than 108 bytes"),
            _ if self.is_something_else() => {
                let what = format!("`{self}` is not a socket: HAProxy cannot be reached there");
                Fault::new(Kind::Config, what)
                    .help("name what `-S` or `stats socket` names in HAProxy's configuration")
            }
            _ => Fault::environment(what)
                .help("is HAProxy running, and is this the socket of its runtime API?"),
        }
    }

    /// True when the path is there and is none of a socket, which connecting does not tell from a
    /// socket that nobody listens on.
    fn is_something_else(&self) -> bool {
        let Self::Unix(path) = self else { return false };
        std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket())
    }
}

/// Connects, again for a while when it is refused: a master does so while it reads its configuration
/// for a reload. Nothing was sent then, so nothing is done twice.
async fn patiently<S, F>(connect: impl Fn() -> F) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    let until = Instant::now() + RELOADING;
    loop {
        match connect().await {
            Err(error)
                if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < until =>
            {
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    command: &str,
) -> io::Result<Vec<u8>> {
    let mut line = command.as_bytes().to_vec();
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    if read as u64 == ANSWER_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "an endless answer"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_with_a_port_is_tcp() {
        assert!(matches!("127.0.0.1:9999".parse(), Ok(Address::Tcp(_))));
        assert!(matches!("[::1]:9999".parse(), Ok(Address::Tcp(_))));
        assert!(matches!("/run/haproxy.sock".parse(), Ok(Address::Unix(_))));
    }
}
