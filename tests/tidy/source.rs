//! One Rust file taken apart: its code, its comments, its tests, and what rules ask about a place.
//!
//! Holds no rule and no opinion; `rules.rs` has those.

use std::ops::Range;

use crate::ink::{self, Ink, block_after, heads, offsets, words};

/// The same text three times, with the same offsets: as written, only its code, only its comments.
pub(crate) struct Source {
    /// From the root of the tree, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: String,
    pub(crate) comments: String,
    /// Items under `#[cfg(test)]`, from the attribute to the closing brace.
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Source {
        let inks = ink::inks(text);
        let code = ink::only(text, &inks, Ink::Code);
        let marks = ["#[cfg(test)]", "#[cfg(all(test,"];
        let marks = marks.iter().flat_map(|mark| offsets(&code, mark));
        let tests = marks.filter_map(|at| Some(at..block_after(&code, at + 1)?.end));
        Source {
            tests: tests.collect(),
            path: path.to_owned(),
            text: text.to_owned(),
            comments: ink::only(text, &inks, Ink::Comment),
            code,
        }
    }

    /// The room a file belongs to: none outside `src/`, and none for the crate's own two roots,
    /// which may name every room.
    pub(crate) fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?.trim_end_matches(".rs");
        (inside != "lib.rs" && inside != "main.rs").then_some(first)
    }

    /// Every room named from the crate's root: by `crate::x`, by each member of `crate::{x, y}`,
    /// and by a chain of `super` that climbs all the way.
    pub(crate) fn rooms_named(&self) -> Vec<(usize, &str)> {
        let mut ends: Vec<_> = words(&self.code, "crate").map(|at| (at, at + "crate".len())).collect();
        let chains = words(&self.code, "super");
        for at in chains.filter(|&at| !self.code[..at].ends_with("super::")) {
            let steps = self.code[at..].split("::").take_while(|step| *step == "super");
            let steps = steps.count();
            if steps == self.depth(at) {
                ends.push((at, at + steps * "super::".len() - "::".len()));
            }
        }
        let heads = |(at, end)| heads(&self.code, end).into_iter().map(move |room| (at, room));
        ends.into_iter().flat_map(heads).collect()
    }

    /// How many modules a place of `src/` is below the crate's root.
    fn depth(&self, at: usize) -> usize {
        let files = self.path.trim_end_matches("/mod.rs").matches('/').count();
        let inline = self
            .named("mod")
            .filter(|&(module, _)| block_after(&self.code, module).is_some_and(|block| block.contains(&at)));
        files + inline.count()
    }

    /// Every `keyword name` in the code, with the keyword's offset.
    pub(crate) fn named(&self, keyword: &str) -> impl Iterator<Item = (usize, &str)> {
        let length = keyword.len();
        words(&self.code, keyword)
            .map(move |at| (at, ink::word(self.code[at + length..].trim_start())))
            .filter(|(_, name)| !name.is_empty())
    }

    /// Where the code says `word` with `next` right behind it.
    pub(crate) fn followed(&self, word: &str, next: char) -> impl Iterator<Item = usize> {
        let length = word.len();
        words(&self.code, word).filter(move |at| self.code[at + length..].starts_with(next))
    }

    /// Every function that has a body, as `path::name`, and its lines from `fn` to the brace.
    pub(crate) fn functions(&self) -> Vec<(String, usize)> {
        let lines = |at, name| {
            let body = block_after(&self.code, at)?;
            Some((format!("{}::{name}", self.path), self.lines_of(&(at..body.end))))
        };
        self.named("fn").filter_map(|(at, name)| lines(at, name)).collect()
    }

    /// Lines of the file without its test modules.
    pub(crate) fn length(&self) -> usize {
        let tests: usize = self.tests.iter().map(|test| self.lines_of(test)).sum();
        self.text.lines().count() - tests
    }

    fn lines_of(&self, range: &Range<usize>) -> usize {
        self.code[range.clone()].matches('\n').count() + 1
    }

    pub(crate) fn is_test(&self, at: usize) -> bool {
        let whole = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        whole || self.tests.iter().any(|test| test.contains(&at))
    }

    /// Whether a comment on the line of `at`, or on one of the `above` lines before it, says one
    /// of `phrases` and goes on.
    pub(crate) fn noted(&self, at: usize, above: usize, phrases: &[&str]) -> bool {
        let line = self.line(at);
        let says = |note: &str| {
            let mut tails = phrases.iter().filter_map(|phrase| note.split_once(phrase));
            tails.any(|(_, reason)| !reason.trim().is_empty())
        };
        let near = self.comments.lines().take(line).skip(line.saturating_sub(above + 1));
        near.into_iter().any(says)
    }

    /// Whether the comment right above the statement or item of the `unsafe` at `at` says why it
    /// holds. The type of a function pointer needs none.
    pub(crate) fn safety_noted(&self, at: usize) -> bool {
        let what = self.code[at + "unsafe".len()..].trim_start();
        let what = what.strip_prefix("extern").map_or(what, str::trim_start);
        if what.starts_with("fn(") {
            return true;
        }
        let lines = self.code.lines().zip(self.comments.lines());
        let mut above: Vec<_> = lines.take(self.line(at) - 1).collect();
        above.reverse();
        let blank = |text: &str| text.trim().is_empty();
        let goes_on = |code: &str| !blank(code) && !code.trim_end().ends_with([';', '{', '}', ',']);
        let comment = above.into_iter().skip_while(|(code, _)| goes_on(code));
        let mut comment = comment.take_while(|(code, note)| blank(code) && !blank(note));
        comment.any(|(_, note)| note.contains("SAFETY:") || note.contains("# Safety"))
    }

    pub(crate) fn found(&self, at: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, self.line(at))
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_come_from_paths() {
        let room = |path| Source::parse(path, "").room().map(str::to_owned);
        assert_eq!(room("src/edge/listener.rs").as_deref(), Some("edge"));
        assert_eq!(room("src/id.rs").as_deref(), Some("id"));
        for root in ["src/lib.rs", "src/main.rs", "tests/it/main.rs", "build.rs"] {
            assert_eq!(room(root), None, "{root}");
        }
    }

    #[test]
    fn lengths_leave_test_modules_out() {
        let text = "a\nb\n#[cfg(test)]\n#[allow(x, reason = \"}\")]\nmod tests {\n    c\n}\n";
        let source = Source::parse("src/id.rs", text);
        assert_eq!(source.length(), 2);
        let at = |what| text.find(what).expect("it is in the text");
        assert!(source.is_test(at("c\n}")) && !source.is_test(at("b\n")));
    }

    #[test]
    fn functions_reach_to_their_own_brace() {
        let text = "\
trait T {
    fn no_body(&self, f: fn(u8) -> u8);
}
fn outer<const N: usize>(
    x: [u8; { 2 }],
) -> bool {
    fn inner() { \"}\"; '}'; /* } */ }
    x == [b'{'; 2]
}
";
        let functions = Source::parse("src/id.rs", text).functions();
        let expected = [("src/id.rs::outer".to_owned(), 6), ("src/id.rs::inner".to_owned(), 1)];
        assert_eq!(functions, expected);
    }
}
