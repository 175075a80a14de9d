//! Where instances are found that somebody else starts and ends.
//!
//! Names and addresses, frozen with a release; nobody is asked here, and no token stands here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Somebody who says where the instances of a release are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The catalog of a Consul: the instances of a service that pass its checks.
    Consul(Catalog),
    /// Names in DNS.
    Dns(Zone),
}

/// A service in the catalog of a Consul.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The HTTP API of an agent.
    pub agent: SocketAddr,
    /// The name of the service.
    pub service: String,
    /// A tag that its instances must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Metadata that they must have, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// Where the token is that the agent wants to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenPlace>,
}

/// A name in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The server that is asked.
    pub server: SocketAddr,
    /// The name.
    pub name: String,
    /// The port of each address of the name (A, AAAA); without one the name has ports of its own (SRV).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Where a token is. It stands in no file of ours, and is never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    /// In a variable of the environment of `cutover up`.
    Variable(String),
    /// In a file.
    File(PathBuf),
}

impl Source {
    /// The same with every text filled in by `fill`.
    #[must_use]
    pub fn filled(&self, fill: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Consul(catalog) => Self::Consul(Catalog {
                agent: catalog.agent,
                service: fill(&catalog.service),
                tag: catalog.tag.as_deref().map(&fill),
                meta: catalog.meta.iter().map(|(key, value)| (key.clone(), fill(value))).collect(),
                token: catalog.token.clone(),
            }),
            Self::Dns(zone) => Self::Dns(Zone { name: fill(&zone.name), ..zone.clone() }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consul(Catalog { agent, service, tag, meta, .. }) => {
                write!(f, "Consul at {agent} (service `{service}`")?;
                if let Some(tag) = tag {
                    write!(f, ", tag `{tag}`")?;
                }
                meta.iter().try_for_each(|(key, value)| write!(f, ", {key} = `{value}`"))?;
                f.write_str(")")
            }
            Self::Dns(Zone { server, name, port: None }) => {
                write!(f, "DNS at {server} (SRV of `{name}`)")
            }
            Self::Dns(Zone { server, name, port: Some(port) }) => {
                write!(f, "DNS at {server} (addresses of `{name}`, port {port})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalog, Source, Zone};

    #[test]
    fn a_source_is_filled_in_and_says_what_it_asks_for() {
        let catalog = Source::Consul(Catalog {
            agent: ([127, 0, 0, 1], 8500).into(),
            service: "shop".into(),
            tag: Some("VERSION".into()),
            meta: [("release".to_owned(), "VERSION".to_owned())].into(),
            token: None,
        });
        let filled = catalog.filled(|text| text.replace("VERSION", "v2"));
        let words = "Consul at 127.0.0.1:8500 (service `shop`, tag `v2`, release = `v2`)";
        assert_eq!(filled.to_string(), words);
        let server = ([127, 0, 0, 1], 53).into();
        let zone = Zone { server, name: "VERSION.test".into(), port: Some(80) };
        let filled = Source::Dns(zone).filled(|text| text.replace("VERSION", "v2"));
        assert_eq!(filled.to_string(), "DNS at 127.0.0.1:53 (addresses of `v2.test`, port 80)");
    }
}
