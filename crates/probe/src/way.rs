//! How the target is reached: by its name, by an address in place of it, or through a unix socket.
//!
//! A name is looked up anew for each connection. It opens nothing.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use model::{Fault, Kind};

use crate::tls::Tls;

/// How the target is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Connect to this unix socket, whatever the URL names.
    pub unix: Option<PathBuf>,
    /// Addresses in place of names.
    pub resolve: Vec<Resolve>,
    /// For `https`.
    pub tls: Tls,
}

/// An address in place of a name: `HOST:PORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    host: String,
    port: u16,
    address: IpAddr,
}

impl Way {
    /// The address that stands in place of a name.
    pub(crate) fn instead(&self, host: &str, port: u16) -> Option<IpAddr> {
        let found =
            self.resolve.iter().find(|r| r.port == port && r.host.eq_ignore_ascii_case(host));
        found.map(|resolve| resolve.address)
    }
}

impl FromStr for Resolve {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let read = || {
            let (host, rest) = text.split_once(':')?;
            let (port, address) = rest.split_once(':')?;
            let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            (!host.is_empty()).then(|| Self { host: host.to_owned(), port, address })
        };
        read().ok_or_else(|| {
            let what = format!("`{}` names no host, port and address", text.escape_debug());
            Fault::new(Kind::Usage, what).help("write it as shop.example.org:443:10.0.0.5")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolve, Way};

    #[test]
    fn an_address_stands_in_place_of_one_name_and_port() {
        let resolve = ["a.example:443:10.0.0.5", "b:80:[::1]"].map(|text| text.parse().unwrap());
        let way = Way { resolve: resolve.into(), ..Way::default() };
        assert_eq!(way.instead("A.Example", 443), "10.0.0.5".parse().ok());
        assert_eq!(way.instead("b", 80), "::1".parse().ok());
        assert_eq!(way.instead("a.example", 80), None);
        for odd in ["", "a:80", "a:80:b", "a:0:10.0.0.5", ":80:10.0.0.5", "a:x:10.0.0.5"] {
            assert!(odd.parse::<Resolve>().is_err(), "{odd}");
        }
    }
}
