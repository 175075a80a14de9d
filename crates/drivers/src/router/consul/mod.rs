//! Consul, where instances are registered that followers take from there, such as a HAProxy.
//!
//! It registers, takes out (maintenance) and removes instances at an agent, and says what the agent has.
//! Each change is waited for in the catalog, which is what followers read, by blocking queries. One
//! controller at a time does so. Who gets traffic is not decided here, nor whether anybody follows.

mod entry;
#[cfg(test)]
mod fuzz;
mod lock;
mod record;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use model::{AppName, Fault, Instance, InstanceId, Kind, Secure, Version};
use serde_json::Value;

pub use crate::agent::Token;
use crate::agent::{Agent, Purpose, right};
use crate::check::{ask, connect};
use entry::{Check, More, registration, service_id};
pub(super) use entry::{Entry, Health};
pub(super) use lock::Lease;
use lock::Lock;
pub use lock::Owner;
pub(super) use record::Noted;

/// How long a change may take to be in the catalog before somebody looks again.
const IN_CATALOG: Duration = Duration::from_secs(2);

/// How long an instance may take to say that it is well.
const CHECKED: Duration = Duration::from_secs(1);

/// What the driver must be told of a Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The HTTP API of the agent of this machine.
    pub agent: SocketAddr,
    /// How it is spoken to over TLS, if it is.
    pub secure: Option<Secure>,
    /// What it wants to be shown.
    pub token: Option<Token>,
    /// Whose apps these are.
    pub owner: Owner,
    /// The apps.
    pub apps: Vec<AppSetup>,
    /// How long a follower may take to leave whom Consul does not name any more, before it is told.
    pub followed_within: Duration,
}

/// [`Setup::followed_within`] where DNS is asked several times a second.
pub const FOLLOWED_WITHIN: Duration = Duration::from_secs(1);

impl Setup {
    /// The agent of this machine where agents usually are, for nobody's apps.
    pub fn local() -> Self {
        let agent = ([127, 0, 0, 1], 8500).into();
        Self {
            agent,
            secure: None,
            token: None,
            owner: Owner { id: "cutover".to_owned(), host: "here".to_owned() },
            apps: Vec::new(),
            followed_within: FOLLOWED_WITHIN,
        }
    }
}

/// One app; its service has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSetup {
    /// Its name.
    pub name: AppName,
    /// Path that Consul asks instances for; `None` means that a connection is enough.
    pub check_path: Option<String>,
    /// Pause between checks, ms; Consul knows none below a second.
    pub check_ms: u64,
    /// More tags of each instance, for followers that look at them; `{version}` and `{instance}` are
    /// filled in.
    pub tags: Vec<String>,
    /// More metadata, likewise.
    pub meta: BTreeMap<String, String>,
}

/// A Consul by one of its agents.
#[derive(Debug)]
pub struct Consul {
    agent: Agent,
    owner: Owner,
    apps: Vec<AppSetup>,
    followed_within: Duration,
    reached_at: Option<IpAddr>,
    lock: tokio::sync::Mutex<Lock>,
}

/// Refuses an address that this machine has not: nobody could listen there.
pub fn of_this_machine(address: IpAddr) -> Result<(), Fault> {
    match TcpListener::bind((address, 0)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let what = format!(
                "`{address}`, which is `address` under [router], is no address of this machine"
            );
            Err(Fault::new(Kind::Config, what).help(
                "write one that `ip address` shows, by which those who follow Consul reach this machine",
            ))
        }
        _ => Ok(()),
    }
}

impl Consul {
    /// Nothing is asked yet.
    pub fn new(setup: Setup) -> Self {
        let Setup { agent: address, secure, token, owner, apps, followed_within } = setup;
        Self {
            agent: Agent { address, secure, token, purpose: Purpose::Register },
            owner,
            apps,
            followed_within,
            reached_at: None,
            lock: tokio::sync::Mutex::default(),
        }
    }

    /// The same for instances that are registered at this address of the machine, not at 127.0.0.1.
    #[must_use]
    pub fn reached_at(self, address: Option<IpAddr>) -> Self {
        Self { reached_at: address, ..self }
    }

    /// Which controller this is.
    pub(super) fn id(&self) -> &str {
        &self.owner.id
    }

    /// How long a follower may take.
    pub(super) const fn followed_within(&self) -> Duration {
        self.followed_within
    }

