//! Another configuration for a proxy that runs. What it refuses leaves everything as it was; one that is being replaced
//! beside it is told the same, and may refuse.
//!
//! It starts no proxy: that, and what is done when one dies, is the rest of `keeper`.

use std::net::SocketAddr;
use std::pin::pin;

use model::Fault;
use tokio::time::sleep;

use super::Keeper;
use crate::config::ProxyConfig;
use crate::server::listener::Listener;
use crate::server::others;

impl Keeper {
    /// Resolves when the proxy does not run any more, with how it ended; takes other configurations
    /// meanwhile.
    pub(super) async fn attend(&mut self) -> String {
        let running = self.running.clone();
        let mut ended = pin!(async {
            if let Some(running) = &running {
                running.ended().await;
            }
        });
        loop {
            tokio::select! {
                () = &mut ended => break,
                () = sleep(super::OFFER_EVERY), if self.uncertified => self.offer_again().await,
                Some(order) = self.orders.1.recv() => {
                    let done = self.reconfigure(order.config).await;
                    // Whoever asked may have gone away; that changes nothing.
                    drop(order.reply.send(done));
                }
            }
        }
        self.gone().await
    }

    /// What can fail comes first: ports, what it tells of itself, certificates.
    async fn reconfigure(&mut self, config: ProxyConfig) -> Result<(), Fault> {
        let known: Vec<SocketAddr> = self.listeners.iter().map(|one| one.address).collect();
        let plain = config.listen.iter().map(|at| (*at, false));
        let all = plain.chain(config.tls_listen.iter().map(|at| (*at, true)));
        let new: Vec<Listener> = all
            .filter(|(address, _)| !known.contains(address))
            .map(|(address, secure)| Listener::bind(address, secure))
            .collect::<Result<_, _>>()?;
        self.listeners.iter().try_for_each(|one| one.must_fit(&config))?;
        let before = std::mem::replace(&mut self.config, config);
        let kept = self.listeners.len();
        self.listeners.extend(new);
        let done = self.take_up(&known).await;
        if done.is_ok() {
            self.told.send_replace(self.config.clone());
            for other in others::find(&self.layout).await {
                other.take_up(&self.config).await;
            }
        } else {
            self.listeners.truncate(kept);
            self.config = before;
            // It could be told so before, and a proxy that is away is told at its start.
            drop(self.observe().await);
        }
        done
    }

    async fn take_up(&mut self, known: &[SocketAddr]) -> Result<(), Fault> {
        self.observe().await?;
        if !self.config.certificates.is_empty() {
            self.proxy.certify(&self.config.certificates).await?;
        }
        self.configure().await?;
        self.hand_over(known).await
    }
}
