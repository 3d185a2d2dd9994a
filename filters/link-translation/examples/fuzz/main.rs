//! Mutates real bodies for a while and looks for a finding: `cargo run --release --example fuzz FOLDER SECONDS [SEED]`.
//!
//! ```text
//!   window of a planted body ─▶ mutations ─▶ Body, whole ────────┬▶ the same?
//!                                         ├▶ Body, random chunks ┤
//!                                         └▶ Body, never looking ┘
//!            input = output with every external origin put back into a gap that reads as the internal one
//! ```
//!
//! FOLDER is what the example `corpus` wrote. A finding is printed with its seed and its round and ends the run. The
//! same check runs under cargo-fuzz and with `cargo test` (`fuzz/` of the proxy), on small seeds. It refuses to judge what a translation should have been;
//! tables and the corpus do that.

mod case;
#[path = "../../../../fuzz/src/mutate.rs"]
mod mutate;
mod unmapped;

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use case::{Case, KINDS, WORDS, checkable, maps};
use link_translation::Maps;
use mutate::{Random, mutated};

static ROUND: AtomicU64 = AtomicU64::new(0);

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
    let maps: [Rc<Maps>; 2] = ["1048576", "400"].map(maps);
    let (began, mut round, mut translated, mut bytes) = (Instant::now(), 0_u64, 0, 0);
    while began.elapsed() < seconds {
        round += 1;
        let mut random = Random(seed ^ round.wrapping_mul(0x1000_0000_01b3));
        let input = checkable(&mutated(&seeds, WORDS, &mut random));
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
