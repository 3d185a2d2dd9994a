//! Comments, declarations, CDATA sections and instructions: what begins with `<!` or `<?`.
//!
//! Comments and declarations pass; the text of CDATA sections and instructions is read where text is.
//! It refuses to read a document type.

use super::{Html, Next, State};
use crate::edits::Edits;
use crate::search::{Begins, begins, find, find_word};

impl Html {
    /// What begins with `<!`.
    pub(super) fn declaration(&mut self, rest: &[u8], at: usize) -> Next {
        let has_cdata = self.is_xml || self.namespace.is_foreign();
        match (begins(rest, b"<!--"), begins(rest, b"<!doctype"), rest.starts_with(b"<![CDATA[")) {
            (Begins::Yes, ..) => {
                self.state = State::Comment(0);
                Next::At(at)
            }
            (Begins::Perhaps, ..) | (_, Begins::Perhaps, _) => Next::Wait(at),
            _ if has_cdata && rest.len() < 9 && b"<![CDATA[".starts_with(rest) => Next::Wait(at),
            (_, _, true) if has_cdata => {
                self.state = State::Cdata;
                Next::At(at + 9)
            }
            (_, Begins::Yes, _) if self.is_xml => {
                self.state = State::Doctype(false);
                Next::At(at)
            }
            _ => {
                self.state = State::Bogus;
                Next::At(at)
            }
        }
    }

    /// Text up to a mark that ends it.
    pub(super) fn marked(&mut self, text: &[u8], at: usize, mark: &[u8], end: bool, edits: &mut Edits) -> Next {
        if let Some(stop) = find_word(text, at, mark) {
            self.read(text, at, stop, true, edits);
            self.state = State::Data;
            return Next::At(stop + mark.len());
        }
        // What may be the beginning of the mark stays.
        let kept = (1..mark.len()).rev().find(|&count| mark.get(..count).is_some_and(|start| text.ends_with(start)));
        let stop = if end { text.len() } else { (text.len() - kept.unwrap_or(0)).max(at) };
        Next::Wait(self.read(text, at, stop, end, edits))
    }

    pub(super) fn comment(&mut self, text: &[u8], at: usize, before: usize) -> Next {
        // `<!-->` and `<!--->` are whole comments; for `--!>` the first dashes do not count.
        let mut from = at;
        while let Some(bracket) = find(text, from, *b">") {
            let read = text.get(at..bracket).unwrap_or_default();
            let count = before + read.len();
            if (read.ends_with(b"--") && count >= 4) || (read.ends_with(b"--!") && count >= 7) {
                self.state = State::Data;
                return Next::At(bracket + 1);
            }
            from = bracket + 1;
        }
        // Dashes at the end may be those of its end.
        let rest = text.get(at..).unwrap_or_default();
        let dashes = rest.iter().rev().take(3).take_while(|&&byte| byte == b'-' || byte == b'!').count();
        let done = text.len() - dashes;
        self.state = State::Comment((before + done - at).min(7));
        Next::Wait(done)
    }

    pub(super) fn until(&mut self, text: &[u8], at: usize, end: &[u8]) -> Next {
        match find_word(text, at, end) {
            Some(stop) => {
                self.state = State::Data;
                Next::At(stop + end.len())
            }
            None => Next::At(text.len()),
        }
    }
}
