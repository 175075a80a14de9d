//! The address at which an entrance is reached from this machine. Says nothing of whether anybody answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where one connects to who listens on every address: to this machine.
#[must_use]
pub fn reachable(mut entrance: SocketAddr) -> SocketAddr {
    if entrance.ip().is_unspecified() {
        let loopback: IpAddr = match entrance {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        entrance.set_ip(loopback);
    }
    entrance
}