    /// Asks it for its leader. Of kind `Environment` when it is away or has none.
    pub(super) async fn reach(&self) -> Result<(), Fault> {
        let leader = self.agent.get("/v1/status/leader").await?;
        match leader.json(&self.agent)?.as_str() {
            Some("") => {
                let what = format!("Consul at {} has no leader", self.agent);
                Err(Fault::environment(what).help("start its servers, or wait for them"))
            }
            Some(_) => Ok(()),
            None => Err(self.agent.odd(&leader.body)),
        }
    }

    /// Whether it is there, the token may do what a rollout needs, and DNS may tell what is registered.
    /// Changes nothing that stays.
    pub(super) async fn preflight(&self, apps: &[AppName]) -> Result<(), Fault> {
        let node = self.worked_with(apps).await?;
        // DNS shows no token: who asks it may read what somebody may who has none.
        let nobody = Agent { token: None, ..self.agent.clone() };
        let read = |app: &AppName| right("service", "read", app.as_str());
        let mut asked: Vec<Value> = apps.iter().map(read).collect();
        // An instance is told of only to who may read its node, too.
        asked.push(right("node", "read", &node));
        if let Some(question) = nobody.denied(&asked).await? {
            let what = format!("who asks the DNS of Consul {} may not {question}", self.agent);
            return Err(Fault::new(Kind::Config, what).help(
                "give the agent's default token, or the anonymous one, a policy with `service_prefix \"\" \
                 { policy = \"read\" }` and `node_prefix \"\" { policy = \"read\" }`",
            ));
        }
        Ok(())
    }

    /// Whether it is there, and the token may do what a rollout needs. Changes nothing that stays.
    pub(super) async fn ready(&self, apps: &[AppName]) -> Result<(), Fault> {
        self.worked_with(apps).await.map(drop)
    }

    /// The same; the name of the agent's node.
    async fn worked_with(&self, apps: &[AppName]) -> Result<String, Fault> {
        self.reached_at.map_or(Ok(()), of_this_machine)?;
        self.reach().await?;
        let node = lock::node(&self.agent).await?;
        let mut asked = vec![right("node", "read", &node)];
        for app in apps {
            asked.push(right("service", "write", app.as_str()));
            asked.push(right("key", "write", &format!("cutover/{app}/owner")));
            asked.push(right("key", "write", &format!("cutover/{app}/routes")));
        }
        self.may(&asked).await?;
        Ok(node)
    }

    /// A fault that names the first of these rights that the token has not.
    async fn may(&self, rights: &[Value]) -> Result<(), Fault> {
        let Some(question) = self.agent.denied(rights).await? else { return Ok(()) };
        let what = format!("the token may not {question} at Consul {}", self.agent);
        Err(Fault::new(Kind::Config, what).help(Purpose::Register.rights()))
    }

    /// Makes sure that no other controller ships this app; see `lock`.
    pub(super) async fn hold(&self, app: &AppName) -> Result<Lease, Fault> {
        let mut lock = self.lock.lock().await;
        lock::hold(&self.agent, (&self.owner, app), &mut lock).await
    }

    /// Refuses when another controller ships one of these apps. Changes nothing.
    pub(super) async fn unheld(&self, apps: &[AppName]) -> Result<(), Fault> {
        for app in apps {
            lock::free(&self.agent, (&self.owner, app)).await?;
        }
        Ok(())
    }

    /// Changes something of an app at the agent, which cannot compare epochs: while the app is surely ours.
    async fn change(
        &self,
        app: &AppName,
        (path, body): (&str, Option<&Value>),
    ) -> Result<(), Fault> {
        let lease = self.hold(app).await?;
        self.agent.put_until(path, body, lease.until).await.map(drop)
    }

    /// Stays the controller that it is; for as long as it is called every few seconds.
    pub(super) async fn stay(&self) {
        // Whoever is just asking for it renews it, too.
        if let Ok(mut lock) = self.lock.try_lock() {
            lock::renew(&self.agent, &mut lock).await;
        }
    }

    /// What the agent has of an app.
    pub(super) async fn entries(&self, app: &AppName) -> Result<Vec<Entry>, Fault> {
        let said = self.agent.get(&format!("/v1/agent/health/service/name/{app}")).await?;
        entry::read(&said.json(&self.agent)?).ok_or_else(|| self.agent.odd(&said.body))
    }

