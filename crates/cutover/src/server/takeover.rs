//! The listeners of a proxy that serves already, whoever started it.
//!
//! Nobody there and somebody who does not answer are two things: the second one has users. It starts
//! and ends nothing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::{Fault, Kind};
use tokio::time::Instant;

use super::living::{Living, Server, server};

/// How long a proxy that is there may be mute.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is asked; each time it has the time that an answer may take.
const PACE: Duration = Duration::from_millis(100);

/// A proxy, and duplicates of its listening sockets by the address that was configured.
pub(super) type Taken = (Living, Vec<(SocketAddr, OwnedFd)>);

/// Takes over the proxy at this admin socket; `None` when nobody is there. One that is mute is
/// waited for, and is a fault when it stays so.
pub(super) async fn take(
    socket: &Path,
    proxy: &Proxy,
    patience: Duration,
) -> Result<Option<Taken>, Fault> {
    let deadline = Instant::now() + patience;
    let mut said = false;
    loop {
        let found = match server(socket).await.map_err(|e| unknown(&e))? {
            Server::Nobody => return Ok(None),
            Server::Found(living) => Some(living),
            Server::Unknown => None,
        };
        let pid = found.as_ref().map(Living::pid);
        let fault = match (found, proxy.take_listeners().await) {
            (Some(living), Ok(listeners)) if living.lives() => {
                return Ok(Some((living, listeners)));
            }
            (Some(living), Err(fault)) if living.lives() => fault,
            // It has just ended.
            (Some(_), _) => continue,
            (None, Err(fault)) => fault,
            (None, Ok(_)) => Fault::environment("it answers, and its process is not to be seen"),
        };
        if Instant::now() >= deadline {
            return Err(mute(pid, &fault));
        }
        if !said {
            tracing::warn!("{} does not answer; waiting for it", name(pid));
            said = true;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether a proxy runs cannot be told.
pub(super) fn unknown(error: &io::Error) -> Fault {
    Fault::environment(format!("the proxy of this state directory cannot be looked for: {error}"))
        .help("run `cutover up` as the user who started the proxy")
}

fn name(pid: Option<u32>) -> String {
    pid.map_or_else(|| "the proxy".to_owned(), |pid| format!("the proxy (pid {pid})"))
}

fn mute(pid: Option<u32>, last: &Fault) -> Fault {
    let what = format!("{} of this state directory does not answer", name(pid));
    let fault = Fault::new(Kind::Environment, what).note(last.what.clone());
    let Some(pid) = pid else {
        return fault
            .help("it may still serve users: see what its machine is busy with, and try again");
    };
    fault.help(format!(
        "it may still serve users: see what keeps it from answering (is it stopped?), and try again; \
         `kill -9 {pid}` cuts what is open on it, and the next `cutover up` starts a new one"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use drivers::router::proxy::Proxy;

    use super::take;

    #[tokio::test]
    async fn nobody_there_is_no_fault_and_somebody_mute_is_one_that_names_him() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("proxy.sock");
        let proxy = Proxy::new(&socket);
        let none = Duration::ZERO;
        assert!(take(&socket, &proxy, none).await.unwrap().is_none(), "no socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let fault = take(&socket, &proxy, none).await.unwrap_err();
        let pid = std::process::id();
        assert!(fault.what.contains(&format!("the proxy (pid {pid})")), "{fault}");
        assert!(fault.help.unwrap().contains("cuts what is open"));
        drop(listener);
        assert!(take(&socket, &proxy, none).await.unwrap().is_none(), "a socket left behind");
    }
}
