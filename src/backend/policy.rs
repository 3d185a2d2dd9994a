//! Which addresses may be dialled: the connector's own word, whatever an edge has pushed.
//!
//! ```text
//!   host ─ a number in disguise ─▶ refused
//!     └─ resolve ─▶ each address ─▶ the IPv4 address inside it, if any; its own wrapping in a range of deny ─▶ refused
//!           ├─ in a range of deny, and in none of allow as narrow ─▶ refused
//!           ├─ in a range of allow ─▶ permitted
//!           └─ else: permitted if allow is empty or names the host
//! ```
//!
//! What is judged is the address that is then dialled, each time one is: a name whose answer changes
//! gains nothing (DNS rebinding), and a name in `allow` does not open what `deny` closes. A policy
//! lives as long as its pools, so no idle connection is older than it. It refuses to guess at
//! addresses written in other ways than IP addresses are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::target::Place;
use crate::error::{Error, Kind, Result};

/// Ranges that no private application has for its own: what they are, and where.
const ALWAYS: [(&str, &str, u8); 15] = [
    ("a loopback address", "127.0.0.0", 8),
    ("a loopback address", "::1", 128),
    ("a link-local address", "169.254.0.0", 16),
    ("a link-local address", "fe80::", 10),
    // A range of their own, so that permitting the network around them does not permit them.
    ("a cloud's metadata service", "169.254.169.254", 32),
    ("a cloud's metadata service", "fd00:ec2::254", 128),
    ("a cloud's metadata service", "fd20:ce::254", 128),
    ("a cloud's metadata service", "100.100.100.200", 32),
    ("a cloud's metadata service", "168.63.129.16", 32),
    ("a cloud's metadata service", "192.0.0.192", 32),
    // Linux takes 0.0.0.0 for loopback.
    ("an unspecified address", "0.0.0.0", 8),
    ("an unspecified address", "::", 128),
    ("a multicast address", "224.0.0.0", 4),
    ("a multicast address", "ff00::", 8),
    ("the broadcast address", "255.255.255.255", 32),
];

/// What may be dialled.
#[derive(Clone, Debug)]
pub struct Policy(Option<Rules>);

#[derive(Clone, Debug)]
struct Rules {
    allow: Vec<Allow>,
    deny: Vec<(&'static str, Range)>,
}

/// Something that may be dialled, at one port or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// What it is.
    pub at: At,
    /// `None` for every port.
    pub port: Option<u16>,
}

/// Where an application may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// An address of this range.
    Range(Range),
    /// The host of this name, in lower case; `localhost` means every loopback address.
    Name(String),
    /// The hosts whose names end in `.` and this.
    Below(String),
}

/// Addresses whose first bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    network: IpAddr,
    prefix: u8,
}

impl Policy {
    /// For targets that come from the operator of this very process: whatever they lead to.
    #[must_use]
    pub const fn unchecked() -> Self {
        Self(None)
    }

    /// For targets that somebody else chose: what `allow` names, or everything if it is empty, but
    /// for `deny` and what is always denied.
    #[must_use]
    pub fn new(allow: impl IntoIterator<Item = Allow>, deny: impl IntoIterator<Item = Range>) -> Self {
        let allow = allow.into_iter().flat_map(|Allow { at, port }| match at {
            At::Name(name) if name == "localhost" => vec![
                Allow { at: At::Range(Range::new(Ipv4Addr::LOCALHOST, 8)), port },
                Allow { at: At::Range(Range::new(Ipv6Addr::LOCALHOST, 128)), port },
            ],
            at => vec![Allow { at, port }],
        });
        let always = ALWAYS
            .iter()
            .filter_map(|&(what, network, prefix)| Some((what, Range::new(network.parse::<IpAddr>().ok()?, prefix))));
        let own = deny.into_iter().map(|range| ("in its own deny list", range));
        Self(Some(Rules { allow: allow.collect(), deny: own.chain(always).collect() }))
    }

