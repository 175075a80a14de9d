//! Who ships an app through this Consul: one controller at a time.
//!
//! A key with the name of its owner, held by a session that ends when nobody renews it. Whoever comes
//! back under the same name takes it over at once. What the owner does is not known here.

use std::time::{Duration, Instant};

use model::{AppName, Fault, Kind};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::words::clean;

/// How long a session lives that is not renewed; Consul knows no shorter one than 10 s.
const TTL: &str = "15s";
/// How often it is renewed.
const RENEWED: Duration = Duration::from_secs(4);

/// Our session.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    renewed: Instant,
}

/// The key of an app.
fn key(app: &AppName) -> String {
    format!("/v1/kv/cutover/{app}/owner")
}

/// Makes sure that the app is ours, now. Of kind `Conflict` when it is another controller's.
pub(super) async fn hold(
    agent: &Agent,
    (owner, app): (&str, &AppName),
    session: &mut Option<Session>,
) -> Result<(), Fault> {
    keep(agent, owner, session).await?;
    let ours = session.as_ref().map(|one| one.id.clone()).unwrap_or_default();
    let holder = holder(agent, app).await?;
    match holder {
        Some((_, holds)) if holds == ours => return Ok(()),
        // What we held before a crash, or before the agent forgot us.
        Some((named, holds)) if named == owner && !holds.is_empty() => {
            agent.put(&format!("/v1/session/destroy/{holds}"), None).await?;
        }
        Some((named, holds)) if !holds.is_empty() => return Err(taken(agent, app, &named)),
        _ => {}
    }
    let path = format!("{}?acquire={ours}", key(app));
    let said = agent.put(&path, Some(&json!({ "owner": owner }))).await;
    if said.as_ref().is_ok_and(|said| said.body.trim() == "true") {
        return Ok(());
    }
    // Somebody was faster, or the session ended: the next try tells.
    *session = None;
    said?;
    Err(taken(agent, app, "another one"))
}

/// Keeps our session alive, if there is one; whether it is, is asked when it matters.
pub(super) async fn renew(agent: &Agent, session: &mut Option<Session>) {
    let Some(one) = session.as_mut().filter(|one| one.renewed.elapsed() >= RENEWED) else { return };
    let said = agent.put(&format!("/v1/session/renew/{}", one.id), None).await;
    match said {
        Ok(_) => one.renewed = Instant::now(),
        // Away: it may still be known there when it is back.
        Err(fault) if fault.kind == Kind::Environment => {}
        Err(_ended) => *session = None,
    }
}

/// Keeps our session alive, or begins one.
async fn keep(agent: &Agent, owner: &str, session: &mut Option<Session>) -> Result<(), Fault> {
    renew(agent, session).await;
    if session.is_some() {
        return Ok(());
    }
    let wish = json!({
        "Name": format!("cutover {owner}"),
        "TTL": TTL,
        "LockDelay": "0s",
        "Behavior": "release"
    });
    let made = agent.put("/v1/session/create", Some(&wish)).await?;
    let id = made.json(agent)?["ID"].as_str().map(str::to_owned);
    let id = id.ok_or_else(|| agent.odd(&made.body))?;
    *session = Some(Session { id, renewed: Instant::now() });
    Ok(())
}

/// The owner that the key names, and the session that holds it, if one does.
async fn holder(agent: &Agent, app: &AppName) -> Result<Option<(String, String)>, Fault> {
    let said = agent.get(&format!("{}?consistent", key(app))).await?;
    if said.status == 404 {
        return Ok(None);
    }
    let entry = &said.json(agent)?[0];
    let raw = agent.get(&format!("{}?raw&consistent", key(app))).await?;
    let named: Value = serde_json::from_str(&raw.body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Some((text(&named["owner"]), text(&entry["Session"]))))
}

fn taken(agent: &Agent, app: &AppName, by: &str) -> Fault {
    let by = clean(by.as_bytes(), 80);
    let what = format!("{app} is shipped through Consul at {agent} by another Cutover: {by}");
    Fault::new(Kind::Conflict, what)
        .help("stop one of them; what a Cutover held that is gone is free after half a minute")
}
