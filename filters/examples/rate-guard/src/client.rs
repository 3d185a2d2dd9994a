//! Whose request it is, and in which bucket that falls. Refuses to trust forwarding headers: who wants a header to
//! count names it in the configuration.

use std::net::{IpAddr, SocketAddr};

/// Longest header value that tells clients apart; longer ones count by their beginning.
const VALUE_BYTES_MAX: usize = 256;

/// The client of a request: the value of the configured header, or else the address without its port.
pub fn identity(header: Option<&[u8]>, source_address: &[u8]) -> Vec<u8> {
    match header.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) {
        Some(value) => [b"h:", &value[..value.len().min(VALUE_BYTES_MAX)]].concat(),
        None => [b"a:".to_vec(), address(source_address)].concat(),
    }
}

/// An address without its port; of IPv6 the first 64 bits, because a household has them all.
fn address(source: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(source).ok();
    let ip = text
        .and_then(|text| text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| text.parse::<IpAddr>()).ok());
    match ip.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => ip.octets().to_vec(),
        Some(IpAddr::V6(ip)) => ip.octets()[..8].to_vec(),
        None => source[..source.len().min(VALUE_BYTES_MAX)].to_vec(),
    }
}

/// A keyed hash, folded multiplications as in wyhash; not cryptographic. Keyed, because clients must not know whose
/// bucket is whose, or they could empty each other's.
pub fn fingerprint(seed: u64, identity: &[u8]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut hash = fold(seed ^ 0x9e37_79b9_7f4a_7c15, identity.len() as u64 | 1 << 63);
    for piece in identity.chunks(8) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        hash = fold(hash ^ u64::from_le_bytes(word) ^ seed, 0xd6e8_feb8_6659_fd93 ^ seed.rotate_left(32));
    }
    fold(hash ^ seed, 0xa076_1d64_78bd_642f)
}

/// The shared data key of the bucket a fingerprint falls into.
pub fn bucket_key(fingerprint: u64, buckets: u32) -> String {
    format!("rate-guard/{}", fingerprint % u64::from(buckets.max(1)))
}

#[cfg(test)]
mod tests {
    use super::{bucket_key, fingerprint, identity};
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        assert_eq!(identity(None, b"10.0.0.1:5000"), identity(None, b"10.0.0.1:6000"));
        assert_eq!(identity(None, b"[2001:db8::1]:1"), identity(None, b"[2001:db8::ffff]:2"));
        assert_eq!(identity(None, b"[::ffff:10.0.0.1]:1"), identity(None, b"10.0.0.1:2"));
        assert_ne!(identity(None, b"[2001:db8::1]:1"), identity(None, b"[2001:db8:0:1::1]:1"));
        assert_ne!(identity(None, b"10.0.0.1:1"), identity(None, b"10.0.0.2:1"));
        assert_eq!(identity(None, b"unix\xe9"), b"a:unix\xe9".to_vec());
    }

    #[test]
    fn headers_and_addresses_are_apart() {
        assert_ne!(identity(Some(b"alice"), b"10.0.0.1:1"), identity(Some(b"bob"), b"10.0.0.1:1"));
        assert_eq!(identity(Some(b" "), b"10.0.0.1:1"), identity(None, b"10.0.0.1:1"));
        assert_eq!(identity(Some(b"caf\xe9"), b""), b"h:caf\xe9".to_vec());
    }

    #[test]
    fn buckets_are_used_evenly() {
        let mut counts = [0u32; 64];
        for client in 0..6400u32 {
            counts[(fingerprint(7, &client.to_le_bytes()) % 64) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (50..170).contains(&count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn the_seed_decides(value in proptest::collection::vec(any::<u8>(), 0..40), a in any::<u64>(), b in any::<u64>()) {
            prop_assume!(a != b);
            prop_assert_ne!(fingerprint(a, &value), fingerprint(b, &value));
            prop_assert!(bucket_key(fingerprint(a, &value), 16).len() <= 13);
        }
    }
}
