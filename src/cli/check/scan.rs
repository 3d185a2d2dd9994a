//! Finds internal addresses in any text, however they are spelt.
//!
//! ```text
//!   … scheme : //  user@ HOST .  :port  /path …     HOST is searched for; what is around it decides
//!     └────┬────┘              └border┘
//!      Address, or without two slashes a bare Name
//! ```
//!
//! The host is searched for, so a page is read once for each of them, and nothing of its grammar is
//! needed. It refuses to say what kind of place it is.

use memchr::memmem;

use super::known::{Host, Known, Spelt};
use super::written::Written;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An address of an app.
    Address,
    /// An address of its host, with a scheme, port or path that no app has.
    Elsewhere,
    /// The host's name alone.
    Name,
}

/// One place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) what: What,
    /// Its first byte in the source.
    pub(super) at: usize,
    /// It stands in another URL, or is percent-encoded, so that no browser takes it for one.
    pub(super) inside_url: bool,
    /// As it reads, its path cut.
    pub(super) address: String,
}

/// Bytes of an address that are shown.
const SHOWN_BYTES: usize = 100;
/// Before an address, so far is looked for the beginning of a URL around it. Data URLs are longer, and none.
const TOKEN_BYTES: usize = 4096;

/// Every place where an internal address is written, in order.
pub(super) fn scan(known: &Known, source: &[u8]) -> Vec<Hit> {
    let mut hits = find(known, &Written::read(source, false));
    // Across line ends, which browsers leave out of URLs; there a name alone says nothing.
    for hit in find(known, &Written::read(source, true)) {
        if hit.what != What::Name && !hits.iter().any(|other| other.at == hit.at) {
            hits.push(hit);
        }
    }
    hits.sort_by_key(|hit| hit.at);
    hits
}

fn find(known: &Known, written: &Written) -> Vec<Hit> {
    let mut hits = Vec::new();
    for host in known.hosts() {
        let found = memmem::find_iter(&written.text, host.name.as_bytes());
        hits.extend(found.filter_map(|at| hit(host, written, at)));
    }
    hits
}

fn hit(host: &Host, written: &Written, at: usize) -> Option<Hit> {
    let text = &written.text;
    let start = if host.wildcard { label_before(text, at)? } else { at };
    let end = at + host.name.len();
    if text.get(..start)?.last().is_some_and(|&before| in_host(before)) {
        return None;
    }
    let rest = text.get(end..)?;
    // A dot at the end of a name is the root's, if it is not the sentence's.
    let rest = match rest {
        [b'.', next, ..] if in_host(*next) => return None,
        [b'.', rest @ ..] => rest,
        [next, ..] if in_host(*next) => return None,
        rest => rest,
    };
    let (port, rest) = port(rest)?;
    let head = head(text.get(..start)?);
    let is_address = head.slashes >= 2 || (head.slashes == 1 && head.scheme.is_some());
    let spelt = Spelt { scheme: head.scheme, port, rest };
    let what = match head.scheme {
        _ if !is_address => What::Name,
        Some(b"http" | b"https" | b"ws" | b"wss") | None if host.has(&spelt) => What::Address,
        Some(b"http" | b"https" | b"ws" | b"wss") | None => What::Elsewhere,
        Some(_) => What::Name,
    };
    // Where hosts have no dot, they are words.
    if what == What::Name && port.is_none() && !host.name.trim_matches('.').contains('.') {
        return None;
    }
    let begins = if what == What::Name { start } else { head.start };
    let shown = text.get(begins..).unwrap_or_default();
    let shown = shown.get(..shown.iter().take(SHOWN_BYTES).take_while(|byte| !delimits(**byte)).count());
    Some(Hit {
        what,
        at: written.place(begins),
        inside_url: is_address && inside_url(text.get(..head.start)?),
        address: String::from_utf8_lossy(shown.unwrap_or_default()).into_owned(),
    })
}

/// Where the label before a wildcard's name begins.
fn label_before(text: &[u8], at: usize) -> Option<usize> {
    let label = text.get(..at)?.iter().rev().take_while(|&&byte| in_host(byte) && byte != b'.').count();
    (label > 0).then_some(at - label)
}

/// What stands before a host.
struct Head<'t> {
    scheme: Option<&'t [u8]>,
    slashes: usize,
    start: usize,
}

fn head(before: &[u8]) -> Head<'_> {
    let slash = |byte: &&u8| matches!(byte, b'/' | b'\\');
    let mut authority = before.len();
    if before.last() == Some(&b'@') {
        let user = before.iter().rev().take_while(|byte| !slash(byte) && !delimits(**byte)).count();
        if before.get(..before.len() - user).and_then(<[u8]>::last).is_some_and(|last| slash(&last)) {
            authority -= user;
        }
    }
    let before = before.get(..authority).unwrap_or_default();
    let slashes = before.iter().rev().take_while(slash).count();
    let before = before.get(..before.len() - slashes).unwrap_or_default();
    if let Some(named) = before.strip_suffix(b":") {
        let letters = named.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let word = named.get(named.len() - letters..).unwrap_or_default();
        // `\nhttp` and `xhttp` read as one word; what matters is that it ends so.
        let known = [&b"https"[..], b"http", b"wss", b"ws"].into_iter().find(|scheme| word.ends_with(scheme));
        let scheme = known.and_then(|known| word.get(word.len() - known.len()..)).unwrap_or(word);
        if !scheme.is_empty() {
            return Head { scheme: Some(scheme), slashes, start: named.len() - scheme.len() };
        }
    }
    Head { scheme: None, slashes, start: before.len() }
}

