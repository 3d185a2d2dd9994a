//! Targets: the normal form is one that a plain reading of RFC 3986 has too, it stays what it is, and no reading of it
//! climbs.

use bytes::Bytes;
use lockgate::http::path::normalise;

pub const WORDS: &[&str] = &[
    "/",
    "//",
    ".",
    "..",
    "/./",
    "/../",
    "/..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5c",
    "\\",
    ";",
    ";x=1",
    "..;",
    "%",
    "%0",
    "%00",
    "%25",
    "%252e",
    "%c0%af",
    "%e0%80%af",
    "%f0%80%80%af",
    "%41",
    "%7e",
    "?",
    "?a=/../b",
    "#",
    "&",
    "=",
    "@",
    ":",
    "http://a.test",
    "a",
    "api",
    "\u{e9}",
    "\0",
    " ",
    "\r\n",
];

/// Holds a request target.
pub fn run(data: &[u8]) {
    let Ok(normal) = normalise(&Bytes::copy_from_slice(data)) else {
        assert!(!is_harmless(data), "refused, and there is nothing in it: {}", data.escape_ascii());
        return;
    };
    let form = normal.target.as_str();
    let again = normalise(&Bytes::copy_from_slice(form.as_bytes()));
    assert_eq!(again.as_ref(), Ok(&normal), "no fixed point: {}", data.escape_ascii());
    let text = std::str::from_utf8(data).expect("a target is ASCII");
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    assert_eq!(form, format!("{}{query}", resolved(&unescaped(path))), "{text}");
    // Whatever a server behind us decodes once, it does not leave the root, and meets no NUL.
    let liberal = form.split('?').next().unwrap_or_default();
    let liberal = liberal.replace("%2F", "/").replace("%5C", "/").replace("%2E", ".");
    for segment in liberal.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        assert!(name != "." && name != "..", "{segment} in {form} of {text}");
    }
    assert!(form.starts_with('/') && !form.starts_with("//") && !liberal.contains("%00"), "{form} of {text}");
    if let Some(judged) = &normal.judged {
        let segments = judged.trim_matches('/').split('/');
        assert!(judged.starts_with('/') && !judged.contains([';', '?']), "{judged} of {text}");
        let mut segments = segments.filter(|_| judged != "/");
        assert!(segments.all(|segment| !matches!(segment, "" | "." | "..")), "{judged} of {text}");
    }
}

/// Letters, digits, single slashes: whatever the rules are, this is a path.
fn is_harmless(data: &[u8]) -> bool {
    data.first() == Some(&b'/') && data.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'/')
}

/// Escapes of unreserved characters decoded, the others in upper case.
fn unescaped(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        if first != '%' {
            out.push(first);
            rest = &rest[1..];
            continue;
        }
        let value = u8::from_str_radix(&rest[1..3], 16).expect("two hex digits");
        match char::from(value) {
            c if c.is_ascii_alphanumeric() || "-._~".contains(c) => out.push(c),
            _ => out.push_str(&format!("%{value:02X}")),
        }
        rest = &rest[3..];
    }
    out
}

/// RFC 3986, 5.2.4 word for word, on one slash where the path begins with several.
fn resolved(path: &str) -> String {
    let mut input = format!("/{}", path.trim_start_matches('/'));
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("/./") {
            input.replace_range(..2, "");
        } else if input == "/." {
            input = "/".to_owned();
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').expect("it does not climb"));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.push_str(&input[..end]);
            input.replace_range(..end, "");
        }
    }
    format!("/{}", output.trim_start_matches('/'))
}
