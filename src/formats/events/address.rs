//! The client's address, in the spellings of gateways: bare, with a port, in brackets, with a zone, as a
//! list of hops (`X-Forwarded-For`), as `for=` (RFC 7239).
//!
//! A client may write anything into the left of a list of hops, so the list is read from its right: the
//! first address that is no trusted proxy is the client's.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hops looked at, from the right. Chosen: more proxies than anyone has in a row.
const HOPS_MAX: usize = 16;

/// The proxies whose word about the hop before them is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl Default for TrustedProxies {
    /// Loopback, link-local and private networks: no client comes from there over the internet.
    fn default() -> Self {
        let v4 = |a, b, length| IpNet::new(IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), length);
        let v6 = |a, length| IpNet::new(IpAddr::V6(Ipv6Addr::new(a, 0, 0, 0, 0, 0, 0, 0)), length);
        let networks = [
            v4(10, 0, 8),
            v4(172, 16, 12),
            v4(192, 168, 16),
            v4(127, 0, 8),
            v4(169, 254, 16),
            v6(0xfc00, 7),
            v6(0xfe80, 10),
            IpNet::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ];
        Self(networks.into_iter().flatten().collect())
    }
}

impl TrustedProxies {
    /// Trusts the proxies of these networks.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the last hop that is no trusted proxy, else the first one. `None` where
    /// that hop can't be read.
    pub(in crate::formats) fn client(&self, text: &str) -> Option<IpAddr> {
        if let Ok(bare) = text.parse::<IpAddr>() {
            return Some(bare.to_canonical());
        }
        let mut hops = text.rsplit(',').take(HOPS_MAX);
        let mut client = address(hops.next()?)?;
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            client = address(hop)?;
        }
        Some(client)
    }
}

/// One address, however it is written.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.split(';').map(str::trim).find(|part| !part.is_empty())?;
    let hop = match hop.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("for") => value,
        Some(_) => return None,
        None => hop,
    };
    let hop = hop.trim_matches('"');
    let bare = match hop.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        // One colon: a port. More: IPv6.
        None => match hop.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => hop,
        },
    };
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::TrustedProxies;
    use proptest::prelude::*;

    fn client(text: &str) -> Option<String> {
        TrustedProxies::default().client(text).map(|address| address.to_string())
    }

    #[test]
    fn each_spelling_of_an_address_is_read() {
        for (text, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            (" 203.0.113.7 ", "203.0.113.7"),
            ("10.0.0.7:51234", "10.0.0.7"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[2001:db8::7]:80", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:443", "fe80::1"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("for=203.0.113.7;proto=https", "203.0.113.7"),
            ("For=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ] {
            assert_eq!(client(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "unknown", "_hidden", "unix:/run/x", "203.0.113", "for=unknown", "[::1"] {
            assert_eq!(client(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_list_of_hops_the_last_untrusted_one_is_the_client() {
        for (text, expected) in [
            ("203.0.113.7, 10.0.0.1", Some("203.0.113.7")),
            ("198.51.100.1, 203.0.113.7, 10.0.0.1, 192.168.0.1", Some("203.0.113.7")),
            ("10.0.0.7, 10.0.0.1", Some("10.0.0.7")),
            ("junk from the client, 203.0.113.7", Some("203.0.113.7")),
            ("junk, 10.0.0.1", None),
        ] {
            assert_eq!(client(text).as_deref(), expected, "{text}");
        }
        let own = TrustedProxies::new(vec!["203.0.113.0/24".parse().expect("a network")]);
        let read = own.client("198.51.100.1, 203.0.113.7").map(|address| address.to_string());
        assert_eq!(read.as_deref(), Some("198.51.100.1"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            client(&text);
        }
    }
}
