//! Finds the end of the first `<body …>` tag in a page that comes in pieces of any size.
//!
//! ```text
//! Text ─'<'─► Open ─letter─► Name ─────────► Tag ─'>'─► Text, or found after <body …>, or RawText after <script …>
//!               ├─"!--"──► Comment ─"-->"─► Text           RawText ─"</script"─► Tag
//!               └─'!' '?' '/'─► Bogus ─'>'─► Text
//! ```
//!
//! A tag inside a comment, an attribute value, a script, style, title or other raw text is not one. It keeps a few
//! bytes of state and no input; it refuses to build a tree, so a page that closes its script in a comment inside that
//! script may fool it, at worst by a banner in the wrong place.

/// Elements whose content is text up to their own end tag.
const RAW_TEXT: [&[u8]; 7] = [b"script", b"style", b"title", b"textarea", b"noembed", b"noframes", b"xmp"];

/// Longest name that matters: `textarea`, and one byte more to tell it from longer ones.
const NAME_BYTES_MAX: usize = 9;

/// Where in the page the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Open,
    /// After `<!` and so many of the two dashes that make a comment.
    Declaration {
        dashes: u8,
    },
    /// In a comment, after so many dashes.
    Comment {
        dashes: u8,
        bang: bool,
    },
    Bogus,
    Name,
    Tag {
        quote: Option<u8>,
        value_next: bool,
    },
    /// In raw text; so many bytes of the end tag have matched.
    RawText {
        matched: usize,
    },
    Found,
}

/// The search in one page.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    name: Vec<u8>,
    /// The element whose raw text this is.
    raw: &'static [u8],
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Text, name: Vec::with_capacity(NAME_BYTES_MAX), raw: b"" }
    }
}

impl Scanner {
    /// Reads the next piece. The index in it after which the body's content begins, once; then never again.
    pub fn feed(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() && self.state != State::Found {
            if self.state == State::Text {
                at += piece[at..].iter().position(|&byte| byte == b'<')?;
            }
            self.state = self.after(piece[at]);
            at += 1;
            if self.state == State::Found {
                return Some(at);
            }
        }
        None
    }

    /// Whether the place was found.
    pub fn is_done(&self) -> bool {
        self.state == State::Found
    }

    fn after(&mut self, byte: u8) -> State {
        match self.state {
            State::Found => State::Found,
            State::Text if byte == b'<' => State::Open,
            State::Text => State::Text,
            State::Open => match byte {
                b'!' => State::Declaration { dashes: 0 },
                b'?' | b'/' => State::Bogus,
                b'<' => State::Open,
                _ if byte.is_ascii_alphabetic() => {
                    self.name.clear();
                    self.name_byte(byte)
                }
                _ => State::Text,
            },
            State::Declaration { dashes } => match (byte, dashes) {
                (b'-', 0) => State::Declaration { dashes: 1 },
                // `<!-->` is a whole comment, so its dashes count as closing ones.
                (b'-', _) => State::Comment { dashes: 2, bang: false },
                (b'>', _) => State::Text,
                _ => State::Bogus,
            },
            State::Comment { dashes, bang } => match byte {
                b'-' => State::Comment { dashes: if bang { 1 } else { (dashes + 1).min(2) }, bang: false },
                b'!' if dashes == 2 && !bang => State::Comment { dashes, bang: true },
                b'>' if dashes == 2 => State::Text,
                _ => State::Comment { dashes: 0, bang: false },
            },
            State::Bogus if byte == b'>' => State::Text,
            State::Bogus => State::Bogus,
            State::Name => match byte {
                b'>' => self.tag_end(),
                b'/' | b' ' | b'\t' | b'\n' | b'\r' | 0x0c => State::Tag { quote: None, value_next: false },
                _ => self.name_byte(byte),
            },
            State::Tag { quote: Some(quote), .. } if byte == quote => State::Tag { quote: None, value_next: false },
            State::Tag { quote: Some(quote), .. } => State::Tag { quote: Some(quote), value_next: false },
            State::Tag { quote: None, value_next } => match byte {
                b'>' => self.tag_end(),
                b'=' => State::Tag { quote: None, value_next: true },
                b'"' | b'\'' if value_next => State::Tag { quote: Some(byte), value_next: false },
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => State::Tag { quote: None, value_next },
                _ => State::Tag { quote: None, value_next: false },
            },
            State::RawText { matched } => self.raw_text(matched, byte),
        }
    }

