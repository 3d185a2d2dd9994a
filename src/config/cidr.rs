//! Ranges of IP addresses: the proxies whose forwarding headers are believed, what a connector dials.
//!
//! Refuses a range whose address has bits beyond its prefix: `10.0.0.1/8` is a misunderstanding.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use toml::de::DeValue;

use super::error::{Wrong, cited, quoted};
use super::kind::{Kind, a_type};

/// Ranges one list may hold.
const RANGES_MAX: usize = 1024;

/// A range of addresses in CIDR notation. An IPv4-mapped IPv6 range (`::ffff:10.0.0.0/104`) is kept
/// as the IPv4 range it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether `address` is in the range; an IPv4-mapped IPv6 address counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => mask_v4(address, self.prefix) == network,
            (IpAddr::V6(network), IpAddr::V6(address)) => mask_v6(address, self.prefix) == network,
            _ => false,
        }
    }

    /// The first address of the range.
    #[must_use]
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// Leading bits that all addresses share: 0–32 for IPv4, 0–128 for IPv6.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl FromStr for Cidr {
    type Err = String;

    /// `address/prefix`, or an address alone for itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{} is not an address or range; write for example \"10.0.0.0/8\" or \"::1\"", cited(text));
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        if prefix > bits {
            return Err(format!("{} has a prefix longer than {bits} bits", cited(text)));
        }
        let network = match address {
            IpAddr::V4(address) => IpAddr::V4(mask_v4(address, prefix)),
            IpAddr::V6(address) => IpAddr::V6(mask_v6(address, prefix)),
        };
        if network != address {
            return Err(format!("{} has bits beyond its prefix; write \"{network}/{prefix}\"", cited(text)));
        }
        // A prefix under 96 bits reaches outside the mapped addresses and stays IPv6.
        match (network.to_canonical(), prefix.checked_sub(96)) {
            (IpAddr::V4(mapped), Some(prefix)) if network.is_ipv6() => Ok(Self { network: IpAddr::V4(mapped), prefix }),
            _ => Ok(Self { network, prefix }),
        }
    }
}

impl From<IpAddr> for Cidr {
    /// The address alone.
    fn from(address: IpAddr) -> Self {
        let network = address.to_canonical();
        Self { network, prefix: if network.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

fn mask_v4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn mask_v6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

/// A list of ranges.
pub(super) struct Ranges;

impl Kind for Ranges {
    type Value = Vec<Cidr>;

    fn read(&self, value: &DeValue<'_>) -> Result<Vec<Cidr>, Vec<Wrong>> {
        let list = value.as_array().ok_or_else(|| self.mistyped(value))?;
        if list.len() > RANGES_MAX {
            return Err(Wrong::one(format!("{} entries; allowed is {}", list.len(), self.allowed())));
        }
        let mut ranges = Vec::with_capacity(list.len());
        let mut wrongs = Vec::new();
        for (index, element) in list.iter().enumerate() {
            let range = match element.get_ref() {
                DeValue::String(text) => text.parse(),
                other => Err(format!("expected an address or range in quotes, found {}", a_type(other))),
            };
            match range {
                Ok(range) => ranges.push(range),
                Err(reason) => {
                    wrongs.push(Wrong::new(reason).in_element(index, element.span().start));
                }
            }
        }
        if wrongs.is_empty() { Ok(ranges) } else { Err(wrongs) }
    }

    fn show(&self, value: &Vec<Cidr>) -> String {
        let ranges: Vec<_> = value.iter().map(|range| quoted(&range.to_string())).collect();
        format!("[{}]", ranges.join(", "))
    }

    fn allowed(&self) -> String {
        format!("a list of at most {RANGES_MAX} addresses and ranges such as \"10.0.0.0/8\"")
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn ranges_contain_their_addresses_and_no_others() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ] {
            let cidr: Cidr = range.parse().unwrap();
            assert!(cidr.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!cidr.contains(outside.parse().unwrap()), "{range} {outside}");
            assert_eq!(cidr.to_string().parse(), Ok(cidr));
        }
    }

    #[test]
    fn bad_ranges_say_why() {
        let reason = "\"10.0.0.1/8\" has bits beyond its prefix; write \"10.0.0.0/8\"";
        assert_eq!("10.0.0.1/8".parse::<Cidr>(), Err(reason.to_owned()));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "localhost",
            "10.0/8",
            "10.0.0.0/999",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        let reasons = read_literal(&Ranges, "[\"10.0.0.0/8\", 3, \"x\"]");
        assert_eq!(reasons.map_err(|reasons| reasons.lines().count()), Err(2));
        assert!(read_literal(&Ranges, "\"10.0.0.0/8\"").is_err());
    }
}
