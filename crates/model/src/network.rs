//! A range of addresses, as in `10.0.0.0/8`.
//!
//! IPv4 addresses that come mapped into IPv6 are the IPv4 addresses they stand for. Whose address an
//! address is, and what a range is good for, is not known here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};

/// A range of addresses. Bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// True for an address of the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// True when every address of the other is one of this range.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    fn rest_is_zero(&self) -> bool {
        let (zeros, bits) = match self.address {
            IpAddr::V4(own) => (own.to_bits().trailing_zeros(), 32),
            IpAddr::V6(own) => (own.to_bits().trailing_zeros(), 128),
        };
        zeros + u32::from(self.prefix) >= bits
    }
}

impl FromStr for Network {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong = || {
            Fault::new(Kind::Usage, format!("`{}` is not a range of addresses", text.escape_debug()))
                .help("write it as `10.0.0.0/8`, `fd00::/8` or a single address; bits behind the prefix are 0")
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let plain = |prefix: &&str| prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            Some(prefix) => Some(prefix).filter(plain).and_then(|p| p.parse().ok()),
            None => Some(bits),
        };
        let prefix = prefix.filter(|prefix| *prefix <= bits).ok_or_else(wrong)?;
        let written =
            Some(Self { address, prefix }).filter(Self::rest_is_zero).ok_or_else(wrong)?;
        Ok(match (address.to_canonical(), prefix.checked_sub(96)) {
            // Nobody would ever be in it as it is written.
            (address @ IpAddr::V4(_), Some(prefix)) if !written.address.is_ipv4() => {
                Self { address, prefix }
            }
            _ => written,
        })
    }
}

impl TryFrom<String> for Network {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "9.9.9.9", "::9"),
            ("fd00::/8", "fdff::1", "fe00::1"),
        ] {
            let network: Network = range.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{range} {outside}");
        }
    }

    #[test]
    fn a_range_covers_those_within_it() {
        let covers = |one: &str, other: &str| {
            one.parse::<Network>().unwrap().covers(&other.parse().unwrap())
        };
        assert!(covers("10.0.0.0/8", "10.0.0.0/8") && covers("10.0.0.0/8", "10.9.0.0/16"));
        assert!(!covers("10.9.0.0/16", "10.0.0.0/8") && !covers("10.0.0.0/8", "11.0.0.0/16"));
        assert!(!covers("0.0.0.0/0", "fd00::/8") && covers("::/0", "fd00::/8"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/+8", "10.0.0.0/", "fd00::/129"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
