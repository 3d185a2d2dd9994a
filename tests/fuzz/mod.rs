//! The targets of `fuzz/`, a bounded run of each on stable Rust: its corpus, and seeded mutations of it.
//!
//! `LOCKGATE_FUZZ_ROUNDS` makes the run longer and `LOCKGATE_FUZZ_SEED` makes it another one; a finding names both, and
//! goes into the corpus when it is mended. It refuses to need libFuzzer, which looks for new paths; see `fuzz/README.md`.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{env, fs};

use targets::TARGETS;
use targets::mutate::{Random, changed, mutated};

/// Mutations of each target: some ten seconds for all of them, in a debug build on one core.
const ROUNDS: u64 = 2_000;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = corpus(name);
    assert!(seeds.len() > 3, "{name}: the corpus is gone");
    for seed in &seeds {
        targets::run(name, seed);
    }
    let first = number("LOCKGATE_FUZZ_SEED", 1);
    for round in 0..number("LOCKGATE_FUZZ_ROUNDS", ROUNDS) {
        let mut random = Random(first ^ round.wrapping_mul(0x1000_0000_01b3));
        let mut input = mutated(&seeds, target.words, &mut random);
        if random.below(2) == 0 {
            // Near a seed: most of what is far from all of them is refused at its first byte.
            input.clone_from(&seeds[random.below(seeds.len())]);
            changed(&mut input, target.words, 2, &mut random);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| targets::run(name, &input))) {
            let told = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("{name}, seed {first}, round {round}: {told}\ninput: {}", input.escape_ascii());
        }
    }
}

/// A test for each target.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })*

        #[test]
        fn every_target_is_run() {
            let run: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(run, [$(stringify!($name)),*]);
            let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
            for name in run {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

targets! {
    request_head response_head chunked path authority hello control token configuration abi_pairs links links_bounded
}
