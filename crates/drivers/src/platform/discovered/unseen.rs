//! Why a Consul names nobody: there may be nobody, or the token may not see them.
//!
//! Consul leaves out what a token may not read and answers all the same, so an answer without anybody is
//! looked into. It reads, and says what is missing; what is done about it is decided elsewhere.

use model::{Fault, Kind};

use crate::agent::{Agent, Purpose, right};

/// A fault when instances of this service are hidden from the token, or would be. `path` is the service as
/// it stands in a path; `partial` says that Consul told of something that it left out.
pub(super) async fn must_be_seen(
    agent: &Agent,
    (service, path): (&str, &str),
    partial: bool,
) -> Result<(), Fault> {
    if let Some(right) = agent.denied(&[right("service", "read", service)]).await? {
        return Err(hidden(agent, &right));
    }
    if partial || no_node_is_seen(agent, (service, path)).await? {
        return Err(hidden(agent, "read the nodes that its instances are on (`node:read`)"));
    }
    Ok(())
}

/// An older Consul does not tell what it left out; but it lists a service by the right to read services
/// alone, and its instances only to who may read their nodes.
async fn no_node_is_seen(agent: &Agent, (service, path): (&str, &str)) -> Result<bool, Fault> {
    if agent.denied(&[right("node", "read", "")]).await?.is_none() {
        return Ok(false);
    }
    let services = agent.get("/v1/catalog/services").await?.json(agent)?;
    if services.get(service).is_none() {
        return Ok(false);
    }
    let all = agent.get(&format!("/v1/health/service/{path}")).await?.json(agent)?;
    Ok(all.as_array().is_some_and(Vec::is_empty))
}

fn hidden(agent: &Agent, right: &str) -> Fault {
    let whose = if agent.token.is_some() { "the token" } else { "who shows no token" };
    let what = format!("{whose} may not {right} at Consul {agent}");
    Fault::new(Kind::Config, what).help(Purpose::Read.rights())
}
