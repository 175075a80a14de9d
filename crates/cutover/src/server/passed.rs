//! Listening sockets that a supervisor passed on when it started us (systemd's socket activation).
//!
//! They are matched with the configuration by address. Nothing is bound here, and nothing accepted.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use model::{Fault, Kind};

/// The sockets that were passed and are not taken yet; none where nobody passes any.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    sockets: Vec<(SocketAddr, String, TcpListener)>,
    any: bool,
}

impl Passed {
    /// Takes them out of the environment, so that nobody who is started from here believes that they
    /// are his. To be called before there is a second thread.
    ///
    /// # Errors
    ///
    /// When one of them is no listening socket of TCP.
    pub(crate) fn take() -> Result<Self, Fault> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        // Systemd names the process it means; without that it may be for whoever started us.
        let ours =
            std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        let mut passed = ListenFd::from_env();
        if !ours {
            return Ok(Self::default());
        }
        let mut names = names.split(':');
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
            let odd = |why: &str| {
                let what = format!("the passed socket {index} (`{name}`) cannot be used: {why}");
                Fault::new(Kind::Environment, what)
                    .help("in cutover.socket, only ListenStream=ADDRESS:PORT is of use")
            };
            let socket = passed.take_tcp_listener(index).map_err(|e| odd(&e.to_string()))?;
            let socket = socket.ok_or_else(|| odd("it is not there"))?;
            if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false) {
                return Err(odd("it does not listen (is Accept=yes set?)"));
            }
            let address = socket.local_addr().map_err(|e| odd(&e.to_string()))?;
            sockets.push((address, name, socket));
        }
        let any = !sockets.is_empty();
        Ok(Self { sockets, any })
    }

    /// The socket of an address; `None` where nobody passes sockets.
    ///
    /// # Errors
    ///
    /// When sockets were passed, and none of them is of this address.
    pub(super) fn of(&mut self, address: SocketAddr) -> Result<Option<OwnedFd>, Fault> {
        if let Some(at) = self.sockets.iter().position(|(at, _, _)| *at == address) {
            let socket = self.sockets.swap_remove(at).2;
            let trouble = |e| Fault::environment(format!("the passed socket for {address}: {e}"));
            socket.set_nonblocking(true).map_err(trouble)?;
            return Ok(Some(socket.into()));
        }
        if !self.any {
            return Ok(None);
        }
        let what = format!("no socket was passed for {address}, though others were");
        let rest: Vec<_> =
            self.sockets.iter().map(|(at, name, _)| format!("{at} ({name})")).collect();
        let mut fault = Fault::new(Kind::Config, what).help(format!(
            "add `ListenStream={address}` to cutover.socket, or take it out of the file"
        ));
        if !rest.is_empty() {
            fault = fault.note(format!("passed and not used: {}", rest.join(", ")));
        }
        Err(fault)
    }

    /// Says which sockets nobody will accept from.
    pub(super) fn warn_of_rest(&self) {
        for (address, name, _) in &self.sockets {
            tracing::warn!(
                "the passed socket {address} (`{name}`) is in neither `listen` nor `tls_listen`: \
                 whoever connects there waits for ever; take it out of cutover.socket"
            );
        }
    }
}
