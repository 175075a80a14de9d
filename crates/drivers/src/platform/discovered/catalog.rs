//! Instances by the catalog of a Consul: those of a service that pass all their checks.
//!
//! It reads; what others registered is never changed. How its API is spoken to is `agent`'s affair, and what
//! a token may not see is `unseen`'s.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{Catalog, Fault};
use serde_json::Value;

use super::heard::Heard;
use super::unseen;
use crate::agent::{Agent, Purpose, Token};
use crate::words::clean;

/// How long an agent may keep silent when nothing changes.
const SILENT: Duration = Duration::from_secs(20);
/// Pause between two questions, so that a service that changes all the time is not asked all the time.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is there now, or as soon as that is not what it was at `place`.
pub(super) async fn ask(catalog: &Catalog, place: &mut u64) -> Result<Heard, Fault> {
    let token = catalog.token.as_ref().map(Token::read).transpose()?;
    let (address, secure) = (catalog.agent, catalog.secure.clone());
    let agent = Agent { address, secure, token, purpose: Purpose::Read };
    let service = encoded(&catalog.service);
    let path =
        format!("/v1/health/service/{service}?passing&index={place}&wait={}s", SILENT.as_secs());
    let asked = agent.watch(&path, SILENT).await;
    // Whoever was away may count anew.
    let before = std::mem::take(place);
    let said = asked?;
    let answer = said.json(&agent)?;
    let mut heard = read(&answer, catalog).ok_or_else(|| agent.odd(&said.body))?;
    if answer.as_array().is_some_and(Vec::is_empty) {
        unseen::must_be_seen(&agent, (&catalog.service, &service), said.partial).await?;
    } else if said.partial {
        heard.odd.push("the token may not see all of them (`node:read`)".to_owned());
    }
    *place = if said.index < before { 0 } else { said.index };
    Ok(heard)
}

/// An answer about a service; `None` when it is none.
pub(super) fn read(answer: &Value, catalog: &Catalog) -> Option<Heard> {
    let (mut addresses, mut odd) = (BTreeSet::new(), Vec::new());
    for one in answer.as_array()?.iter().filter(|one| is_meant(&one["Service"], catalog)) {
        let service = &one["Service"];
        let port = service["Port"].as_u64().and_then(|port| u16::try_from(port).ok());
        // A service without an address of its own is where its node is.
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let own = text(&service["Address"]);
        let host = if own.is_empty() { text(&one["Node"]["Address"]) } else { own };
        if let (Ok(ip), Some(port)) = (host.parse::<IpAddr>(), port.filter(|port| *port > 0)) {
            addresses.insert(SocketAddr::new(ip, port));
            continue;
        }
        let id = clean(text(&service["ID"]).as_bytes(), 60);
        let host = clean(host.as_bytes(), 60);
        odd.push(format!("`{id}` is at `{host}`, which is no IP address, or has no port"));
    }
    Some(Heard { addresses, odd, again: PAUSE })
}

/// It has the tag and the metadata that are wanted.
fn is_meant(service: &Value, catalog: &Catalog) -> bool {
    let tagged = |tag: &String| {
        let mut tags = service["Tags"].as_array().into_iter().flatten();
        tags.any(|one| one == tag.as_str())
    };
    let mut meta = catalog.meta.iter();
    catalog.tag.as_ref().is_none_or(tagged)
        && meta.all(|(key, value)| service["Meta"][key] == value.as_str())
}

/// A name as it stands in a path.
fn encoded(name: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let one = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use model::Catalog;
    use serde_json::json;

    use super::{encoded, read};

    fn catalog(tag: Option<&str>, meta: &[(&str, &str)]) -> Catalog {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Catalog {
            agent: ([127, 0, 0, 1], 8500).into(),
            secure: None,
            service: "shop".into(),
            tag: tag.map(str::to_owned),
            meta: meta.iter().map(pair).collect(),
            token: None,
        }
    }

    #[test]
    fn those_that_are_meant_are_taken_and_what_cannot_be_used_is_named() {
        let one = |address: &str, port: u32, tag: &str| {
            json!({ "Node": { "Address": "10.0.0.9" }, "Service": { "ID": "x", "Address": address,
                    "Port": port, "Tags": [tag, "web"], "Meta": { "version": tag } } })
        };
        let answer = json!([
            one("10.0.0.1", 80, "v1"),
            one("", 81, "v1"),
            one("::1", 82, "v2"),
            one("shop.local", 80, "v1"),
            one("10.0.0.2", 0, "v1")
        ]);
        let found = |catalog: &Catalog| {
            let heard = read(&answer, catalog).unwrap();
            let all = heard.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
            (all.join(" "), heard.odd.len())
        };
        assert_eq!(found(&catalog(Some("v1"), &[])), ("10.0.0.1:80 10.0.0.9:81".into(), 2));
        assert_eq!(found(&catalog(None, &[("version", "v2")])), ("[::1]:82".into(), 0));
        assert_eq!(found(&catalog(Some("web"), &[("version", "v3")])), (String::new(), 0));
        assert!(read(&json!({}), &catalog(None, &[])).is_none());
        assert_eq!(encoded("a/b?c"), "a%2Fb%3Fc");
    }
}
