//! Our own proxies as `status` shows them: the one that takes new connections, and those before it.
//!
//! It only looks: which proxy runs is kept in `keeper`, those before it in `others`.

use std::path::Path;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use futures_util::future::join_all;
use model::admin::ProxySeen;
use serde::{Deserialize, Serialize};

use super::layout::Layout;

/// One that does not answer within this is not shown: people wait.
const PATIENCE: Duration = Duration::from_millis(300);

/// One proxy, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProxyStatus {
    /// Process id.
    pub(crate) pid: u32,
    /// Version of its binary.
    pub(crate) version: String,
    /// Client connections open.
    pub(crate) connections: u64,
    /// It was replaced, or is about to be: its connections finish.
    pub(crate) leaving: bool,
}

/// Where they are; nowhere if somebody else carries the traffic.
#[derive(Clone, Debug)]
pub(super) struct Proxies(pub(super) Option<Layout>);

impl Proxies {
    /// Those that answer.
    pub(super) async fn look(&self) -> Vec<ProxyStatus> {
        let Some(layout) = &self.0 else { return Vec::new() };
        let others = layout.other_proxy_sockets().into_iter().map(|socket| (socket, true));
        let all = std::iter::once((layout.proxy_socket(), false)).chain(others);
        let looks = all.map(|(socket, leaving)| async move { look(&socket, leaving).await });
        join_all(looks).await.into_iter().flatten().collect()
    }
}

async fn look(socket: &Path, leaving: bool) -> Option<ProxyStatus> {
    let proxy = Proxy::new(socket);
    let seen = tokio::time::timeout(PATIENCE, proxy.seen()).await.ok()?.ok()?;
    let ProxySeen { pid, version, connections, .. } = seen;
    Some(ProxyStatus { pid, version, connections, leaving })
}
