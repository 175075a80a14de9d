//! A new connection: the name is looked up anew, and a refusal is told from our own trouble.

use std::io;

use model::attempt::{Attempt, Class, Connection};
use tokio::net::TcpStream;

use crate::site::Site;

/// Why there is no answer, and in which class that falls.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) detail: String,
}

impl Failure {
    /// Writes it into the record.
    pub(crate) fn tell(self, attempt: &mut Attempt) {
        attempt.class = self.class;
        attempt.detail = Some(self.detail);
    }
}

/// Opens a connection. The addresses of a name are tried in order, as every client does; no byte
/// has been sent to one that refused.
pub(crate) async fn connect(site: &Site, record: &mut Connection) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect((site.target.host(), site.target.port())).await;
    let stream = stream.map_err(|error| Failure {
        class: class_of(&error),
        detail: format!("cannot connect to {}: {error}", site.target.authority()),
    })?;
    // Without it small requests could wait for acknowledgements; a failure costs only time.
    let _ = stream.set_nodelay(true);
    record.established_us = site.clock.us().max(1);
    Ok(stream)
}

/// A failed connect is the target's refusal, unless this machine ran out of something.
fn class_of(error: &io::Error) -> Class {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::AGAIN,
        Errno::ACCESS,
        Errno::PERM,
    ];
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) if ours.contains(&errno) => Class::NotSent,
        Some(Errno::TIMEDOUT) => Class::Timeout,
        _ => Class::Refused,
    }
}
