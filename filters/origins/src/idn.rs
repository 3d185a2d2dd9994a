//! International names: a host configured in its `xn--` form is also found as its Unicode form.
//!
//! Browsers lower-case and normalise what a page writes (UTS 46) and turn it into the `xn--` form.
//! Here the table has both forms, and what is looked up is lower-cased. It refuses to normalise:
//! combining marks and full-width letters in a host stay unmapped.

/// The Unicode form of a host with `xn--` labels (RFC 3492); nothing if it has none or one is invalid.
pub(crate) fn unicode(host: &[u8]) -> Option<String> {
    let host = std::str::from_utf8(host).ok()?;
    if !host.contains("xn--") {
        return None;
    }
    let label = |label: &str| match label.strip_prefix("xn--") {
        Some(coded) => decode(coded),
        None => Some(label.to_owned()),
    };
    let labels: Option<Vec<String>> = host.split('.').map(label).collect();
    Some(labels?.join("."))
}

/// A written host in lower case; nothing if it is not UTF-8.
pub(crate) fn lower(host: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(host).ok()?.to_lowercase())
}

/// Punycode of one label, without its prefix (RFC 3492, 6.2).
fn decode(coded: &str) -> Option<String> {
    let (plain, rest) = coded.rsplit_once('-').unwrap_or(("", coded));
    let mut output: Vec<char> = plain.chars().collect();
    let (mut code, mut at, mut bias) = (128_u32, 0_u32, 72_u32);
    let mut digits = rest.bytes().map(|byte| match byte {
        b'a'..=b'z' => Some(u32::from(byte - b'a')),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 26),
        _ => None,
    });
    let mut next = digits.next();
    while let Some(digit) = next {
        let old = at;
        let (mut weight, mut k, mut digit) = (1_u32, 36_u32, digit?);
        loop {
            at = at.checked_add(digit.checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(1, 26);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(36 - threshold)?;
            k += 36;
            digit = digits.next()??;
        }
        let length = u32::try_from(output.len()).ok()? + 1;
        bias = adapt(at - old, length, old == 0);
        code = code.checked_add(at / length)?;
        at %= length;
        output.insert(usize::try_from(at).ok()?, char::from_u32(code)?);
        at += 1;
        next = digits.next();
    }
    Some(output.into_iter().collect())
}

fn adapt(delta: u32, length: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / length;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names() {
        for (coded, name) in [
            ("xn--bcher-kva.corp", Some("b\u{fc}cher.corp")),
            ("a.xn--mnchen-3ya", Some("a.m\u{fc}nchen")),
            ("xn--fiqs8s", Some("\u{4e2d}\u{56fd}")),
            ("xn--ls8h.la", Some("\u{1f4a9}.la")),
            ("plain.corp", None),
            ("xn--99999999999", None),
            ("xn--\u{fc}", None),
        ] {
            assert_eq!(unicode(coded.as_bytes()).as_deref(), name, "{coded}");
        }
    }
}
