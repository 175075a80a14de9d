//! What whoever ships an app notes of it in Consul, for whoever ships it next: one key. What it says is
//! not known here.

use model::{AppName, Fault};
use serde_json::Value;

use crate::agent::Agent;

fn key(app: &AppName) -> String {
    format!("/v1/kv/cutover/{app}/routes")
}

/// What was noted; `None` before the first time.
pub(super) async fn read(agent: &Agent, app: &AppName) -> Result<Option<Value>, Fault> {
    let said = agent.get(&format!("{}?raw&consistent", key(app))).await?;
    if said.status == 404 {
        return Ok(None);
    }
    said.json(agent).map(Some)
}

/// Notes it.
pub(super) async fn write(agent: &Agent, app: &AppName, what: &Value) -> Result<(), Fault> {
    agent.put(&key(app), Some(what)).await.map(drop)
}
