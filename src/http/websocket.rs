//! The arithmetic of the WebSocket handshake (RFC 6455, 1.3 and 4).
//!
//! Frames are none of its business: after the handshake both directions are bytes.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// RFC 6455, 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_for(key: &[u8]) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    HeaderValue::from_str(&STANDARD.encode(hash)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a client's key is 16 octets in base64 (RFC 6455, 4.1, item 7).
#[must_use]
pub fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && STANDARD.decode(key).is_ok_and(|octets| octets.len() == 16)
}

/// A new key for a handshake of our own. It guards against caches and confused servers, not
/// against people, so the fast generator serves.
#[must_use]
pub fn new_key() -> HeaderValue {
    let octets = fastrand::u128(..).to_be_bytes();
    HeaderValue::from_str(&STANDARD.encode(octets)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_1_3_the_example_key() {
        assert_eq!(accept_for(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn rfc6455_4_1_a_key_is_sixteen_octets() {
        assert!(is_key(new_key().as_bytes()));
        for bad in ["", "dGhlIHNhbXBsZQ==", "!!!!!!!!!!!!!!!!!!!!!!!!"] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }
}
