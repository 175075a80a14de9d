//! Where instances are found that somebody else starts and ends.
//!
//! Names and addresses, frozen with a release; nobody is asked here, and no token stands here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::key_pair::KeyPair;

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
    /// How it is spoken to over TLS; without, it is in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<Secure>,
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

/// How somebody is spoken to over TLS: files in PEM, read each time, so that renewed ones are taken up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secure {
    /// Whose certificates are believed; those that the system trusts, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that must stand in the certificate; the address, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is shown to who asks for a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<KeyPair>,
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
                service: fill(&catalog.service),
                tag: catalog.tag.as_deref().map(&fill),
                meta: catalog.meta.iter().map(|(key, value)| (key.clone(), fill(value))).collect(),
                ..catalog.clone()
            }),
            Self::Dns(zone) => Self::Dns(Zone { name: fill(&zone.name), ..zone.clone() }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consul(Catalog { agent, secure, service, tag, meta, .. }) => {
                let scheme = if secure.is_some() { "https://" } else { "" };
                write!(f, "Consul at {scheme}{agent} (service `{service}`")?;
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
    use super::{Catalog, Secure, Source, Zone};

    #[test]
    fn a_source_is_filled_in_and_says_what_it_asks_for() {
        let catalog = Source::Consul(Catalog {
            agent: ([127, 0, 0, 1], 8500).into(),
            secure: None,
            service: "shop".into(),
            tag: Some("VERSION".into()),
            meta: [("release".to_owned(), "VERSION".to_owned())].into(),
            token: None,
        });
        let filled = catalog.filled(|text| text.replace("VERSION", "v2"));
        let words = "Consul at 127.0.0.1:8500 (service `shop`, tag `v2`, release = `v2`)";
        assert_eq!(filled.to_string(), words);
        let Source::Consul(plain) = filled else { unreachable!() };
        let secure = Source::Consul(Catalog { secure: Some(Secure::default()), ..plain });
        assert_eq!(secure.to_string(), words.replace("127", "https://127"));
        let server = ([127, 0, 0, 1], 53).into();
        let zone = Zone { server, name: "VERSION.test".into(), port: Some(80) };
        let filled = Source::Dns(zone).filled(|text| text.replace("VERSION", "v2"));
        assert_eq!(filled.to_string(), "DNS at 127.0.0.1:53 (addresses of `v2.test`, port 80)");
    }
}
