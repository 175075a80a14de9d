//! Who ships an app through this Consul: one controller at a time.
//!
//! A key with the name of its owner, held by a session that ends when nobody renews it. Whoever comes
//! back under the same id takes it over at once. Its epoch is the key's `LockIndex`, which Consul raises with
//! each new holder. What Consul cannot compare itself, such as a change at an agent, is only sent while the
//! session cannot have ended by our own clock. What the owner does is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::{AppName, Fault, Kind};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::words::clean;

/// How long a session lives that is not renewed; Consul knows no shorter one than 10 s, and ends it within
/// twice as long.
const TTL: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEWED: Duration = Duration::from_secs(4);
/// What is not sent so long after it was renewed is not sent: an answer may take three seconds more.
const SURE: Duration = Duration::from_secs(10);

/// A controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Says which one it is: no other controller has it, and it keeps it when it is started again.
    pub id: String,
    /// Where it runs, for people.
    pub host: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.id, self.host)
    }
}

/// What we have of the locks.
#[derive(Debug, Default)]
pub(super) struct Lock {
    session: Option<Session>,
    /// The epoch in which each app was ours last.
    epochs: BTreeMap<AppName, u64>,
}

/// Our session.
#[derive(Debug)]
struct Session {
    id: String,
    /// When it was last asked for, so that it lives for a `TTL` from here at least.
    renewed: Instant,
}

/// The right to change what Consul has of an app.
#[derive(Clone, Debug)]
pub(in crate::router) struct Lease {
    /// Grows with each new holder.
    pub(in crate::router) epoch: u64,
    pub(super) session: String,
    /// Until then it is sure.
    pub(super) until: Instant,
}

/// The name of an app's key.
pub(super) fn name(app: &AppName) -> String {
    format!("cutover/{app}/owner")
}

/// Who has the key of an app, and in which epoch.
struct Holder {
    id: String,
    host: String,
    /// Empty when nobody has it any more.
    session: String,
    epoch: u64,
}

/// Makes sure that the app is ours, now. Of kind `Environment` when it is another controller's.
pub(super) async fn hold(
    agent: &Agent,
    (owner, app): (&Owner, &AppName),
    lock: &mut Lock,
) -> Result<Lease, Fault> {
    // A session that has ended meanwhile is only found out by using it.
    for _ in 0..2 {
        let (session, renewed) = keep(agent, owner, lock).await?;
        let before = holder(agent, app).await?;
        let ours = before.as_ref().is_some_and(|one| one.session == session);
        if !ours && !take(agent, (owner, app), (&session, before)).await? {
            lock.session = None;
            continue;
        }
        let found = holder(agent, app).await?.filter(|one| one.session == session);
        let Some(Holder { epoch, .. }) = found else { continue };
        let last = lock.epochs.insert(app.clone(), epoch);
        if last.is_some_and(|last| epoch > last.saturating_add(1)) {
            let what =
                format!("{app} was shipped through Consul at {agent} by another Cutover meanwhile");
            let why = format!("we had epoch {}, and now have {epoch}", last.unwrap_or_default());
            return Err(Fault::environment(what)
                .note(why)
                .help("let one of them ship it; what is wanted here is carried again"));
        }
        return Ok(Lease { epoch, session, until: renewed + SURE });
    }
    let what = format!("the lock of {app} at Consul {agent} went to another Cutover meanwhile");
    Err(Fault::new(Kind::Conflict, what).help("look and plan again"))
}