    fn name_byte(&mut self, byte: u8) -> State {
        if self.name.len() < NAME_BYTES_MAX {
            self.name.push(byte.to_ascii_lowercase());
        }
        State::Name
    }

    /// After the `>` of a start tag.
    fn tag_end(&mut self) -> State {
        if self.name == b"body" {
            return State::Found;
        }
        match RAW_TEXT.into_iter().find(|raw| *raw == self.name) {
            Some(raw) => {
                self.raw = raw;
                State::RawText { matched: 0 }
            }
            None => State::Text,
        }
    }

    /// In raw text: only `</name` followed by a space, a slash or `>` ends it.
    fn raw_text(&mut self, matched: usize, byte: u8) -> State {
        let expected = match matched {
            0 => Some(b'<'),
            1 => Some(b'/'),
            _ => self.raw.get(matched - 2).copied(),
        };
        match expected {
            Some(expected) if byte.to_ascii_lowercase() == expected => State::RawText { matched: matched + 1 },
            None if byte == b'>' => State::Text,
            None if matches!(byte, b'/' | b' ' | b'\t' | b'\n' | b'\r' | 0x0c) => {
                self.name.clear(); // an end tag, which opens nothing
                State::Tag { quote: None, value_next: false }
            }
            _ if byte == b'<' => State::RawText { matched: 1 },
            _ => State::RawText { matched: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scanner;
    use proptest::prelude::*;

    /// The page with `|` where the banner goes, fed in pieces of the given sizes, over and over.
    fn injected(page: &[u8], sizes: &[usize]) -> Vec<u8> {
        let (mut scanner, mut out, mut rest, mut turn) = (Scanner::default(), Vec::new(), page, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes[turn % sizes.len()].clamp(1, rest.len()));
            let at = scanner.feed(piece);
            out.extend_from_slice(&piece[..at.unwrap_or(piece.len())]);
            if let Some(at) = at {
                out.push(b'|');
                out.extend_from_slice(&piece[at..]);
            }
            (rest, turn) = (after, turn + 1);
        }
        out
    }

    #[test]
    fn the_place_is_found() {
        for page in [
            "<html><body>|x",
            "<HTML><BODY CLASS=a>|<p>",
            "<body\n data-x='>' title=\"<body>\">|x<body>",
            "<!doctype html><!-- <body> --><body/>|",
            "<!--><body>|",
            "<!---><body>|",
            "<!-- a --!><body>|",
            "<!-- a --- --><body>|",
            "<?xml version='1.0'?><html><body >|",
            "<script>if (a<b) '<body>'</script><body>|",
            "<script src=a></SCRIPT ><style>p{}</style><title><body></title><body>|",
            "<textarea></textareas></textarea/><body>|",
            "a < b << <body>|",
            "</body><body>|",
            "<p a==\"'>'\"><body a=b\">|",
        ] {
            let plain = page.replace('|', "");
            for size in 1..=plain.len() {
                assert_eq!(injected(plain.as_bytes(), &[size]), page.as_bytes(), "{page} in pieces of {size}");
            }
        }
    }

    #[test]
    fn there_is_none() {
        for page in
            ["", "<p>x", "<body", "<bodyguard>", "<!-- <body>", "<script><body>", "< body>", "<body a=\">", "<tbody>"]
        {
            assert_eq!(injected(page.as_bytes(), &[1]), page.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in proptest::collection::vec(prop_oneof![
                Just("<body"), Just(">"), Just("<"), Just("<!--"), Just("-->"), Just("\""), Just("="), Just(" "),
                Just("<script>"), Just("</script>"), Just("</"), Just("x"), Just("--!>"), Just("<title>"), Just("</title"),
            ], 0..40),
            sizes in proptest::collection::vec(1usize..9, 1..6),
        ) {
            let page = parts.concat();
            let whole = injected(page.as_bytes(), &[page.len().max(1)]);
            prop_assert_eq!(&injected(page.as_bytes(), &sizes), &whole);
            prop_assert!(whole.iter().filter(|&&byte| byte == b'|').count() <= 1);
        }

        #[test]
        fn any_bytes_pass(page in proptest::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
            let mut out = injected(&page, &[size]);
            if out.len() > page.len() {
                let at = out.iter().zip(&page).position(|(a, b)| a != b).unwrap_or(page.len());
                out.remove(at);
            }
            prop_assert_eq!(out, page);
        }
    }
}
