//! Host and port: one form for one place, and it stays what it is.

use std::net::Ipv6Addr;

use bytes::Bytes;
use lockgate::http::{Authority, Scheme};

pub const WORDS: &[&str] = &[
    ":",
    ":80",
    ":443",
    ":0",
    ":65535",
    ":65536",
    ":+1",
    ".",
    "..",
    "a",
    "A.TEST",
    "shop.test",
    "[",
    "]",
    "[::1]",
    "[::ffff:1.2.3.4]",
    "[fe80::1%25eth0]",
    "127.0.0.1",
    "@",
    "user@",
    "/",
    ",",
    " ",
    "%2e",
    "xn--",
    "_",
    "-",
    "\u{e9}",
    "\0",
];

/// Holds the value of `Host` or `:authority`.
pub fn run(data: &[u8]) {
    let parsed = Authority::parse(&Bytes::copy_from_slice(data));
    let judged = judge(data);
    let Ok(authority) = &parsed else {
        assert_eq!(judged, None, "refused: {}", data.escape_ascii());
        return;
    };
    let (host, port) = (authority.host().to_owned(), authority.port());
    assert_eq!(Some((host.clone(), port)), judged, "{}", data.escape_ascii());
    let text = authority.to_string();
    let value = authority.header_value().expect("a checked host is a value");
    assert_eq!(value.as_bytes(), text.as_bytes(), "{}", data.escape_ascii());
    let again = Authority::parse(&Bytes::from(text.clone().into_bytes()));
    assert_eq!(again.as_ref(), Ok(authority), "no fixed point: {text}");
    assert_eq!(authority.effective_port(Scheme::Https), port.unwrap_or(443));
    // What the room for URLs makes of it must be the same host, or none.
    if let Ok(url) = url::Url::parse(&format!("http://{text}/"))
        && let Some(url::Host::Domain(name)) = url.host()
        && !name.contains("xn--")
    {
        assert_eq!(name, host, "{text}");
    }
}

/// The slow reading of `uri-host [":" port]`.
fn judge(data: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(data).ok().filter(|text| text.is_ascii() && text.len() <= 261)?;
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at(end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(digits) if digits.len() <= 5 && digits.chars().all(|c| c.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
    };
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        address.parse::<Ipv6Addr>().ok()?;
        return Some((host.to_ascii_lowercase(), port));
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let legal =
        |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    labels.iter().all(legal).then(|| (labels.join(".").to_ascii_lowercase(), port))
}