    /// Refuses a host that is neither a name nor an address before anybody is asked about it.
    pub(super) fn check_host(&self, place: &Place) -> Result<()> {
        match &self.0 {
            Some(_) if is_number_in_disguise(&place.host) => {
                let detail = format!("{place}: the host is a number; an address is written like 10.0.0.5 or [fd00::5]");
                Err(Error::new(Kind::BackendForbidden, detail))
            }
            _ => Ok(()),
        }
    }

    /// Those of `addresses` that may be dialled for `place`.
    pub(super) fn permitted(&self, place: &Place, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>> {
        let Some(rules) = &self.0 else { return Ok(addresses) };
        let mut refused = None;
        addresses.retain(|address| match rules.judge(&place.host, *address) {
            Ok(()) => true,
            Err(reason) => {
                refused.get_or_insert(reason);
                false
            }
        });
        match refused {
            Some(reason) if addresses.is_empty() => {
                Err(Error::new(Kind::BackendForbidden, format!("{place}: {reason}")))
            }
            _ => Ok(addresses),
        }
    }
}

impl Rules {
    /// `Err` with why not, and what the operator of the connector can write.
    fn judge(&self, host: &str, address: SocketAddr) -> std::result::Result<(), String> {
        let (ip, port) = (inner(address.ip()), address.port());
        if ip != address.ip() && self.deny.iter().any(|(_, range)| range.contains(address.ip())) {
            return Err(format!("this connector does not dial {}: its deny list has a range for it", address.ip()));
        }
        let denied = self.deny.iter().filter(|(_, range)| range.contains(ip)).max_by_key(|(_, range)| range.prefix);
        let at_port = self.allow.iter().filter(|allow| allow.port.is_none_or(|only| only == port));
        let allowed = at_port.clone().filter_map(|allow| match &allow.at {
            At::Range(range) if range.contains(ip) => Some(range.prefix),
            _ => None,
        });
        match (allowed.max(), denied) {
            (Some(allowed), Some((_, denied))) if allowed >= denied.prefix => Ok(()),
            (_, Some((what, _))) => {
                let entry = SocketAddr::new(ip, port);
                Err(format!("this connector does not dial {ip}, {what}; {}", told(&entry.to_string())))
            }
            (Some(_), None) => Ok(()),
            (None, None) if self.allow.is_empty() || at_port.clone().any(|allow| allow.at.names(host)) => Ok(()),
            (None, None) => {
                let entry = format!("{host}:{port}");
                Err(format!("nothing in this connector's allow list names it, or {ip}; {}", told(&entry)))
            }
        }
    }
}

/// What to write so that `entry` may be dialled.
fn told(entry: &str) -> String {
    format!(
        "if it shall be dialled, write allow = [\"{entry}\"] under [dial] in connector.toml, with everything else that \
         this connector dials in the same list, or start it with --allow {entry}"
    )
}

impl At {
    fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self {
            Self::Range(_) => false,
            Self::Name(name) => *name == host,
            Self::Below(parent) => host
                .strip_suffix(parent.as_str())
                .and_then(|below| below.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

impl Range {
    /// The addresses that share the first `prefix` bits of `network`.
    #[must_use]
    pub fn new(network: impl Into<IpAddr>, prefix: u8) -> Self {
        let network = network.into();
        Self { network: masked(network, prefix), prefix }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == self.network
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// The IPv4 address that `address` leads to, if it is a way of writing one: mapped (RFC 4291, 2.5.5.2),
/// compatible (2.5.5.1), NAT64 (RFC 6052, 2.1; RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380).
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let last = |v6: Ipv6Addr| {
        let [.., a, b, c, d] = v6.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..] => last(v6).into(),
        [0x2002, high, low, ..] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into(),
        [0x2001, 0, ..] => Ipv4Addr::from_bits(!last(v6).to_bits()).into(),
        _ => address,
    }
}

/// Whether some program would read `host` as an IPv4 address though it is not written as one
/// (WHATWG URL, "ends in a number"): `127.1`, `2130706433`, `0x7f000001`, `0177.0.0.1`.
fn is_number_in_disguise(host: &str) -> bool {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (is_decimal || is_hex) && host.parse::<Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::{Protocol, Verify};
    use super::*;
    use crate::http::Scheme;

    fn place(host: &str) -> Place {
        let (scheme, protocol) = (Scheme::Http, Protocol::Auto);
        Place { scheme, host: host.into(), port: 80, protocol, verify: Verify::Platform }
    }

    fn allow(at: At) -> Allow {
        Allow { at, port: None }
    }

    fn range(network: &str, prefix: u8) -> At {
        At::Range(Range::new(network.parse::<IpAddr>().unwrap(), prefix))
    }

    fn name(name: &str) -> At {
        At::Name(name.into())
    }

    fn permits(policy: &Policy, host: &str, ip: &str) -> bool {
        policy.permitted(&place(host), vec![SocketAddr::new(ip.parse().unwrap(), 80)]).is_ok()
    }

    const NEVER: [&str; 34] = [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1",
        "2002:7f00:1::",
        "2002:7f00:1::5",
        "2001:0:1:2:3:4:80ff:fffe",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::ffff:0.0.0.0",
        "169.254.0.1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "febf:ffff::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "239.255.255.255",
        "ff02::1",
        "255.255.255.255",
        "::ffff:255.255.255.255",
        "64:ff9b::224.0.0.1",
    ];

    #[test]
    fn t07_what_is_never_an_application_is_denied_in_every_spelling() {
        let everything = [range("0.0.0.0", 0), range("::", 0)].map(allow);
        for policy in [Policy::new([], []), Policy::new(everything, []), Policy::new([allow(name("app.corp"))], [])] {
            for ip in NEVER {
                assert!(!permits(&policy, "app.corp", ip), "{ip} {policy:?}");
            }
        }
        for ip in
            ["10.0.0.5", "192.168.1.1", "172.16.0.9", "fd00::5", "2001:db8::1", "93.184.216.34", "64:ff9b::10.0.0.5"]
        {
            assert!(permits(&Policy::new([], []), "app.corp", ip), "{ip}");
        }
        assert!(NEVER.iter().all(|ip| permits(&Policy::unchecked(), "app.corp", ip)));
    }

    #[test]
    fn the_allow_list_decides_where_it_is_as_narrow_as_what_denies() {
        let loopback = Policy::new([allow(range("127.0.0.0", 8))], []);
        let corp = Policy::new([allow(At::Below("corp".into()))], []);
        let mixed = Policy::new([allow(range("10.0.0.0", 8))], [Range::new([10, 0, 0, 66], 32)]);
        let at_port = Policy::new([Allow { at: name("localhost"), port: Some(80) }], []);
        let no_nat64 = Policy::new([allow(range("10.0.0.5", 32))], [Range::new(Ipv6Addr::UNSPECIFIED, 0)]);
        let other_port = Policy::new([Allow { at: name("localhost"), port: Some(81) }], []);
        for (policy, host, ip, permitted) in [
            (&loopback, "127.0.0.1", "127.0.0.1", true),
            (&loopback, "a", "::ffff:127.0.0.1", true),
            (&loopback, "a", "::1", false),
            (&loopback, "a", "10.0.0.5", false),
            (&loopback, "a", "169.254.169.254", false),
            (&corp, "a.corp", "10.0.0.5", true),
            (&corp, "A.b.Corp.", "10.0.0.5", true),
            (&corp, "corp", "10.0.0.5", false),
            (&corp, ".corp", "10.0.0.5", false),
            (&corp, "acorp", "10.0.0.5", false),
            (&corp, "10.0.0.5", "10.0.0.5", false),
            (&corp, "a.corp", "127.0.0.1", false),
            (&mixed, "a", "10.0.0.65", true),
            (&mixed, "a", "10.0.0.66", false),
            (&mixed, "a", "64:ff9b::10.0.0.66", false),
            (&no_nat64, "a", "64:ff9b::10.0.0.5", false),
            (&no_nat64, "a", "10.0.0.5", true),
            (&at_port, "a", "127.0.0.1", true),
            (&at_port, "localhost", "::1", true),
            (&at_port, "localhost", "10.0.0.5", false),
            (&other_port, "localhost", "127.0.0.1", false),
        ] {
            assert_eq!(permits(policy, host, ip), permitted, "{host} {ip} {policy:?}");
        }
    }

    #[test]
    fn of_many_addresses_only_the_permitted_are_left_and_a_refusal_says_what_to_write() {
        let sockets = |ips: &[&str]| ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect::<Vec<_>>();
        let policy = Policy::new([], []);
        let left = policy.permitted(&place("a"), sockets(&["127.0.0.1", "10.0.0.5", "::1"])).unwrap();
        assert_eq!(left, sockets(&["10.0.0.5"]));
        let error = policy.permitted(&place("a"), sockets(&["::ffff:127.0.0.1", "::1"])).unwrap_err();
        assert_eq!(error.kind, Kind::BackendForbidden);
        let detail = "http://a:80: this connector does not dial 127.0.0.1, a loopback address; if it shall be dialled, write \
                      allow = [\"127.0.0.1:80\"] under [dial] in connector.toml, with everything else that this connector \
                      dials in the same list, or start it with --allow 127.0.0.1:80";
        assert_eq!(error.detail, detail);
        let named = Policy::new([allow(name("b"))], []);
        let error = named.permitted(&place("a"), sockets(&["10.0.0.5"])).unwrap_err();
        assert!(error.detail.contains("nothing in this connector's allow list names it, or 10.0.0.5; "), "{error}");
        assert!(error.detail.ends_with("--allow a:80"), "{error}");
    }

    #[test]
    fn t07_a_number_is_no_name() {
        for host in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "a.0x",
            "256.1.1.1",
        ] {
            assert!(Policy::new([], []).check_host(&place(host)).is_err(), "{host}");
            assert!(Policy::unchecked().check_host(&place(host)).is_ok(), "{host}");
        }
        for host in ["127.0.0.1", "a", "1.a", "x1", "0xg", "[::1]", "a1.corp.", "1und1"] {
            assert!(Policy::new([], []).check_host(&place(host)).is_ok(), "{host}");
        }
    }

    proptest! {
        /// However an IPv4 address is wrapped, it is judged as itself.
        #[test]
        fn t07_every_wrapping_is_judged_as_its_inside(bits: u32, more: u64) {
            let v4 = Ipv4Addr::from_bits(bits);
            prop_assume!(bits > 1);
            let wide = u128::from(bits);
            let wrapped = [
                0xffff << 32 | wide,
                wide,
                0x64_ff9b << 96 | wide,
                0x64_ff9b_0001 << 80 | wide,
                0x2002 << 112 | wide << 80 | u128::from(more),
                0x2001_0000 << 96 | u128::from(more) << 32 | u128::from(!bits),
            ];
            let policies = [Policy::new([], []), Policy::new([allow(At::Range(Range::new(v4, 9)))], [Range::new(v4, 31)])];
            for address in wrapped.map(Ipv6Addr::from_bits) {
                prop_assert_eq!(inner(address.into()), IpAddr::from(v4), "{}", address);
                for policy in &policies {
                    prop_assert_eq!(permits(policy, "a", &address.to_string()), permits(policy, "a", &v4.to_string()));
                }
            }
        }

        /// No list that names no loopback address opens one, whatever the name was.
        #[test]
        fn t08_names_open_no_denied_address(host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", low in 0u32..1 << 24) {
            prop_assume!(host != "localhost");
            let policy = Policy::new([allow(At::Name(host.clone())), allow(At::Below(host.clone()))], []);
            let ip = Ipv4Addr::from_bits(127 << 24 | low).to_string();
            prop_assert!(!permits(&policy, &host, &ip));
            prop_assert!(permits(&policy, &host, "10.0.0.5"));
        }
    }
}
