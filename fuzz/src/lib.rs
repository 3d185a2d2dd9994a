//! What the parsers of the proxy have to hold for any bytes: one function each, `fn(&[u8])`, that panics on a finding.
//!
//! ```text
//!   fuzz_targets/*.rs (libFuzzer, nightly) ─┐                  ┌ no panic
//!   tests/fuzz/ (a bounded run of seeded    ├▶ Target::run ─▶ ┼ the same at every cut of the input
//!     mutations, stable, with cargo test)  ─┘                  ├ written and read again, it is the same
//!            both start from corpus/<target>/                  └ agreement with a slow, obvious reading
//! ```
//!
//! `tests/fuzz/` takes this file in by its path, so it may name no crate that is not a dependency of the tests too.
//! It refuses to make inputs: [`mutate`] and libFuzzer do.

mod abi_pairs;
mod authority;
mod chunked;
mod configuration;
mod cuts;
mod heads;
mod link_messages;
mod links;
pub mod mutate;
mod path;
mod token;

/// One parser under test.
pub struct Target {
    /// Its name: of its corpus, and of its file in `fuzz_targets/`.
    pub name: &'static str,
    /// What its grammar turns on; put into mutated inputs.
    pub words: &'static [&'static str],
    /// Panics when something does not hold for these bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 12] = [
    Target { name: "request_head", words: heads::WORDS, run: heads::request },
    Target { name: "response_head", words: heads::WORDS, run: heads::response },
    Target { name: "chunked", words: chunked::WORDS, run: chunked::run },
    Target { name: "path", words: path::WORDS, run: path::run },
    Target { name: "authority", words: authority::WORDS, run: authority::run },
    Target { name: "hello", words: link_messages::WORDS, run: link_messages::hello },
    Target { name: "control", words: link_messages::WORDS, run: link_messages::control },
    Target { name: "token", words: token::WORDS, run: token::run },
    Target { name: "configuration", words: configuration::WORDS, run: configuration::run },
    Target { name: "abi_pairs", words: abi_pairs::WORDS, run: abi_pairs::run },
    Target { name: "links", words: links::WORDS, run: links::run },
    Target { name: "links_bounded", words: links::WORDS, run: links::bounded },
];

/// Holds `data` by the target of this name.
///
/// # Panics
/// There is none.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a name of TARGETS").run)(data);
}
