//! The path of a published URL, which must be written in normal form already (RFC 3986, 6.2.2).
//!
//! Refuses to normalise: what stands in the file is what is compared with requests. Refuses also
//! what servers read in different ways: `%2F`, `%5C`, `;` and empty segments.

use super::error::cited;

/// Checks a path that begins and ends in `/`; an error says how to write it.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    if path.contains("//") {
        return Err("the path has an empty segment (//)".to_owned());
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("the path has a . or .. segment".to_owned());
    }
    let mut rest = path;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '%' => rest = check_escape(rest)?,
            ';' => return Err("the path has a ; which servers read differently".to_owned()),
            _ if char.is_ascii_alphanumeric() || "/-._~!$&'()*+,=:@".contains(char) => {}
            _ => {
                let mut bytes = [0; 4];
                let encoded: String = char.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect();
                return Err(format!("the path has {}; write {encoded}", cited(&char.to_string())));
            }
        }
    }
    Ok(())
}

/// Checks what follows a `%` and gives what follows that.
fn check_escape(rest: &str) -> Result<&str, String> {
    let digits = rest.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let byte = digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?)));
    let (digits, byte) = byte.ok_or("the path has a % without two hex digits after it (RFC 3986, 2.1)")?;
    if byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b';') {
        return Err(format!("the path has %{digits} which servers read differently"));
    }
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        return Err(format!("the path has %{digits}; write {}", char::from(byte)));
    }
    if digits.bytes().any(|digit| digit.is_ascii_lowercase()) {
        return Err(format!("the path has %{digits}; write %{}", digits.to_ascii_uppercase()));
    }
    Ok(&rest[2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_normal_form_pass() {
        for path in ["/", "/a/", "/a.b/~c/-_/", "/b%20c/%C3%BC/", "/a:b@c=d,e+f/", "/.../"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for (bad, reason) in [
            ("//", "the path has an empty segment (//)"),
            ("/b//c/", "the path has an empty segment (//)"),
            ("/../", "the path has a . or .. segment"),
            ("/./b/", "the path has a . or .. segment"),
            ("/%2e%2e/", "the path has %2e; write ."),
            ("/b%2fc/", "the path has %2f which servers read differently"),
            ("/b%5Cc/", "the path has %5C which servers read differently"),
            ("/b;c/", "the path has a ; which servers read differently"),
            ("/b%3Bc/", "the path has %3B which servers read differently"),
            ("/b%00c/", "the path has %00 which servers read differently"),
            ("/%c3%bc/", "the path has %c3; write %C3"),
            ("/%4/", "the path has a % without two hex digits after it (RFC 3986, 2.1)"),
            ("/ü/", "the path has \"ü\"; write %C3%BC"),
        ] {
            assert_eq!(check_path(bad), Err(reason.to_owned()), "{bad}");
        }
    }
}
