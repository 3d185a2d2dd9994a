//! Identifiers made on the request path: request ids and trace context parents.
//!
//! They are unique, not secret: a fast per-thread generator seeded by the system makes them.
//! Anything that must not be guessed (join tokens, certificate serials) is made elsewhere by the
//! cryptographic generator.

use std::fmt;

use http::HeaderValue;

/// A request id: 128 bits, printed as 32 lower-case hex digits, which is also the form of a W3C
/// trace id, so that one value finds the request in pages, logs and traces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// A new id. Never all zero, as trace ids must not be.
    #[must_use]
    pub fn random() -> Self {
        Self::from_u128(fastrand::u128(1..))
    }

    /// Accepts an id made by another Lockgate process or a trusted proxy: exactly 32 hex digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits: [u8; 32] = text.try_into().ok()?;
        let lower = digits.map(|byte| byte.to_ascii_lowercase());
        (lower.iter().all(u8::is_ascii_hexdigit) && lower.iter().any(|&byte| byte != b'0')).then_some(Self(lower))
    }

    fn from_u128(value: u128) -> Self {
        let mut digits = [0; 32];
        write_hex(value, &mut digits);
        Self(digits)
    }

    /// The 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id as a field value, never indexed by HPACK: a value that comes once would only push
    /// others out of the table (RFC 7541, 6.2.3).
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        once(&self.0)
    }

    /// A `traceparent` (W3C Trace Context, 3.2) with this id as trace id. The parent id is the
    /// trace id's last half, so that both ends of a link make the same of one request id.
    #[must_use]
    pub fn traceparent(&self) -> HeaderValue {
        once(&self.traceparent_text())
    }

    /// The same as text.
    #[must_use]
    pub fn traceparent_text(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000001-01";
        text[3..35].copy_from_slice(&self.0);
        // A parent id of zeros alone would be invalid (3.2.2.4).
        if self.0[16..].iter().any(|&digit| digit != b'0') {
            text[36..52].copy_from_slice(&self.0[16..]);
        }
        text
    }
}

fn once(text: &[u8]) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The trace id of a valid `traceparent` (version 00, W3C Trace Context 3.2.2), if it is one.
#[must_use]
pub fn trace_id_of(traceparent: &[u8]) -> Option<RequestId> {
    let shaped = traceparent.len() == 55
        && traceparent.starts_with(b"00-")
        && traceparent[35] == b'-'
        && traceparent[52] == b'-'
        && traceparent[36..52].iter().any(|&byte| byte != b'0')
        && traceparent[3..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if shaped { RequestId::parse(&traceparent[3..35]) } else { None }
}

fn write_hex(mut value: u128, digits: &mut [u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for digit in digits.iter_mut().rev() {
        *digit = HEX[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_the_trace_id_of_its_traceparent() {
        let id = RequestId::random();
        assert_eq!(trace_id_of(id.traceparent().as_bytes()), Some(id));
        assert_eq!(RequestId::parse(id.as_str().as_bytes()), Some(id));
    }

    #[test]
    fn a_malformed_traceparent_is_no_trace_id() {
        for bad in ["", "00-0-0-0", "00-00000000000000000000000000000000-0000000000000001-01"] {
            assert_eq!(trace_id_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
