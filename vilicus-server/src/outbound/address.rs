//! What an address is to us: public, private, or a place where no request of ours has any business.
//!
//! IPv6 has many ways to carry an IPv4 address; a gateway would deliver each of them, so all are unwrapped first.
//! Sources: IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890), and each cloud's own documents for
//! its metadata service.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Public,
    Private,
    Loopback,
    LinkLocal,
    /// A cloud's metadata service, which hands out credentials to whoever asks from the machine.
    Metadata,
    /// Unspecified, multicast, broadcast, reserved.
    NoHost,
}

/// An address that the policy refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("requests to {address} are refused: {reason}")]
pub struct Refusal {
    address: IpAddr,
    reason: Scope,
}

impl Refusal {
    pub(super) fn new(address: IpAddr, reason: Scope) -> Self {
        Self { address, reason }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "it is public",
            Self::Private => "it is private, and the policy allows public addresses only",
            Self::Loopback => "it is this machine, and the policy allows public addresses only",
            Self::LinkLocal => "it is link-local",
            Self::Metadata => "it is a cloud's metadata service",
            Self::NoHost => "it is not the address of one host",
        })
    }
}

/// Metadata services outside the link-local range: Alibaba, Oracle, Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

/// Metadata services over IPv6: AWS, Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// What this address is to us.
pub(super) fn scope_of(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(v4) => scope_of_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => scope_of_v4(v4),
            None => scope_of_v6(v6),
        },
    }
}

fn scope_of_v4(address: Ipv4Addr) -> Scope {
    let octets = address.octets();
    match octets {
        _ if METADATA_V4.contains(&address) => Scope::Metadata,
        [169, 254, ..] => Scope::LinkLocal,
        [0, ..] | [224..=255, ..] => Scope::NoHost,
        [127, ..] => Scope::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Scope::Private,
        // Shared by carriers (RFC 6598), protocol assignments, documentation and benchmarks: not public.
        [100, 64..=127, ..] | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] => Scope::Private,
        [198, 51, 100, _] | [203, 0, 113, _] => Scope::Private,
        _ => Scope::Public,
    }
}

fn scope_of_v6(address: Ipv6Addr) -> Scope {
    match address.segments() {
        _ if METADATA_V6.contains(&address) => Scope::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Scope::NoHost,
        [0xfe80..=0xfebf, ..] => Scope::LinkLocal,
        // Unique local, the old site-local, documentation, discard.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Scope::Private,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x100, 0, 0, 0, ..] => Scope::Private,
        _ => Scope::Public,
    }
}

/// The IPv4 address that a gateway or the system would take out of this IPv6 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    match segments {
        // `::` and `::1` are addresses of their own and not compatible forms of 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible (RFC 4291), mapped (RFC 4291) and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64: the well-known prefix (RFC 6052) and the local one (RFC 8215).
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        // ISATAP (RFC 5214): the interface part says so, under any prefix.
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low]
        // 6to4 (RFC 3056).
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        // Teredo (RFC 4380): the client's address, with every bit turned.
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        _ => None,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_in_every_disguise() {
        let table: [(Scope, &[&str]); 6] = [
            (
                Scope::LinkLocal,
                &[
                    "169.254.0.1",
                    "169.254.169.254",
                    "169.254.169.253",
                    "169.254.170.2",
                    "169.254.255.255",
                    "fe80::1",
                    "febf:ffff::1",
                    "::ffff:169.254.169.254",
                    "::ffff:a9fe:a9fe",
                    "::169.254.169.254",
                    "::ffff:0:169.254.169.254",
                    "64:ff9b::169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "64:ff9b:1::169.254.169.254",
                    "64:ff9b:1:2:3:4:a9fe:a9fe",
                    "2002:a9fe:a9fe::",
                    "2002:a9fe:a9fe::1",
                    "2001:0:4136:e378:8000:63bf:5601:5601",
                    "2001:db8::5efe:169.254.169.254",
                    "2001:db8::200:5efe:169.254.169.254",
                ],
            ),
            (
                Scope::Metadata,
                &[
                    "100.100.100.200",
                    "192.0.0.192",
                    "168.63.129.16",
                    "fd00:ec2::254",
                    "fd20:ce::254",
                    "::ffff:100.100.100.200",
                    "::ffff:168.63.129.16",
                    "64:ff9b::100.100.100.200",
                    "2002:6464:64c8::",
                ],
            ),
            (
                Scope::NoHost,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "224.0.0.1",
                    "239.255.255.250",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "ff02::1",
                    "ff05::c",
                    "::ffff:0.0.0.0",
                    "::ffff:255.255.255.255",
                    "::ffff:224.0.0.1",
                    "64:ff9b::0.0.0.0",
                    "2002::1",
                    "::2",
                ],
            ),
            (
                Scope::Loopback,
                &[
                    "127.0.0.1",
                    "127.255.255.254",
                    "::1",
                    "::ffff:127.0.0.1",
                    "::127.0.0.1",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                ],
            ),
            (
                Scope::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "192.0.2.1",
                    "198.18.0.1",
                    "198.51.100.1",
                    "203.0.113.1",
                    "fc00::1",
                    "fdff::1",
                    "fec0::1",
                    "2001:db8::1",
                    "100::1",
                    "::ffff:10.0.0.1",
                    "::192.168.0.1",
                ],
            ),
            (
                Scope::Public,
                &[
                    "8.8.8.8",
                    "172.15.0.1",
                    "172.32.0.1",
                    "169.253.0.1",
                    "100.128.0.1",
                    "223.255.255.255",
                    "2606:4700::1",
                    "::ffff:8.8.8.8",
                    "64:ff9b::8.8.8.8",
                ],
            ),
        ];
        for (scope, addresses) in table {
            for address in addresses {
                assert_eq!(scope_of(address.parse().unwrap()), scope, "{address}");
            }
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = Refusal::new(Ipv4Addr::new(169, 254, 169, 254).into(), Scope::LinkLocal);
        assert_eq!(refusal.to_string(), "requests to 169.254.169.254 are refused: it is link-local");
    }
}
