//! Where users come in: the listeners that the proxy gets, and the certificates that it shows there.
//!
//! One certificate that went bad keeps nobody out but those who need it. It binds nothing, and decides
//! nothing about when a proxy may let users in.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use model::{Fault, Kind};

use super::Keeper;
use crate::server::listener::Listener;

impl Keeper {
    /// Gives the proxy what it does not listen on yet. Certificates that became unusable keep nobody
    /// out who does not speak TLS: as long as there is no other, those who do wait in the backlog.
    pub(super) async fn hand_over(&mut self, listening: &[SocketAddr]) -> Result<(), Fault> {
        let missing = |one: &&Listener| !listening.contains(&one.address);
        let (secure, plain): (Vec<_>, Vec<_>) =
            self.listeners.iter().filter(missing).partition(|one| one.secure);
        for Listener { address, socket, .. } in plain {
            self.proxy.send_listener(socket.as_fd(), *address).await?;
        }
        if secure.is_empty() {
            return Ok(());
        }
        match self.certify().await {
            Err(fault) if fault.kind == Kind::Config => {
                if !std::mem::replace(&mut self.uncertified, true) {
                    tracing::error!("{fault}; clients over TLS wait until it is mended");
                }
                return Ok(());
            }
            done => done?,
        }
        for Listener { address, socket, .. } in secure {
            self.proxy.send_tls_listener(socket.as_fd(), *address).await?;
        }
        self.uncertified = false;
        Ok(())
    }

    /// A certificate may be there meanwhile for those who wait for one.
    pub(super) async fn offer_again(&mut self) {
        // A proxy that does not answer has ended, or is asked again.
        let Ok(seen) = self.proxy.seen().await else { return };
        if let Err(fault) = self.hand_over(&seen.listening).await {
            tracing::error!("{fault}; trying again until it is mended");
        }
    }

    /// Has the proxy read the certificates. One that went bad since somebody looked at it takes nothing
    /// from the others, and is told of.
    pub(super) async fn certify(&self) -> Result<(), Fault> {
        if self.config.certificates.is_empty() {
            return Ok(());
        }
        for words in self.proxy.certify_as_far_as_possible(&self.config.certificates).await? {
            tracing::warn!("{words}; mend it, then run `cutover reload`");
        }
        Ok(())
    }
}
