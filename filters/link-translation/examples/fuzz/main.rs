//! Mutates real bodies for a while and looks for a finding: `cargo run --release --example fuzz FOLDER SECONDS [SEED]`.
//!
//! ```text
//!   window of a planted body ─▶ mutations ─▶ Body, whole ────────┬▶ the same?
//!                                         ├▶ Body, random chunks ┤
//!                                         └▶ Body, never looking ┘
//!            input = output with every external origin put back into a gap that reads as the internal one
//! ```
//!
//! FOLDER is what the example `corpus` wrote. A finding is printed with its seed and its round and ends the run. cargo-fuzz
//! is not used: it needs a nightly compiler. It refuses to judge what a translation should have been;
//! tables and the corpus do that.

mod unmapped;

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use link_translation::{Body, Kind, Maps};
use unmapped::unmapped;

const APPS: &str = r#"{"version":"1","apps":[
    {"name":"s","external":"https://zz.test/","internal":"http://intranet.corp:8080/","translate_scripts":true},
    {"name":"p","external":"https://zz.test/docs/","internal":"http://intranet.corp:8080/wiki/"},
    {"name":"h","external":"http://zz.test/","internal":"http://intranet.corp:8080/"}
],"limits":{"held":HELD}}"#;

const KINDS: [Kind; 6] = [Kind::Html, Kind::Xml, Kind::Css, Kind::Script, Kind::Manifest, Kind::Playlist];

/// What grammars turn on.
const WORDS: &[&str] = &[
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

static ROUND: AtomicU64 = AtomicU64::new(0);

struct Random(u64);

impl Random {
    /// SplitMix64: a sequence for each seed, and nothing secret.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % limit.max(1)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds, rest @ ..] = &arguments[..] else {
        eprintln!("fuzz FOLDER SECONDS [SEED]");
        return ExitCode::from(2);
    };
    let seconds = Duration::from_secs(seconds.parse().unwrap_or(600));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = rest.first().and_then(|seed| seed.parse().ok()).unwrap_or(now);
    let seeds = bodies(Path::new(folder));
    println!("seed {seed}, {} bodies", seeds.len());
    // A release aborts on a panic.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        println!("seed {seed}, round {}: panic", ROUND.load(Ordering::Relaxed));
        hook(panic);
    }));
    let maps: Vec<Rc<Maps>> = ["1048576", "400"]
        .map(|held| Rc::new(Maps::read(APPS.replace("HELD", held).as_bytes()).expect("written above")))
        .into();
    let (began, mut round, mut translated, mut bytes) = (Instant::now(), 0_u64, 0, 0);
    while began.elapsed() < seconds {
        round += 1;
        let mut random = Random(seed ^ round.wrapping_mul(0x1000_0000_01b3));
        let input = input(&seeds, &mut random);
        let kind = KINDS[if random.below(2) == 0 { 0 } else { random.below(KINDS.len()) }];
        let case = Case {
            maps: &maps[random.below(8) / 7],
            app: [b"s", b"s", b"p", b"h"][random.below(4)],
            kind,
            input: &input,
        };
        bytes += input.len();
        ROUND.store(round, Ordering::Relaxed);
        match case.check(&mut random) {
            Ok(count) => translated += count,
            Err(finding) => return report(&finding, seed, round, &case),
        }
    }
    println!(
        "{round} rounds, {} MiB, {translated} addresses translated, no finding in {} s",
        bytes >> 20,
        began.elapsed().as_secs()
    );
    ExitCode::SUCCESS
}

fn report(finding: &str, seed: u64, round: u64, case: &Case) -> ExitCode {
    let app = String::from_utf8_lossy(case.app);
    println!("seed {seed}, round {round}, app {app}, {:?}: {finding}\ninput {}", case.kind, case.input.escape_ascii());
    ExitCode::FAILURE
}

fn bodies(folder: &Path) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let planted = files.filter(|file| file.extension().is_some_and(|extension| extension == "planted"));
    let mut bodies: Vec<_> = planted.flat_map(std::fs::read).collect();
    bodies.push(b"<a href=\"http://intranet.corp:8080/\">".to_vec());
    bodies
}

fn input(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..=random.below(3) {
        let seed = &seeds[random.below(seeds.len())];
        let start = random.below(seed.len());
        let length = random.below(600);
        input.extend(seed.iter().skip(start).take(length));
    }
    for _ in 0..=random.below(12) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0..5 => drop(input.splice(at..at, WORDS[random.below(WORDS.len())].bytes())),
            5 => input.truncate(at.max(1)),
            6 => drop(input.splice(at..(at + random.below(9)).min(input.len()), [])),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).unwrap_or_default();
                }
            }
        }
    }
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

struct Case<'c> {
    maps: &'c Rc<Maps>,
    app: &'c [u8],
    kind: Kind,
    input: &'c [u8],
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
    fn check(&self, random: &mut Random) -> Result<usize, String> {
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
