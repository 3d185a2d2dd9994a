//! Whether a request is too large: by what it declares, and by what comes. Refuses to believe the declaration alone,
//! because a chunked body declares nothing.

/// Counts the body of one request.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    max: u64,
    seen: u64,
}

impl Size {
    /// A request that may have `max` bytes.
    pub fn new(max: u64) -> Self {
        Self { max, seen: 0 }
    }

    /// Whether the declared length is within the limit. What is no number is left to the host, which refuses it.
    pub fn admits_declared(&self, content_length: Option<&[u8]>) -> bool {
        let Some(text) = content_length.map(<[u8]>::trim_ascii) else { return true };
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return true;
        }
        let digits = text.iter().position(|&byte| byte != b'0').map_or(&b"0"[..], |first| &text[first..]);
        // More digits than a u64 has is more than any limit.
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok()).is_some_and(|n| n <= self.max)
    }

    /// Whether another piece is within the limit.
    pub fn admits_piece(&mut self, bytes: usize) -> bool {
        self.seen = self.seen.saturating_add(bytes as u64);
        self.seen <= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::Size;
    use proptest::prelude::*;

    #[test]
    fn declared() {
        let size = Size::new(100);
        for good in ["0", "100", " 7 ", "000100", "x", ""] {
            assert!(size.admits_declared(Some(good.as_bytes())), "{good}");
        }
        for large in ["101", "99999999999999999999999999", "0000000000000000000000000000101"] {
            assert!(!size.admits_declared(Some(large.as_bytes())), "{large}");
        }
        assert!(size.admits_declared(None) && size.admits_declared(Some(b"\xe9")));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(pieces in proptest::collection::vec(0usize..50, 0..20), max in 0u64..300) {
            let mut size = Size::new(max);
            let admitted = pieces.iter().all(|&piece| size.admits_piece(piece));
            prop_assert_eq!(admitted, pieces.iter().sum::<usize>() as u64 <= max);
        }
    }
}