    /// Registers an instance in a group. Followers get it at once if it passes the check that Consul will
    /// go on with, else when it does.
    pub(super) async fn register(
        &self,
        app: &AppName,
        (group, version): (&str, &Version),
        instance: &Instance,
    ) -> Result<(), Fault> {
        let setup = self.apps.iter().find(|one| one.name == *app);
        let check = Check {
            path: setup.and_then(|setup| setup.check_path.as_deref()),
            ms: setup.map_or(1_000, |setup| setup.check_ms),
        };
        // What Consul would ask at its next tick, up to a second from now.
        let well = match check.path {
            Some(path) => {
                let host = instance.address.to_string();
                let answer = ask(instance.address, &host, path, CHECKED).await;
                answer.is_ok_and(|answer| (200..300).contains(&answer.status))
            }
            None => connect(instance.address, CHECKED).await.is_ok(),
        };
        let (no_tags, no_meta) = (Vec::new(), BTreeMap::new());
        let more = More {
            tags: setup.map_or(&no_tags, |setup| &setup.tags),
            meta: setup.map_or(&no_meta, |setup| &setup.meta),
        };
        let wish = registration(app, (group, version), instance, (&check, well, more));
        self.change(app, ("/v1/agent/service/register", Some(&wish))).await?;
        self.in_catalog(app, |entries| of(entries, group, &instance.id).is_some()).await
    }

    /// Takes an instance out of every answer, or brings it back; it stays registered.
    pub(super) async fn part(
        &self,
        app: &AppName,
        (group, id): (&str, &InstanceId),
        parted: bool,
    ) -> Result<(), Fault> {
        let id_of = service_id(app, group, id);
        let path = format!("/v1/agent/service/maintenance/{id_of}?enable={parted}&reason=cutover");
        self.change(app, (&path, None)).await?;
        let done =
            |entries: &[Entry]| of(entries, group, id).is_none_or(|one| one.parted == parted);
        self.in_catalog(app, done).await
    }

    /// Removes an instance.
    pub(super) async fn remove(
        &self,
        app: &AppName,
        group: &str,
        id: &InstanceId,
    ) -> Result<(), Fault> {
        let path = format!("/v1/agent/service/deregister/{}", service_id(app, group, id));
        self.change(app, (&path, None)).await?;
        self.in_catalog(app, |entries| of(entries, group, id).is_none()).await
    }

    /// Removes all instances of an app, which have ended.
    pub(super) async fn forget(&self, app: &AppName) -> Result<(), Fault> {
        let entries = self.entries(app).await?;
        if entries.is_empty() {
            return Ok(());
        }
        self.hold(app).await?;
        for one in &entries {
            self.remove(app, &one.group, &one.id).await?;
        }
        Ok(())
    }

    /// What [`Self::note`] noted of an app.
    pub(super) async fn noted(&self, app: &AppName) -> Result<Noted, Fault> {
        record::read(&self.agent, app).await
    }

    /// Notes something of an app in place of what was noted before, for whoever ships it next.
    pub(super) async fn note(
        &self,
        of: (&AppName, &Lease),
        change: (&Noted, &Value),
    ) -> Result<(), Fault> {
        record::write(&self.agent, of, change).await
    }

    /// Watches the catalog until it has a change, for a moment: what takes longer the next look sees.
    async fn in_catalog(
        &self,
        app: &AppName,
        done: impl Fn(&[Entry]) -> bool,
    ) -> Result<(), Fault> {
        let until = Instant::now() + IN_CATALOG;
        let mut index = 0;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let path = format!(
                "/v1/health/service/{app}?index={index}&wait={}ms",
                left.as_millis().max(1)
            );
            let said = self.agent.watch(&path, left).await?;
            let entries = entry::read(&said.json(&self.agent)?);
            if entries.is_some_and(|entries| done(&entries)) {
                break;
            }
            // One that went back began anew; one that is not told is asked for from the first on, and not at once again.
            let told = said.index.max(1);
            index = if told < index { 0 } else { told };
        }
        Ok(())
    }
}

fn of<'a>(entries: &'a [Entry], group: &str, id: &InstanceId) -> Option<&'a Entry> {
    entries.iter().find(|one| one.group == group && one.id == *id)
}
