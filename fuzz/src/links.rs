//! Link translation, natively: the same check as `filters/link-translation/examples/fuzz`, which takes whole pages.

#[path = "../../filters/link-translation/examples/fuzz/case.rs"]
mod case;
#[path = "../../filters/link-translation/examples/fuzz/unmapped.rs"]
mod unmapped;

use super::mutate::{self, Random};
use case::{Case, KINDS, checkable, maps};

pub use case::WORDS;

/// Holds a body of which much may be held back: it is the same in whatever chunks it comes.
pub fn run(data: &[u8]) {
    translated(data, "1048576");
}

/// Holds a body of which little may be held back.
pub fn bounded(data: &[u8]) {
    translated(data, "400");
}

/// The first byte is which app and which kind of body; the rest is the body.
fn translated(data: &[u8], held: &str) {
    let Some((&first, body)) = data.split_first() else { return };
    let choice = usize::from(first);
    let input = checkable(body);
    let kind = KINDS[choice / 3 % KINDS.len()];
    let maps = maps(held);
    let case = Case { maps: &maps, app: [&b"s"[..], b"p", b"h"][choice % 3], kind, input: &input };
    let seed = data.iter().fold(0, |sum: u64, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    if let Err(finding) = case.check(&mut Random(seed)) {
        panic!("{finding}\ninput {}", input.escape_ascii());
    }
}
