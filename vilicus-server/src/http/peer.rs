//! Who is at the other end: the address that a connection came from, or that a trusted proxy vouches for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

/// The other end of a request, as an extension of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address, that of the caller behind a trusted proxy.
    pub address: IpAddr,
    /// Whether nobody on the way could read along: TLS, or a trusted proxy that says so.
    pub secure: bool,
}

impl Peer {
    /// A caller in this very process, as the embedded agent.
    pub const LOCAL: Self = Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), secure: true };

    /// The peer of a request that came from `address` with these headers.
    ///
    /// `X-Forwarded-For` and `X-Forwarded-Proto` count only when the connection comes from a trusted proxy; then
    /// the caller is the rightmost hop that is not trusted itself, since everything left of it may be invented.
    #[must_use]
    pub fn behind(address: IpAddr, tls: bool, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let address = canonical(address);
        if !is_trusted(address, trusted) {
            return Self { address, secure: tls };
        }
        let https = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
        Self { address: forwarded_for(headers, trusted).unwrap_or(address), secure: tls || https }
    }

    /// What failed logins are counted by: the address, or the /64 of an IPv6 one.
    #[must_use]
    pub fn subscriber(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        }
    }
}

/// Whether the address belongs to one of these networks.
#[must_use]
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An IPv4 address that came dressed as IPv6 is an IPv4 address.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn forwarded_for(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        // A hop that is not an address was not written by a proxy that can be trusted.
        let address = canonical(hop.trim().parse().ok()?);
        if !is_trusted(address, trusted) {
            return Some(address);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_vouches_for_others() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let table: [(&str, &[&str], &str); 7] = [
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.7"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ];
        for (from, lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let peer = Peer::behind(from.parse().unwrap(), false, &headers, &trusted);
            assert_eq!(peer.address, expected.parse::<IpAddr>().unwrap(), "{from} {lines:?}");
        }
    }

    #[test]
    fn neighbours_in_one_ipv6_network_count_as_one() {
        let peer = |text: &str| Peer { address: text.parse().unwrap(), secure: false };
        assert_eq!(peer("2001:db8::1").subscriber(), peer("2001:db8::ffff").subscriber());
        assert_ne!(peer("2001:db8::1").subscriber(), peer("2001:db8:0:1::1").subscriber());
    }
}