/// Takes the key with a session. False when the session is none any more, or somebody was faster.
async fn take(
    agent: &Agent,
    (owner, app): (&Owner, &AppName),
    (session, before): (&str, Option<Holder>),
) -> Result<bool, Fault> {
    if let Some(held) = before.filter(|one| !one.session.is_empty()) {
        if held.id != owner.id {
            return Err(taken(agent, app, &held));
        }
        // What we held before a crash, or before the agent forgot us.
        agent.put(&format!("/v1/session/destroy/{}", held.session), None).await?;
    }
    let path = format!("/v1/kv/{}?acquire={session}", name(app));
    let wish = json!({ "owner": owner.id, "host": owner.host });
    match agent.put(&path, Some(&wish)).await {
        Ok(said) => Ok(said.body.trim() == "true"),
        Err(fault) if fault.what.contains("invalid session") => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Refuses when another controller has an app; changes nothing.
pub(super) async fn free(agent: &Agent, (owner, app): (&Owner, &AppName)) -> Result<(), Fault> {
    match holder(agent, app).await? {
        Some(held) if !held.session.is_empty() && held.id != owner.id => {
            Err(taken(agent, app, &held))
        }
        _ => Ok(()),
    }
}

/// Keeps our session alive, if there is one; whether it is, is asked when it matters.
pub(super) async fn renew(agent: &Agent, lock: &mut Lock) {
    let old = |one: &&mut Session| one.renewed.elapsed() >= RENEWED;
    let Some(one) = lock.session.as_mut().filter(old) else { return };
    let now = Instant::now();
    let said = agent.put(&format!("/v1/session/renew/{}", one.id), None).await;
    match said {
        Ok(_) => one.renewed = now,
        // Away: it may still be known there when it is back.
        Err(fault) if fault.kind == Kind::Environment => {}
        Err(ended) => {
            tracing::warn!("our session at Consul {agent} has ended: {ended}");
            lock.session = None;
        }
    }
}

/// Keeps our session alive, or begins one; when it was last asked for.
async fn keep(agent: &Agent, owner: &Owner, lock: &mut Lock) -> Result<(String, Instant), Fault> {
    renew(agent, lock).await;
    if let Some(one) = &lock.session {
        return Ok((one.id.clone(), one.renewed));
    }
    // No delay of the lock: whoever lost it sends nothing that is late, and who comes back waits for nobody.
    let wish = json!({
        "Name": format!("cutover {owner}"),
        "TTL": format!("{}s", TTL.as_secs()),
        "LockDelay": "0s",
        "Behavior": "release"
    });
    let renewed = Instant::now();
    let made = agent.put("/v1/session/create", Some(&wish)).await?;
    let id = made.json(agent)?["ID"].as_str().map(str::to_owned);
    let id = id.ok_or_else(|| agent.odd(&made.body))?;
    lock.session = Some(Session { id: id.clone(), renewed });
    Ok((id, renewed))
}

/// The name of the agent's node, by a session that is begun and ended at once: nothing else says whether one may
/// be begun (it is a right to the node, whose name only Consul knows).
pub(super) async fn node(agent: &Agent) -> Result<String, Fault> {
    let wish = json!({ "Name": "cutover asks", "TTL": format!("{}s", TTL.as_secs()) });
    let made = agent.put("/v1/session/create", Some(&wish)).await.map_err(|fault| {
        if fault.kind != Kind::Config {
            return fault;
        }
        let what = format!(
            "the token may not write a session of the agent's node (`session:write`): {}",
            fault.what
        );
        Fault { what, ..fault }
    })?;
    let id = made.json(agent)?["ID"].as_str().map(str::to_owned);
    let id = id.ok_or_else(|| agent.odd(&made.body))?;
    let told = agent.get(&format!("/v1/session/info/{id}")).await;
    agent.put(&format!("/v1/session/destroy/{id}"), None).await?;
    let told = told?;
    let node = told.json(agent)?[0]["Node"].as_str().map(str::to_owned);
    node.ok_or_else(|| agent.odd(&told.body))
}

async fn holder(agent: &Agent, app: &AppName) -> Result<Option<Holder>, Fault> {
    let said = agent.get(&format!("/v1/kv/{}?consistent", name(app))).await?;
    if said.status == 404 {
        return Ok(None);
    }
    // Who holds it and by which session is one answer: of two, the lock may have changed hands between them.
    let entry = &said.json(agent)?[0];
    let raw = entry["Value"].as_str().and_then(|value| BASE64.decode(value).ok());
    let named: Value = serde_json::from_slice(&raw.unwrap_or_default()).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Some(Holder {
        id: text(&named["owner"]),
        host: text(&named["host"]),
        session: text(&entry["Session"]),
        epoch: entry["LockIndex"].as_u64().unwrap_or_default(),
    }))
}

fn taken(agent: &Agent, app: &AppName, by: &Holder) -> Fault {
    let by = Owner { id: by.id.clone(), host: by.host.clone() }.to_string();
    let by = clean(by.as_bytes(), 160);
    let what = format!("{app} is shipped through Consul at {agent} by another Cutover: {by}");
    Fault::environment(what)
        .help("stop one of them; what a Cutover held that is gone is free after half a minute")
}
