//! A URL split as a browser splits it, as far as its origin and the start of its path.
//!
//! Follows the WHATWG URL parser for special schemes: control characters and spaces around the
//! value do not count, tab, CR and LF inside it neither, `\` is `/`, any run of two or more slashes
//! starts the authority. It refuses what would have to be guessed: percent-encoded and non-ASCII
//! hosts compare as they are written, `http:host` and `http:/path` are relative to their base and
//! left alone, dot segments are not resolved.
//!
//! A URL with user information is left alone too: the credentials were meant for the origin they
//! were written for, and `http://intranet.corp@evil/` must not even look like a match.

use std::borrow::Cow;

/// What stands before the `:` of a URL that can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// `https` or `wss`.
    pub secure: bool,
    /// `ws` or `wss`.
    pub socket: bool,
}

/// What stands after the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nothing: the scheme's own.
    Default,
    /// A number.
    Number(u16),
    /// `*`, which only source lists of a Content-Security-Policy may say.
    Any,
}

/// A URL with an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// `None` in a scheme-relative URL.
    pub scheme: Option<Scheme>,
    /// As written, without the trailing dot of an absolute name.
    pub host: &'a [u8],
    /// As written.
    pub port: Port,
    /// The path, query and fragment: empty or beginning with one of `/ \ ? #`.
    pub rest: &'a [u8],
}

/// What a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// `http://host/…` or `//host/…`.
    Origin(Split<'a>),
    /// `/path`.
    Path(&'a [u8]),
    /// Relative, opaque, with user information, or no URL: never touched.
    Other,
}

/// The value without what a browser ignores around and inside it.
pub fn trimmed(value: &[u8]) -> Cow<'_, [u8]> {
    let value = without_ends(value);
    if has_control(value) {
        let kept = value.iter().copied().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n'));
        return Cow::Owned(kept.collect());
    }
    Cow::Borrowed(value)
}

/// Whether any byte is below the space, eight at a time: in the sandbox every turn of a loop costs.
fn has_control(value: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = value.as_chunks::<8>();
    let below_space = |word: u64| word.wrapping_sub(ONES * 0x20) & !word & (ONES * 0x80) != 0;
    words.iter().any(|word| below_space(u64::from_le_bytes(*word))) || rest.iter().any(|&byte| byte < b' ')
}

fn without_ends(mut value: &[u8]) -> &[u8] {
    while let [..=b' ', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., ..=b' '] = value {
        value = rest;
    }
    value
}

/// Splits a value that went through [`trimmed`].
pub fn read(url: &[u8]) -> Form<'_> {
    match url {
        [first, ..] if slash(*first) => match after_slashes(url) {
            Some(after) => authority(None, after),
            None => Form::Path(url),
        },
        [first, ..] if first.is_ascii_alphabetic() => {
            let Some((scheme, after)) = scheme(url) else { return Form::Other };
            after_slashes(after).map_or(Form::Other, |after| authority(Some(scheme), after))
        }
        _ => Form::Other,
    }
}

/// The scheme and what follows its colon.
fn scheme(url: &[u8]) -> Option<(Scheme, &[u8])> {
    let (secure, socket, after) = match url {
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b':', after @ ..] => (false, false, after),
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b's' | b'S', b':', after @ ..] => (true, false, after),
        [b'w' | b'W', b's' | b'S', b':', after @ ..] => (false, true, after),
        [b'w' | b'W', b's' | b'S', b's' | b'S', b':', after @ ..] => (true, true, after),
        _ => return None,
    };
    Some((Scheme { secure, socket }, after))
}

fn after_slashes(url: &[u8]) -> Option<&[u8]> {
    let slashes = url.iter().take_while(|&&byte| slash(byte)).count();
    if slashes < 2 { None } else { url.get(slashes..) }
}

fn authority(scheme: Option<Scheme>, url: &[u8]) -> Form<'_> {
    // One pass finds both ends: in the sandbox every turn of a loop costs.
    let (mut colon, mut end) = (None, url.len());
    for (at, byte) in url.iter().enumerate() {
        match byte {
            b'/' | b'\\' | b'?' | b'#' => {
                end = at;
                break;
            }
            b'@' => return Form::Other,
            b':' if colon.is_none() => colon = Some(at),
            _ => {}
        }
    }
    let (authority, rest) = url.split_at(end);
    let split = match authority {
        [b'[', ..] => host_and_port(authority),
        _ => host_before(authority, colon.unwrap_or(authority.len())),
    };
    match split {
        Some((host, port @ (Port::Default | Port::Number(_)))) => Form::Origin(Split { scheme, host, port, rest }),
        _ => Form::Other,
    }
}

/// Splits `host[:port]`; nothing if the port is none or the host is missing.
pub fn host_and_port(authority: &[u8]) -> Option<(&[u8], Port)> {
    let end = match authority {
        [b'[', ..] => 1 + authority.iter().position(|&byte| byte == b']')?,
        _ => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
    };
    host_before(authority, end)
}

fn host_before(authority: &[u8], end: usize) -> Option<(&[u8], Port)> {
    let (host, after) = authority.split_at_checked(end)?;
    let port = match after {
        [] | [b':'] => Port::Default,
        [b':', b'*'] => Port::Any,
        [b':', digits @ ..] => Port::Number(number(digits)?),
        _ => return None,
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() { None } else { Some((host, port)) }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

/// Whether a browser reads this byte as a slash.
pub fn slash(byte: u8) -> bool {
    byte == b'/' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(url: &str) -> String {
        let trimmed = trimmed(url.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match read(&trimmed) {
            Form::Origin(split) => format!("{} {:?} {}", text(split.host), split.port, text(split.rest)),
            Form::Path(path) => format!("path {}", text(path)),
            Form::Other => "other".into(),
        }
    }

    #[test]
    fn urls_split_as_browsers_split_them() {
        for (url, expected) in [
            ("http://a/x", "a Default /x"),
            ("HTTP://A:80?q", "A Number(80) ?q"),
            ("  https://a.b.:0443#f ", "a.b Number(443) #f"),
            ("ht\ttp:/\n/a\\x", "a Default \\x"),
            ("http:\\\\a\\x", "a Default \\x"),
            ("http:////a/", "a Default /"),
            ("//a:/x", "a Default /x"),
            ("/\\a", "a Default "),
            ("wss://[::1]:9/x", "[::1] Number(9) /x"),
            ("/x", "path /x"),
            ("\\x", "path \\x"),
            ("http://u@a/", "other"),
            ("http://a@b@c/", "other"),
            ("http://a:99999/", "other"),
            ("http://a:8x/", "other"),
            ("http://a:*/", "other"),
            ("http:///", "other"),
            ("http:a", "other"),
            ("http:/a", "other"),
            ("ftp://a/", "other"),
            ("mailto:a@b", "other"),
            ("javascript:'//a/'", "other"),
            ("blob:http://a/x", "other"),
            ("x", "other"),
            ("?http://a/", "other"),
            ("", "other"),
            ("[", "other"),
            ("//[::1", "other"),
        ] {
            assert_eq!(show(url), expected, "{url:?}");
        }
    }
}
