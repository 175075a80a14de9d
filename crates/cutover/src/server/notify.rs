//! What a supervisor such as systemd is told (`sd_notify`): datagrams to the socket it names.
//!
//! Where none is named, nothing is said. No answer is ever waited for.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// What a supervisor says to us alone: instances that speak for themselves would speak for us.
pub(crate) const VARIABLES: [&str; 4] = [SOCKET, "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Our environment without that.
pub(crate) fn for_others() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !VARIABLES.iter().any(|ours| name == ours))
}

/// The server serves; `pid` is its process, which may not be the one that was started.
pub(crate) fn ready(pid: u32, what: &str) {
    send(&format!("MAINPID={pid}\nREADY=1\nSTATUS={what}"));
}

/// The server stops.
pub(crate) fn stopping() {
    send("STOPPING=1\nSTATUS=requests finish, then instances end");
}

/// From now on this is the process whose end is the server's.
pub(crate) fn main_process(pid: u32) {
    send(&format!("MAINPID={pid}"));
}

/// True when somebody listens.
pub(crate) fn supervised() -> bool {
    std::env::var_os(SOCKET).is_some()
}

fn send(text: &str) {
    let Some(name) = std::env::var_os(SOCKET) else { return };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::debug!("the supervisor cannot be told: {error}");
    }
}
