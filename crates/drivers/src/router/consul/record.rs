//! What whoever ships an app notes of it in Consul, for whoever ships it next: one key. It is only replaced by
//! who has the lock, and only as it was read. What it says is not known here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{AppName, Fault, Kind};
use serde_json::{Value, json};

use super::lock::{self, Lease};
use crate::agent::Agent;

/// What was noted, and where a change of it goes on.
#[derive(Clone, Debug, Default)]
pub(in crate::router) struct Noted {
    /// `None` before the first time.
    pub(in crate::router) what: Option<Value>,
    index: u64,
}

fn name(app: &AppName) -> String {
    format!("cutover/{app}/routes")
}

/// What was noted.
pub(super) async fn read(agent: &Agent, app: &AppName) -> Result<Noted, Fault> {
    let said = agent.get(&format!("/v1/kv/{}?raw&consistent", name(app))).await?;
    if said.status == 404 {
        return Ok(Noted::default());
    }
    Ok(Noted { what: Some(said.json(agent)?), index: said.index })
}

/// Notes it in place of what was read.
pub(super) async fn write(
    agent: &Agent,
    (app, lease): (&AppName, &Lease),
    (before, what): (&Noted, &Value),
) -> Result<(), Fault> {
    let text = STANDARD.encode(what.to_string());
    let steps = json!([
        { "KV": { "Verb": "check-session", "Key": lock::name(app), "Session": lease.session } },
        { "KV": { "Verb": "cas", "Key": name(app), "Index": before.index, "Value": text } },
    ]);
    if agent.transact(&steps).await? {
        return Ok(());
    }
    let what =
        format!("what Consul has on record of {app} was changed by another Cutover meanwhile");
    Err(Fault::new(Kind::Conflict, what).help("look and plan again"))
}
