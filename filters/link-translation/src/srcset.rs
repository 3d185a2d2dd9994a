//! The candidates of `srcset` and `imagesrcset` (HTML, 4.8.4.3.10): `a.png 1x, b.png 200w`.
//!
//! A URL ends at a space, and commas at its end belong to the list; commas inside it do not, and a
//! descriptor ends at a comma outside of parentheses. It refuses to judge descriptors.

use std::ops::Range;

fn space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0c | b'\r')
}

/// The places of the URLs, in order.
pub(crate) fn urls(value: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let skip = |from: usize, what: fn(u8) -> bool| {
            from + value.get(from..).unwrap_or_default().iter().take_while(|&&byte| what(byte)).count()
        };
        let start = skip(at, |byte| space(byte) || byte == b',');
        let end = skip(start, |byte| !space(byte));
        if start == end {
            return None;
        }
        let url = value.get(start..end)?;
        let commas = url.iter().rev().take_while(|&&byte| byte == b',').count();
        at = if commas > 0 { end } else { descriptors(value, end) };
        Some(start..end - commas)
    })
}

/// Where the descriptors that begin here end.
fn descriptors(value: &[u8], from: usize) -> usize {
    let mut inside = false;
    for (at, byte) in value.iter().enumerate().skip(from) {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b',' if !inside => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_those_of_browsers() {
        for (value, expected) in [
            ("a.png 1x, b.png 200w", &["a.png", "b.png"][..]),
            ("a.png, b.png,c.png 2x", &["a.png", "b.png,c.png"]),
            (" ,, a 1x,b 2x ,\tc", &["a", "b", "c"]),
            ("a 1x (x, y), b", &["a", "b"]),
            ("data:,x,y 1x, b", &["data:,x,y", "b"]),
            ("a,,, b", &["a", "b"]),
            ("", &[]),
            (", ,", &[]),
        ] {
            let found: Vec<_> = urls(value.as_bytes()).map(|place| &value[place]).collect();
            assert_eq!(found, expected, "{value}");
        }
    }
}
