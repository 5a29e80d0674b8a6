//! Which addresses a plugin may never reach unless a network was granted: those that are not
//! of the public internet, in whatever form they come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks that no public service has an address in.
const CLOSED_V4: [(Ipv4Addr, u8); 14] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local: what clouds answer their machines' questions on.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved, broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Public services have addresses here alone.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const CLOSED_V6: [(Ipv6Addr, u8); 5] = [
    // Protocol assignments, Teredo and benchmarks among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4: relays go wherever the inner address says.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether an address may be connected to, given the networks that the operator named.
pub fn is_open(address: IpAddr, granted: &[IpNet]) -> bool {
    let inner = inner(address);
    // Both forms: an operator may have written either.
    granted.iter().any(|network| network.contains(&address) || network.contains(&inner)) || is_public(inner)
}

/// The address that is meant: one of IPv4 inside of one of IPv6 is that of IPv4.
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let last = Ipv4Addr::from_bits((u32::from(segments[6]) << 16) | u32::from(segments[7]));
    match segments {
        // Mapped; and NAT64, which a translator would carry there.
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => IpAddr::V4(last),
        // Mapped in the older form, without a mark; the two lowest are not of IPv4.
        [0, 0, 0, 0, 0, 0, _, _] if last.to_bits() > 1 => IpAddr::V4(last),
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !CLOSED_V4.iter().any(|(network, bits)| {
            let shift = 32 - u32::from(*bits);
            v4.to_bits() >> shift == network.to_bits() >> shift
        }),
        IpAddr::V6(v6) => {
            let within = |(network, bits): &(Ipv6Addr, u8)| {
                let shift = 128 - u32::from(*bits);
                v6.to_bits() >> shift == network.to_bits() >> shift
            };
            within(&GLOBAL_V6) && !CLOSED_V6.iter().any(within)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(address: &str, granted: &[&str]) -> bool {
        let granted: Vec<IpNet> = granted.iter().filter_map(|network| network.parse().ok()).collect();
        address.parse().is_ok_and(|address| is_open(address, &granted))
    }

    #[test]
    fn what_is_not_of_the_public_internet_is_closed_in_every_form() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!open(address, &[]), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(open(address, &[]), "{address}");
        }
    }

    #[test]
    fn a_network_that_was_granted_is_open_and_no_other() {
        assert!(open("127.0.0.1", &["127.0.0.0/8"]) && open("::ffff:127.0.0.1", &["127.0.0.0/8"]));
        assert!(open("fd12::1", &["fd12::/16"]));
        assert!(!open("10.0.0.1", &["127.0.0.0/8"]) && !open("169.254.169.254", &["10.0.0.0/8"]));
    }
}
