//! Looking before parsing: whether a piece of markup or of a style sheet can hold an address at all.
//!
//! ```text
//!   chunk ─▶ two slashes in a row, however written? ─ no ──▶ passed on at once, parsed when it must be
//!                 └ yes: a host of the table behind them? ─┘
//!                                └ yes, or hard to say ──▶ parsed
//! ```
//!
//! Most pieces of most pages hold none, and finding that out costs a fraction of tokenising. Every
//! address has two slashes in front of its host, as `/`, `\`, a reference or an escape, with nothing
//! but tabs and line ends between. `integrity` counts as well, because it may have to go.
//!
//! It refuses to decide: what it lets pass holds no address, what it does not may hold none either.

use origins::url::slash;

use crate::css::behind_hex;
use crate::entities;
use crate::escapes;
use crate::lanes::{Found, LANES, Lanes};
use crate::links::Links;

/// So much of an address may stand at the end of a piece: a scheme, a host and a port of 300 bytes.
const TAIL_BYTES_MAX: usize = 320;

/// So much of a tag may stand at the end of a piece and be held back before it was seen to matter.
const TAG_BYTES_MAX: usize = 4096;

/// What a slash may be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// References, and what style sheets and scripts know.
    Markup,
    /// Escapes of CSS.
    Style,
}

/// What was seen in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Perhaps an address.
    Something,
    /// None, but one may begin here, at the end.
    Nothing(usize),
}

/// Looks at a piece from `from` on; at the `end` nothing begins any more.
pub(crate) fn look(links: &Links, writing: Writing, text: &[u8], from: usize, end: bool) -> Seen {
    let counts = |at| counts(links, writing, text, at, end);
    let something = match writing {
        Writing::Markup => any_suspicious::<true>(text, from, counts),
        Writing::Style => any_suspicious::<false>(text, from, counts),
    };
    if something {
        return Seen::Something;
    }
    if end {
        return Seen::Nothing(text.len());
    }
    let tag = if writing == Writing::Markup { open_tag(text, from) } else { text.len() };
    Seen::Nothing(tag.min(tail(text, from)))
}

/// So many bytes are looked at before anything is asked about them.
const STRIDE: usize = 4 * LANES;

/// Whether `counts` holds for a byte that is the second of two slashes, a `&`, a `\`, or the second
/// letter of `ri`.
fn any_suspicious<const MARKUP: bool>(text: &[u8], from: usize, counts: impl Fn(usize) -> bool) -> bool {
    // Every byte is looked at together with the one before it; the first may have none.
    let mut at = from.max(1);
    if from == 0 && text.first().is_some_and(|&first| suspicious::<MARKUP>(b' ', first)) && counts(0) {
        return true;
    }
    let found = |at: usize| {
        let bytes = |at: usize| text.get(at..).and_then(|rest| rest.first_chunk::<LANES>());
        Some(suspicious_lanes::<MARKUP>(Lanes::of(bytes(at - 1)?), Lanes::of(bytes(at)?)))
    };
    let any = |start: usize, mut bits: u16| {
        while bits != 0 {
            if counts(start + bits.trailing_zeros() as usize) {
                return true;
            }
            bits &= bits - 1;
        }
        false
    };
    while at + STRIDE <= text.len() {
        let parts = [found(at), found(at + LANES), found(at + 2 * LANES), found(at + 3 * LANES)];
        let [Some(a), Some(b), Some(c), Some(d)] = parts else { break };
        if a.or(b).or(c.or(d)).bits() != 0
            && [a, b, c, d].iter().enumerate().any(|(i, part)| any(at + i * LANES, part.bits()))
        {
            return true;
        }
        at += STRIDE;
    }
    let pairs = text.get(at.saturating_sub(1)..).unwrap_or_default().windows(2);
    pairs
        .enumerate()
        .any(|(i, pair)| matches!(pair, &[before, byte] if suspicious::<MARKUP>(before, byte)) && counts(at + i))
}

/// The suspicious bytes of sixteen, each told from the one `before` it.
#[inline]
fn suspicious_lanes<const MARKUP: bool>(before: Lanes, lanes: Lanes) -> Found {
    let slashes = |lanes: Lanes| lanes.equal(b'/').or(lanes.equal(b'\\'));
    let second = slashes(lanes).or(lanes.at_most(0x1f));
    let found = slashes(before).and(second).or(lanes.equal(b'\\'));
    if !MARKUP {
        return found;
    }
    let small = |lanes: Lanes| lanes.with_bits(0x20);
    found.or(lanes.equal(b'&')).or(small(before).equal(b'r').and(small(lanes).equal(b'i')))
}

/// The same of one byte.
fn suspicious<const MARKUP: bool>(before: u8, byte: u8) -> bool {
    let after_slash = slash(before) && (slash(byte) || byte < b' ');
    let markup = MARKUP && (byte == b'&' || (before | 0x20 == b'r' && byte | 0x20 == b'i'));
    after_slash || byte == b'\\' || markup
}

