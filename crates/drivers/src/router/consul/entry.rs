//! Instances as entries of a service: what is registered, and what is read back. Pure.
//!
//! One service per app; the group that a follower takes (`_APP._GROUP.service.consul`) and the version
//! are tags. Entries without Cutover's marks are somebody else's and are not seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{AppName, Instance, InstanceId, Version};
use serde_json::{Value, json};

use crate::words::clean;

/// The marks of an entry: which instance it is, and in which group.
const INSTANCE: &str = "cutover-instance";
const GROUP: &str = "cutover-group";
/// How the check begins by which Consul keeps an entry out of every answer.
const MAINTENANCE: &str = "_service_maintenance:";

/// An instance as Consul has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::router) struct Entry {
    pub(in crate::router) group: String,
    pub(in crate::router) id: InstanceId,
    pub(in crate::router) address: SocketAddr,
    /// In maintenance: no follower gets it.
    pub(in crate::router) parted: bool,
    pub(in crate::router) health: Health,
}

/// What Consul's own check says of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::router) enum Health {
    Passing,
    /// It has not been asked yet.
    Unasked,
    /// In Consul's words.
    Failing(String),
}

/// How an instance is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check<'a> {
    pub(super) path: Option<&'a str>,
    pub(super) ms: u64,
}

/// What is registered beside what Cutover needs itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct More<'a> {
    pub(super) tags: &'a [String],
    pub(super) meta: &'a BTreeMap<String, String>,
}

/// The name of an entry.
pub(super) fn service_id(app: &AppName, group: &str, id: &InstanceId) -> String {
    format!("{app}.{group}.{id}")
}

/// What is registered. Unless it is `well` it is out of every answer until a check of Consul's has passed.
pub(super) fn registration(
    app: &AppName,
    (group, version): (&str, &Version),
    instance: &Instance,
    (check, well, more): (&Check<'_>, bool, More<'_>),
) -> Value {
    let fill = |text: &String| {
        json!(text.replace("{version}", version.as_str()).replace("{instance}", &instance.id.0))
    };
    let mut tags = vec![json!(group), json!(version.as_str())];
    tags.extend(more.tags.iter().map(fill));
    let mut meta = json!({ "version": version.as_str() });
    for (key, value) in more.meta {
        meta[key] = fill(value);
    }
    (meta[INSTANCE], meta[GROUP]) = (json!(instance.id.0), json!(group));
    let address = instance.address;
    // Consul raises shorter ones to a second, and says so in its log each time.
    let interval = format!("{}ms", check.ms.max(1_000));
    let mut checked = json!({ "Interval": interval, "Timeout": "2s" });
    checked["Status"] = json!(if well { "passing" } else { "critical" });
    match check.path {
        Some(path) => checked["HTTP"] = json!(format!("http://{address}{path}")),
        None => checked["TCP"] = json!(address.to_string()),
    }
    json!({
        "ID": service_id(app, group, &instance.id),
        "Name": app.as_str(),
        "Address": address.ip().to_string(),
        "Port": address.port(),
        "Tags": tags,
        "Meta": meta,
        "Weights": { "Passing": 1, "Warning": 1 },
        "Check": checked,
    })
}

/// Cutover's entries in an answer about one service; `None` when it is none.
pub(super) fn read(answer: &Value) -> Option<Vec<Entry>> {
    let ours = answer.as_array()?.iter().filter(|one| one["Service"]["Meta"][INSTANCE].is_string());
    ours.map(entry).collect()
}

fn entry(one: &Value) -> Option<Entry> {
    let service = &one["Service"];
    let ip = service["Address"].as_str()?.parse().ok()?;
    let port = u16::try_from(service["Port"].as_u64()?).ok()?;
    let checks = one["Checks"].as_array()?;
    let parts =
        |check: &&Value| check["CheckID"].as_str().unwrap_or_default().starts_with(MAINTENANCE);
    // Those of the node count, too: Consul leaves out what is on one that is lost.
    let bad = |check: &&Value| check["Status"] == "critical" && !parts(check);
    let health = checks.iter().find(bad).map_or(Health::Passing, |check| {
        match check["Output"].as_str().unwrap_or_default() {
            "" => Health::Unasked,
            output => Health::Failing(clean(output.as_bytes(), 100)),
        }
    });
    Some(Entry {
        group: service["Meta"][GROUP].as_str()?.to_owned(),
        id: InstanceId(service["Meta"][INSTANCE].as_str()?.to_owned()),
        address: SocketAddr::new(ip, port),
        parted: checks.iter().any(|check| parts(&check)),
        health,
    })
}

#[cfg(test)]
mod tests {
    use super::{Check, Health, More, read, registration, service_id};
    use model::{AppName, Instance, InstanceId, Version};
    use serde_json::json;

    #[test]
    fn what_is_registered_is_read_back_and_what_is_foreign_is_not_seen() {
        let (app, version) = (AppName::new("demo").unwrap(), Version::new("v1").unwrap());
        let one =
            Instance { id: InstanceId("demo-1-1".into()), address: "[::1]:80".parse().unwrap() };
        let check = Check { path: Some("/healthz"), ms: 200 };
        let meta = [("zone", "{instance}"), ("cutover-group", "b")];
        let meta = meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let tags = ["urlprefix-/{version}".to_owned()];
        let more = More { tags: &tags, meta: &meta };
        let sent = registration(&app, ("a", &version), &one, (&check, true, more));
        assert_eq!(sent["Tags"], json!(["a", "v1", "urlprefix-/v1"]));
        assert_eq!(
            (&sent["Meta"]["zone"], &sent["Meta"]["cutover-group"]),
            (&json!("demo-1-1"), &json!("a"))
        );
        assert_eq!(sent["ID"], service_id(&app, "a", &one.id));
        assert_eq!(
            (&sent["Check"]["HTTP"], &sent["Check"]["Interval"]),
            (&"http://[::1]:80/healthz".into(), &"1000ms".into())
        );
        let with = |checks: serde_json::Value| json!([{ "Service": sent, "Checks": checks }, { "Service": { "Meta": {} }, "Checks": [] }]);
        let found = |checks| read(&with(checks)).unwrap();
        let fresh = found(json!([{ "CheckID": "service:x", "Status": "critical", "Output": "" }]));
        assert_eq!((fresh.len(), &fresh[0].health, fresh[0].parted), (1, &Health::Unasked, false));
        assert_eq!(
            (&fresh[0].id, fresh[0].address, fresh[0].group.as_str()),
            (&one.id, one.address, "a")
        );
        let parted = found(json!([{ "CheckID": "_service_maintenance:x", "Status": "critical" }]));
        assert!(parted[0].parted && parted[0].health == Health::Passing);
        let bad = found(json!([{ "CheckID": "service:x", "Status": "critical", "Output": "no" }]));
        assert_eq!(bad[0].health, Health::Failing("no".into()));
        for odd in [json!({}), json!([{ "Service": { "Meta": { "cutover-instance": "x" } } }])] {
            assert!(read(&odd).is_none(), "{odd}");
        }
    }
}
