//! `Accept-Encoding` (RFC 9110, 12.5.3): what a client accepts, and what a backend may be told.
//!
//! It refuses to rank codings: which of the accepted ones to use is the backend's choice.

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use super::{Coding, elements};

/// Whether a request with these fields accepts `coding` (RFC 9110, 12.5.3). Without an
/// `Accept-Encoding` any coding is acceptable; an empty one accepts none. A malformed weight counts
/// as zero; of a coding named twice the first counts.
#[must_use]
pub fn accepts(headers: &HeaderMap, coding: Coding) -> bool {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return true;
    }
    let mut any = false;
    let mut any_seen = false;
    for item in elements(headers, &ACCEPT_ENCODING).map(Preference::parse) {
        if Coding::named(item.name) == Some(coding) {
            return item.acceptable();
        }
        if item.name == b"*" && !any_seen {
            (any, any_seen) = (item.acceptable(), true);
        }
    }
    any
}

/// Leaves in `Accept-Encoding` only what [`Decoder`](super::Decoder) can undo, in one field, weights and order as
/// they were; so that a backend does not answer with something no filter can read.
///
/// `*` would allow such a thing: it is spelt out as the codings not named otherwise, unless its
/// weight is zero, as then it only forbids. If nothing is left, `identity` says so, since no field
/// at all would mean that everything is welcome; for the same reason an absent field stays absent:
/// the client said nothing, and what the backend chooses then is passed or decoded as it comes.
pub fn limit_accept_encoding(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return;
    }
    let items: Vec<Preference<'_>> =
        elements(headers, &ACCEPT_ENCODING).map(Preference::parse).filter(|item| item.weight.is_some()).collect();
    let named: Vec<Coding> = items.iter().filter_map(|item| Coding::named(item.name)).collect();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for item in &items {
        if item.name == b"*" && item.acceptable() {
            let others = Coding::ALL.into_iter().filter(|coding| !named.contains(coding));
            kept.extend(others.map(|coding| [coding.name().as_bytes(), item.parameters].concat()));
        } else if item.name == b"*" || item.name.eq_ignore_ascii_case(b"identity") || Coding::named(item.name).is_some()
        {
            kept.push([item.name, item.parameters].concat());
        }
    }
    let value = HeaderValue::from_bytes(&kept.join(&b", "[..])).ok().filter(|value| !value.is_empty());
    headers.insert(ACCEPT_ENCODING, value.unwrap_or(HeaderValue::from_static("identity")));
}

/// One element of an `Accept-Encoding`.
struct Preference<'a> {
    name: &'a [u8],
    /// From the `;` to the end, as it was.
    parameters: &'a [u8],
    /// Thousandths; none if it is malformed.
    weight: Option<u16>,
}

impl<'a> Preference<'a> {
    fn parse(element: &'a [u8]) -> Self {
        let end = element.iter().position(|&byte| byte == b';').unwrap_or(element.len());
        let (name, parameters) = element.split_at(end);
        let weight = match parameters.trim_ascii_start() {
            [] => Some(1000),
            [b';', parameter @ ..] => match parameter.trim_ascii() {
                [b'q' | b'Q', b'=', value @ ..] => thousandths(value),
                _ => None,
            },
            _ => None,
        };
        Self { name: name.trim_ascii_end(), parameters, weight }
    }

    fn acceptable(&self) -> bool {
        self.weight.is_some_and(|weight| weight > 0)
    }
}

/// `qvalue` of RFC 9110, 12.4.2: 0 to 1 with up to three digits.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0') * 1000;
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        weight += u16::from(char::from(*digit).to_digit(10).and_then(|digit| u8::try_from(digit).ok())?) * unit;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (ACCEPT_ENCODING, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn rfc9110_12_5_3_weights_decide_what_is_accepted() {
        let accepts = |value: &'static str| {
            let headers = fields(&[value]);
            Coding::ALL
                .into_iter()
                .filter(|&coding| accepts(&headers, coding))
                .map(Coding::name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(Coding::ALL.into_iter().all(|coding| super::accepts(&HeaderMap::new(), coding)));
        for (value, accepted) in [
            ("", ""),
            ("identity", ""),
            ("gzip, deflate, br, zstd", "gzip deflate br zstd"),
            ("X-GZIP;Q=0.001 , br;q=0, zstd ; q=0.000", "gzip"),
            ("*", "gzip deflate br zstd"),
            ("*;q=0, gzip", "gzip"),
            ("br;q=0, *;q=0.1", "gzip deflate zstd"),
            ("gzip;q=2, br;q=x, zstd;q=0.1234, deflate;x=1", ""),
            ("gzip;q=1.000, br;q=1., zstd;q=1.001, deflate;q=", "gzip br"),
        ] {
            assert_eq!(accepts(value), accepted, "{value}");
        }
    }

    #[test]
    fn accept_encoding_is_limited_to_what_can_be_undone() {
        let limited = |values: &[&'static str]| {
            let mut headers = fields(values);
            limit_accept_encoding(&mut headers);
            let all: Vec<_> =
                headers.get_all(ACCEPT_ENCODING).iter().map(|value| value.to_str().unwrap().to_owned()).collect();
            all.join("|")
        };
        assert_eq!(limited(&[]), "");
        assert_eq!(limited(&["gzip, deflate, br, zstd, dcb, dcz"]), "gzip, deflate, br, zstd");
        assert_eq!(limited(&["compress;q=0.5", "br;q=1.0,gzip ;q=0.3"]), "br;q=1.0, gzip;q=0.3");
        assert_eq!(limited(&["gzip, *;q=0.5"]), "gzip, deflate;q=0.5, br;q=0.5, zstd;q=0.5");
        assert_eq!(limited(&["identity;q=0.5, *;q=0"]), "identity;q=0.5, *;q=0");
        assert_eq!(limited(&["dcb"]), "identity");
        assert_eq!(limited(&[""]), "identity");
        assert_eq!(limited(&["gzip;q=7, br"]), "br");
    }
}