/// The port behind a host and what follows; nothing if the name goes on in a way that makes it another.
fn port(rest: &[u8]) -> Option<(Option<u16>, &[u8])> {
    let Some(behind) = rest.strip_prefix(b":") else { return Some((None, rest)) };
    let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = behind.split_at_checked(digits)?;
    let number = std::str::from_utf8(digits).ok()?;
    if number.is_empty() { Some((None, rest)) } else { Some((Some(number.parse().ok()?), rest)) }
}

/// Whether the text before an address makes it a part of another URL: of its query, its fragment or its path.
fn inside_url(before: &[u8]) -> bool {
    let length = before.iter().rev().take(TOKEN_BYTES).take_while(|byte| !delimits(**byte)).count();
    let token = before.get(before.len() - length..).unwrap_or_default();
    token.contains(&b'?') || token.contains(&b'#') || memmem::find(token, b"://").is_some()
}

/// Whether no URL goes on at this byte.
fn delimits(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b',' | b';' | b'|')
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublishedUrl;

    fn known() -> Known {
        let mut known = Known::default();
        for url in [
            "http://intranet.corp:8080/",
            "http://wiki.corp/w/",
            "http://*.t.corp/",
            "http://box:3000/",
            "http://xn--bcher-kva.corp/",
        ] {
            known.add(&PublishedUrl::parse(url).unwrap());
        }
        known
    }

    #[test]
    fn addresses_are_found_in_any_spelling() {
        for text in [
            "http://intranet.corp:8080/x",
            "HTTP://Intranet.CORP:8080",
            "//intranet.corp:8080/",
            "ws://intranet.corp:8080/",
            r"http:\/\/intranet.corp:8080\/x",
            r"\nhttp://intranet.corp:8080",
            "http:&#47;&#47;intranet&#46;corp:8080/",
            r"\\intranet.corp:8080\x",
            "http:/intranet.corp:8080/",
            "http://me:pw@intranet.corp:8080/",
            "http://intranet.corp.:8080/",
            "ht\ntp://intra\nnet.corp:8080/",
            "http://wiki.corp/w/x",
            "http://wiki.corp/w?x",
            "http://a.t.corp/",
            "http://box:3000/",
            "http://bücher.corp/",
            "see http://intranet.corp:8080.",
        ] {
            let hits = scan(&known(), text.as_bytes());
            assert!(matches!(&hits[..], [Hit { what: What::Address, inside_url: false, .. }]), "{text}: {hits:?}");
        }
    }

    #[test]
    fn others_are_not() {
        for (text, expected) in [
            ("http://intranet.corp.evil:8080/", None),
            ("http://xintranet.corp:8080/", None),
            ("http://intranet.corpx:8080/", None),
            ("http://intranet.corp:80801/", None),
            ("http://a.b.t.corp/", None),
            ("http://.t.corp/", None),
            ("a box of things", None),
            ("http://intranet.corp:9090/", Some(What::Elsewhere)),
            ("http://wiki.corp/other", Some(What::Elsewhere)),
            ("mail me@intranet.corp", Some(What::Name)),
            ("intranet.corp:8080", Some(What::Name)),
            ("ldap://intranet.corp:8080/", Some(What::Name)),
        ] {
            let hits = scan(&known(), text.as_bytes());
            assert_eq!(hits.first().map(|hit| hit.what), expected, "{text}: {hits:?}");
        }
    }

    #[test]
    fn a_url_in_a_url_is_told_apart() {
        for (text, inside) in [
            ("https://x.example/?u=http://intranet.corp:8080/", true),
            ("/login?next=http%3A%2F%2Fintranet.corp%3A8080", true),
            ("x?y\" href=\"http://intranet.corp:8080/", false),
            ("0; url=http://intranet.corp:8080/", false),
        ] {
            let hits = scan(&known(), text.as_bytes());
            assert_eq!(hits.first().map(|hit| hit.inside_url), Some(inside), "{text}: {hits:?}");
        }
    }

    #[test]
    fn a_hit_knows_its_place() {
        let hits = scan(&known(), b"a &#47;/intranet.corp:8080/x\" http://intranet.corp:8080/y");
        let shown: Vec<_> = hits.iter().map(|hit| (hit.at, hit.address.as_str())).collect();
        assert_eq!(shown, [(2, "//intranet.corp:8080/x"), (30, "http://intranet.corp:8080/y")]);
    }
}
