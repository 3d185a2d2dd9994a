//! Real pages with internal addresses planted by rule, and what must become of them:
//! `cargo run --release --example corpus FROM [TO]`; `perf/corpus/run` does all of it.
//!
//! Every `.html`, `.css`, `.js`, `.json`, `.svg` and `.xml` below FROM gets its links planted, is translated natively in
//! several chunkings, and has to come out exactly as expected: addresses mapped, all other bytes as they
//! were. Below TO the planted and the expected bodies are written, for the test that sends them through a
//! real edge. It refuses to guess what is right from what comes out.

mod plant;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use link_translation::{Body, Kind, Maps};
use plant::Planted;

/// As the edge's test has it; scripts are asked for.
const APPS: &str = r#"{"version":"1","apps":[
    {"name":"corpus","external":"https://corpus.test/","internal":"http://intranet.corp:8080/","translate_scripts":true}
]}"#;

/// Larger ones would only repeat themselves.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files that are given byte by byte as well; beyond, chunks of 7 find the same.
const BYTEWISE_BYTES_MAX: usize = 256 << 10;
/// So many differences are shown.
const SHOWN: usize = 12;

#[derive(Default)]
struct Count {
    files: usize,
    bytes: usize,
    links: usize,
    untouchable: usize,
    skipped: usize,
    failures: usize,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let Some(from) = arguments.next() else {
        eprintln!("corpus FROM [TO]");
        return ExitCode::from(2);
    };
    let to = arguments.next();
    let maps = Rc::new(Maps::read(APPS.as_bytes()).expect("written above"));
    let mut files = Vec::new();
    gather(&from, &mut files);
    files.sort();
    let (began, mut counts) = (Instant::now(), std::collections::BTreeMap::<&str, Count>::new());
    let mut index = String::new();
    for file in &files {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let Some((name, kind)) = kind(extension) else { continue };
        let Ok(source) = std::fs::read(file) else { continue };
        let count = counts.entry(name).or_default();
        // The hash of what is translated is dropped, which the rule below does not foretell; UTF-16 passes.
        if contains(&source, b"integrity") && kind == Kind::Html || source.starts_with(&[0xff, 0xfe]) {
            count.skipped += 1;
            continue;
        }
        let planted = plant::plant(kind, &source);
        count.files += 1;
        count.bytes += planted.body.len();
        count.links += planted.links;
        count.untouchable += planted.untouchable;
        if !holds(&maps, kind, &planted, file) {
            count.failures += 1;
        }
        if let Some(to) = &to
            && planted.links > 0
        {
            let number = index.lines().count();
            let written = std::fs::create_dir_all(to)
                .and_then(|()| std::fs::write(to.join(format!("{number}.planted")), &planted.body))
                .and_then(|()| std::fs::write(to.join(format!("{number}.expected")), &planted.expected));
            if let Err(error) = written {
                eprintln!("{}: {error}", to.display());
                return ExitCode::FAILURE;
            }
            index += &format!("{number} {name} {}\n", file.display());
        }
    }
    if let Some(to) = &to {
        std::fs::write(to.join("index"), index).expect("the directory was just made");
    }
    for (name, count) in &counts {
        let Count { files, bytes, links, untouchable, skipped, failures } = count;
        println!(
            "{name:24} {files:5} files {:7} KiB {links:7} links {untouchable:6} that stay {skipped:4} skipped {failures:3} failed",
            bytes >> 10
        );
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
    let failed = counts.values().any(|count| count.failures > 0) || counts.values().all(|count| count.links == 0);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn kind(extension: &str) -> Option<(&'static str, Kind)> {
    Some(match extension {
        "html" | "htm" => ("text/html", Kind::Html),
        "css" => ("text/css", Kind::Css),
        "js" | "mjs" => ("text/javascript", Kind::Script),
        "json" => ("application/json", Kind::Script),
        "svg" => ("image/svg+xml", Kind::Xml),
        "xml" => ("application/xml", Kind::Xml),
        _ => return None,
    })
}

fn gather(place: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => gather(&entry.path(), files),
            Ok(kind) if kind.is_file() && entry.metadata().is_ok_and(|file| file.len() <= FILE_BYTES_MAX) => {
                files.push(entry.path());
            }
            _ => {}
        }
    }
}

/// Whether a body becomes what is expected, in every chunking.
fn holds(maps: &Rc<Maps>, kind: Kind, planted: &Planted, file: &Path) -> bool {
    let length = planted.body.len();
    let mut sizes = vec![("whole", length.max(1)), ("7", 7), ("16 KiB", 16 << 10), ("prime", 1009)];
    if length <= BYTEWISE_BYTES_MAX {
        sizes.push(("1", 1));
    }
    sizes.into_iter().all(|(name, size)| {
        let chunks = planted.body.chunks(size);
        let mut body = Body::new(maps, maps.table.app(b"corpus"), kind);
        let mut out = Vec::with_capacity(length);
        for chunk in chunks {
            body.write(chunk, &mut out);
        }
        body.end(&mut out);
        let is_right = out == planted.expected;
        if !is_right {
            tell(file, name, &out, &planted.expected);
        }
        is_right
    })
}

fn tell(file: &Path, chunks: &str, out: &[u8], expected: &[u8]) {
    static TOLD: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    if TOLD.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= SHOWN {
        return;
    }
    let at = out.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let around = |text: &[u8]| {
        let part = text.get(at.saturating_sub(100)..(at + 80).min(text.len())).unwrap_or_default();
        String::from_utf8_lossy(part).escape_debug().to_string()
    };
    println!(
        "{}, chunks of {chunks}, byte {at}\n  is       {}\n  expected {}",
        file.display(),
        around(out),
        around(expected)
    );
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}