/// Whether what begins or goes on at a suspicious byte counts.
fn counts(links: &Links, writing: Writing, text: &[u8], at: usize, end: bool) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let before = text.get(..at).unwrap_or_default();
    // Of spaces and line ends only those matter that stand between slashes.
    let is_part = |code: u32| match code {
        0..=0x20 => before.last().is_some_and(|&last| slash(last)),
        code => code == u32::from(b'/') || code == u32::from(b'\\'),
    };
    match rest {
        // `&lt;`, `&quot;` and most others stand for nothing of an address.
        [b'&', b'#' | b's' | b'b' | b'a' | b'T' | b'N', ..] => match entities::reference(rest) {
            // `&amp;#47;` in a document inside an attribute.
            Some((0x26, length)) => {
                let inner = rest.get(length..).unwrap_or_default();
                [&b"#"[..], b"sol", b"bsol"].iter().any(|word| inner.starts_with(word))
            }
            Some((code, _)) => is_part(code),
            None => false,
        },
        [b'\\', b'u' | b'x', code @ ..] if writing == Writing::Markup => {
            code.starts_with(b"002") || code.starts_with(b"2")
        }
        [b'\\', next, ..] if !slash(*next) && escapes::first(rest).is_some_and(is_part) => true,
        [b'&', ..] => false,
        [b'i' | b'I', b't' | b'T', b'y' | b'Y', ..] => {
            let ends = |word: &[u8]| {
                before
                    .len()
                    .checked_sub(word.len())
                    .and_then(|start| before.get(start..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(word))
            };
            ends(b"integr") || ends(b"content-secur")
        }
        [b'i' | b'I', _, ..] => false,
        _ => host_counts(links, text, at, end),
    }
}

/// Whether a host that is known, or hard to read, stands behind the slashes of which one is here.
fn host_counts(links: &Links, text: &[u8], at: usize, end: bool) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let skipped = rest.iter().take_while(|&&byte| slash(byte) || byte < b' ').count();
    let authority = rest.get(skipped..).unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let length = authority.iter().take_while(|byte| plain(byte)).count();
    match authority.get(length) {
        // At the end of a piece what may still become a host is kept, see `tail`.
        None if !end => false,
        None => links.knows(authority),
        Some(b'&' | b'%' | b'[' | b'\\' | 0x80.. | ..b' ') => true,
        Some(_) => length > 0 && authority.get(..length).is_some_and(|host| links.knows(host)),
    }
}

/// Where the tag begins that the piece seems to end in. One with a `>` in a value is not found; then
/// `tail` has to do.
fn open_tag(text: &[u8], from: usize) -> usize {
    let seen = text.get(from..).unwrap_or_default();
    let length = seen.iter().rev().take(TAG_BYTES_MAX).position(|&byte| byte == b'<' || byte == b'>');
    match length.map(|length| seen.len() - 1 - length) {
        Some(at) if seen.get(at) == Some(&b'<') => from + at,
        _ => text.len(),
    }
}

/// Where something begins at the end of a piece that only what comes next decides.
fn tail(text: &[u8], from: usize) -> usize {
    // Behind a byte that is part of no address nothing can have begun.
    let part = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b':' | b'/' | b'\\' | b'.' | b'-' | b'_' | b'&' | b'#' | b';' | b'\t' | b'\r' | b'\n')
            || *byte >= 0x80
    };
    let seen = text.get(from..).unwrap_or_default();
    // A space is none, unless it ends an escape: `http\3a //host` of a style sheet.
    let ends_escape = |at: usize, byte: u8| matches!(byte, b' ' | 0x0c) && behind_hex(seen, at);
    let length = (0..seen.len())
        .rev()
        .take(TAIL_BYTES_MAX)
        .take_while(|&at| seen.get(at).is_some_and(|byte| part(byte) || ends_escape(at, *byte)))
        .count();
    let run = seen.get(seen.len() - length..).unwrap_or_default();
    if may_begin(run) { text.len() - length } else { text.len() }
}

/// Whether an address, or one of the words that count, may begin somewhere in a run of its bytes.
fn may_begin(run: &[u8]) -> bool {
    if run.iter().any(|&byte| slash(byte) || byte == b'&') {
        return true;
    }
    // The rest is letters: only those at the very end can be the start of a scheme or a word.
    let letters: Vec<u8> = run.iter().copied().filter(|&byte| byte > b' ').collect();
    let words: [&[u8]; 6] = [b"https:", b"http:", b"wss:", b"ws:", b"integrity", b"content-security"];
    words.iter().any(|word| {
        (1..=word.len().min(letters.len())).any(|count| {
            let (end, start) = (letters.get(letters.len() - count..), word.get(..count));
            end.zip(start).is_some_and(|(end, start)| end.eq_ignore_ascii_case(start))
        })
    })
}
