//! The listening sockets of the proxy: bound here, held here and carried there.
//!
//! It knows addresses and who speaks TLS on them; it accepts nobody.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use model::{Fault, Kind};

use crate::config::ProxyConfig;

/// Backlog of a listening socket; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// A listening socket of the proxy.
#[derive(Debug)]
pub(super) struct Listener {
    /// As configured.
    pub(super) address: SocketAddr,
    /// Ours; the proxy has a duplicate.
    pub(super) socket: OwnedFd,
    /// Clients speak TLS.
    pub(super) secure: bool,
}

impl Listener {
    /// Binds an address; nobody is accepted yet.
    pub(super) fn bind(address: SocketAddr, secure: bool) -> Result<Self, Fault> {
        match listening_socket(address) {
            Ok(socket) => Ok(Self { address, socket: socket.into(), secure }),
            Err(error) => Err(refused(address, secure, &error)),
        }
    }

    /// The address it has: a free port may have been asked for.
    pub(super) fn bound(&self) -> SocketAddr {
        let own = socket2::SockRef::from(&self.socket).local_addr().ok();
        own.and_then(|own| own.as_socket()).unwrap_or(self.address)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.bound(), if self.secure { " (TLS)" } else { "" })
    }

    /// Refuses one that was taken over and that the configuration wants otherwise: a proxy that
    /// lives cannot change it.
    pub(super) fn must_fit(&self, config: &ProxyConfig) -> Result<(), Fault> {
        let named = |list: &[SocketAddr]| list.contains(&self.address);
        let help = "change the file back, or run `cutover down` first";
        if self.secure && named(&config.listen) || !self.secure && named(&config.tls_listen) {
            let how = if self.secure { "with TLS" } else { "without TLS" };
            let what = format!("the proxy that runs listens on {} {how}", self.address);
            return Err(Fault::new(Kind::Conflict, what).help(help));
        }
        if self.secure && config.certificates.is_empty() {
            let what = format!(
                "the proxy that runs listens on {} with TLS, and no certificate is configured",
                self.address
            );
            return Err(Fault::new(Kind::Conflict, what).help(help));
        }
        Ok(())
    }
}

fn refused(address: SocketAddr, secure: bool, error: &std::io::Error) -> Fault {
    let key = if secure { "tls_listen" } else { "listen" };
    let change = format!("change `{key}` under [proxy] in cutover.toml");
    let fault = Fault::environment(format!("{address} cannot be listened on: {error}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            fault.help(format!("another program has this port: end it, or {change}"))
        }
        std::io::ErrorKind::PermissionDenied => {
            fault.help("ports below 1024 need privileges: use a higher one")
        }
        _ => fault.help(change),
    }
}

fn listening_socket(address: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Only lets us bind over connections in TIME_WAIT; two listeners are still refused.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
