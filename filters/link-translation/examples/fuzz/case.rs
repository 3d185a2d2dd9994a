//! One body and what has to hold for it: the same in any chunks, the same without looking first, and what changed is
//! addresses alone.
//!
//! `fuzz/src/links.rs` of the proxy takes this file in by its path, for cargo-fuzz and for `cargo test`. It refuses to
//! judge what a translation should have been.

use std::rc::Rc;

use link_translation::{Body, Kind, Maps};

use super::mutate::Random;
use super::unmapped::unmapped;

/// Three apps that the edge publishes, `HELD` of which is how much may be held back.
const APPS: &str = r#"{"version":"1","apps":[
    {"name":"s","external":"https://zz.test/","internal":"http://intranet.corp:8080/","translate_scripts":true},
    {"name":"p","external":"https://zz.test/docs/","internal":"http://intranet.corp:8080/wiki/"},
    {"name":"h","external":"http://zz.test/","internal":"http://intranet.corp:8080/"}
],"limits":{"held":HELD}}"#;

/// What a body may be.
pub const KINDS: [Kind; 6] = [Kind::Html, Kind::Xml, Kind::Css, Kind::Script, Kind::Manifest, Kind::Playlist];

/// What grammars turn on.
pub const WORDS: &[&str] = &[
    "http://intranet.corp:8080/",
    "//intranet.corp:8080",
    "HTTP:&#47;&#x2f;intranet.corp:8080",
    "http:\\/\\/intranet.corp:8080\\/",
    "http:\\u002f\\u002fintranet.corp:8080",
    "http\\3a //intranet.corp:8080",
    "ht\ntp://intra\tnet.corp:8080/x",
    "http://intranet.corp:8080.evil/",
    "<a href=\"",
    "<img srcset='",
    "<style>",
    "</style>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "--!>",
    "<![CDATA[",
    "]]>",
    "<svg>",
    "</svg>",
    "<math>",
    "<noscript>",
    "</noscript>",
    "<textarea>",
    "</textarea>",
    "<title>",
    "<plaintext>",
    "<template>",
    "<base href=",
    "<p style=\"",
    "<iframe srcdoc=\"",
    "<meta http-equiv=refresh content=\"0;url=",
    "<meta http-equiv=content-security-policy content=\"",
    "<?xml ",
    "?>",
    "url(",
    "@import ",
    "image-set(",
    "/*",
    "*/",
    "\\",
    "\"",
    "'",
    "`",
    "=",
    ">",
    "<",
    "</",
    "/>",
    "&",
    "&#",
    "&#x",
    "&quot;",
    "&sol;",
    ";",
    "\0",
    "\u{feff}",
    "\r\n",
    "\t",
    " ",
    "?",
    "#",
    "@",
    ":",
    "..",
    "\u{fc}",
    "data:,",
    "javascript:",
    " xlink:href='",
    "</a href='",
    "<a a='b'c=",
];

/// The maps with so many bytes held back.
pub fn maps(held: &str) -> Rc<Maps> {
    Rc::new(Maps::read(APPS.replace("HELD", held).as_bytes()).expect("written above"))
}

/// The input without what would make its check impossible.
pub fn checkable(input: &[u8]) -> Vec<u8> {
    // What is translated in a tag drops its hash, and what was an external address before cannot be told apart.
    let text = input.iter().map(|byte| if *byte == b'z' || *byte == b'Z' { b'y' } else { *byte });
    let text: Vec<u8> = text.collect();
    replaced(&text, b"integrit", b"intrgrit")
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    let places = text.windows(from.len()).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(from));
    places.for_each(|(at, _)| out[at..at + to.len()].copy_from_slice(to));
    out
}

/// A body of an app.
pub struct Case<'c> {
    /// The addresses.
    pub maps: &'c Rc<Maps>,
    /// Whose it is.
    pub app: &'c [u8],
    /// What it is.
    pub kind: Kind,
    /// The body.
    pub input: &'c [u8],
}

impl Case<'_> {
    fn run(&self, looks: bool, mut cuts: impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut body = Body::new(self.maps, self.maps.table.app(self.app), self.kind);
        if !looks {
            body = body.without_looking();
        }
        let (mut out, mut rest) = (Vec::new(), self.input);
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(cuts(rest.len()).clamp(1, rest.len()));
            body.write(chunk, &mut out);
            rest = after;
        }
        body.end(&mut out);
        out
    }

    /// How many addresses were translated, or what is wrong.
    pub fn check(&self, random: &mut Random) -> Result<usize, String> {
        let whole = self.run(true, |length| length);
        // Where little may be held, it depends on the chunks which tokens are too long.
        let is_bounded = self.maps.held_bytes_max < 1 << 20;
        let most = [1, 2, 7, 40, 300][random.below(5)];
        let pieces = self.run(true, |_| 1 + random.below(most));
        if !is_bounded && pieces != whole {
            return Err(format!("in chunks up to {most}: {}\nwhole {}", pieces.escape_ascii(), whole.escape_ascii()));
        }
        let parsed = self.run(false, |length| length);
        if !is_bounded && parsed != whole {
            return Err(format!("never looking: {}\nwhole {}", parsed.escape_ascii(), whole.escape_ascii()));
        }
        // A policy gets more sources than it had, and names without a scheme.
        if self.input.windows(16).any(|window| window.eq_ignore_ascii_case(b"content-security")) {
            return Ok(0);
        }
        [&whole, &pieces]
            .into_iter()
            .map(|out| unmapped(self.app, self.input, out))
            .try_fold(0, |sum, count| Ok(sum + count?))
    }
}
