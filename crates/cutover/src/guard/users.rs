//! What users meet at the new proxy of an upgrade and do not meet at the old one beside it.
//!
//! Both have the listening sockets until it is settled who stays, so each look asks both, and compares what
//! they have counted meanwhile. It decides neither how long to look nor what follows.

use drivers::router::proxy::Proxy;
use model::AppName;
use model::admin::{AppSeen, ProxySeen};

use crate::server::layout::Layout;
use crate::server::upgrade::ask_as_user;
use crate::server::upgrade::record::Record;

/// So often the new proxy must have failed where the old one serves: once may be chance.
const ENOUGH: u32 = 2;
/// So many requests of users that failed on it are no chance, where hardly any do on the old one.
const MANY: u64 = 5;

/// Both proxies, as users meet them.
pub(super) struct Users {
    usual: Proxy,
    other: Proxy,
    /// The new one's pid; none where somebody else carries the traffic.
    new: Option<u32>,
    serving: Vec<AppName>,
    failed: u32,
    /// What both had counted at the first look.
    before: Option<(u64, u64)>,
}

impl Users {
    pub(super) fn of(layout: &Layout, record: &Record) -> Self {
        Self {
            usual: Proxy::new(&layout.proxy_socket()),
            other: Proxy::new(&record.exchanged),
            new: record.proxy.map(|who| who.pid),
            serving: record.serving.clone(),
            failed: 0,
            before: None,
        }
    }

    /// True when the new proxy has failed too often.
    pub(super) const fn often(&self) -> bool {
        self.failed >= ENOUGH
    }

    /// How the new proxy fails users whom the old one serves, if it does. Where there is only one, there
    /// is nothing to compare.
    pub(super) async fn failed(&mut self) -> Option<String> {
        let (Ok(new), Ok(old)) = (self.usual.seen().await, self.other.seen().await) else {
            return None;
        };
        if self.new != Some(new.pid) {
            return None;
        }
        let counted = (failures(&new), failures(&old));
        let before = *self.before.get_or_insert(counted);
        let more = (counted.0.saturating_sub(before.0), counted.1.saturating_sub(before.1));
        if more.0 >= MANY && more.0 > 4 * more.1 {
            self.failed = ENOUGH;
            let (new, old) = more;
            return Some(format!("{new} requests of users failed on its proxy, {old} on the old"));
        }
        for app in new.apps.iter().filter(|app| self.serving.contains(&app.routes.app)) {
            let Some(why) = fails(&self.usual, app).await else { continue };
            let Some(known) = old.apps.iter().find(|one| one.routes.app == app.routes.app) else {
                continue;
            };
            // What is wrong with the app itself is no fault of the new proxy.
            if fails(&self.other, known).await.is_none() {
                self.failed += 1;
                return Some(format!("{why}, where the old proxy serves"));
            }
        }
        None
    }
}

/// How a proxy fails a user of an app; what the app itself answers is none of its failures.
async fn fails(proxy: &Proxy, app: &AppSeen) -> Option<String> {
    let name = &app.routes.app;
    let head = match ask_as_user(proxy, &app.routes).await {
        Ok(head) => head,
        Err(fault) => return Some(fault.what),
    };
    let said = head.lines().next().unwrap_or_default();
    if !said.split(' ').nth(1).is_some_and(|status| status.starts_with('5')) {
        return None;
    }
    let stamped = head.to_ascii_lowercase().contains("x-cutover-instance:");
    let failed = async {
        let seen = proxy.seen().await.ok()?;
        seen.apps.into_iter().find(|one| one.routes.app == *name).map(|one| of_app(&one))
    };
    let of_app_itself = stamped && failed.await == Some(of_app(app));
    (!of_app_itself).then(|| format!("a user of `{name}` is answered {said}"))
}

fn failures(seen: &ProxySeen) -> u64 {
    seen.apps.iter().map(of_app).sum()
}

/// Requests that failed at the proxy, and could not be sent again.
fn of_app(app: &AppSeen) -> u64 {
    app.releases.iter().map(|release| release.failed).sum()
}
