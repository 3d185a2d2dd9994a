//! The end of elements that hold text and no markup: `<style>`, `<script>`, `<title>` and others.
//!
//! ```text
//!   <style> … </style>            the first `</style` and a space, `/` or `>`
//!   <script> … <!-- … <script> … </script> … --> … </script>
//!              └Once──┘└Twice─────────────┘└Once┘            (HTML, 13.2.5.15 and following)
//! ```
//!
//! It refuses to read the text.

use crate::search::{Begins, begins, find};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaped {
    No,
    /// Behind `<!--`.
    Once,
    /// Behind `<script` behind that: one `</script` is part of the text.
    Twice,
}

/// The text of one such element, from chunk to chunk.
#[derive(Debug)]
pub(crate) struct Raw {
    name: &'static [u8],
    escaped: Escaped,
    /// Bytes behind the start of the text at hand that were searched already.
    searched: usize,
}

/// Where the text ends.
pub(crate) enum End {
    /// Its end tag begins here.
    At(usize),
    /// Not before here; what stands here may be the beginning of the end.
    NotBefore(usize),
}

enum Step {
    To(usize),
    Found(usize),
    Wait(usize),
}

impl Raw {
    pub(crate) fn new(name: &'static [u8]) -> Self {
        Raw { name, escaped: Escaped::No, searched: 0 }
    }

    /// Searches on in a text that begins at `from`; at the `last` nothing more will come.
    pub(crate) fn end(&mut self, text: &[u8], from: usize, last: bool) -> End {
        let is_script = self.name == b"script";
        let mut at = from + self.searched;
        loop {
            let found = if is_script { find(text, at, *b"<>") } else { find(text, at, *b"<") };
            let Some(place) = found else {
                return End::NotBefore(text.len() - if is_script { dashes(text) } else { 0 });
            };
            let step = match text.get(place) {
                Some(b'>') => {
                    if text.get(..place).is_some_and(|before| before.ends_with(b"--")) {
                        self.escaped = Escaped::No;
                    }
                    Step::To(place + 1)
                }
                _ => self.bracket(text, place, is_script),
            };
            match step {
                Step::To(next) => at = next,
                Step::Found(place) => return End::At(place),
                Step::Wait(_) if last => at = place + 1,
                Step::Wait(place) => return End::NotBefore(place),
            }
        }
    }

    /// So many bytes of the text stay at hand, of which `searched` were.
    pub(crate) fn keep(&mut self, searched: usize) {
        self.searched = searched;
    }

    fn bracket(&mut self, text: &[u8], at: usize, is_script: bool) -> Step {
        let rest = text.get(at..).unwrap_or_default();
        let after = |skip: usize, word: &[u8]| match begins(rest.get(skip..).unwrap_or_default(), word) {
            Begins::Yes => match rest.get(skip + word.len()) {
                None => Begins::Perhaps,
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'/' | b'>') => Begins::Yes,
                Some(_) => Begins::No,
            },
            other => other,
        };
        let next = Step::To(at + 1);
        if rest.len() == 1 {
            return Step::Wait(at);
        }
        if rest.get(1) == Some(&b'/') {
            return match after(2, self.name) {
                Begins::Perhaps => Step::Wait(at),
                Begins::No => next,
                Begins::Yes if self.escaped == Escaped::Twice => {
                    self.escaped = Escaped::Once;
                    next
                }
                Begins::Yes => Step::Found(at),
            };
        }
        match (is_script, self.escaped) {
            (true, Escaped::No) => match begins(rest, b"<!--") {
                Begins::Perhaps => Step::Wait(at),
                Begins::No => next,
                Begins::Yes => {
                    self.escaped = Escaped::Once;
                    Step::To(at + 4)
                }
            },
            (true, Escaped::Once) => match after(1, self.name) {
                Begins::Perhaps => Step::Wait(at),
                Begins::No => next,
                Begins::Yes => {
                    self.escaped = Escaped::Twice;
                    next
                }
            },
            _ => next,
        }
    }
}

/// Dashes at the end of the text that a `>` may follow.
fn dashes(text: &[u8]) -> usize {
    text.iter().rev().take(2).take_while(|&&byte| byte == b'-').count()
}
