//! What a walk found, for people and for machines.

use serde_json::{Value, json};

use super::crawl::{Finding, Seen, Walk};

/// Lines of what could not be read; there may be a thousand for one reason.
const UNREAD_LINES: usize = 20;

/// Prints page by page, and a summary.
pub(super) fn print(walk: &Walk, seen: &Seen, all: bool) {
    let mut page = "";
    for finding in seen.findings.iter().filter(|finding| all || finding.place.is_followed) {
        if finding.url != page {
            page = &finding.url;
            say!("{page}");
        }
        let place = finding.position.as_ref().map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
        let note = if finding.place.is_followed { "" } else { "  (harmless)" };
        say!("  {place:<10} {:<28} {}{note}", finding.place.kind, finding.address);
    }
    if !page.is_empty() {
        say!("");
    }
    for (url, reason) in seen.unread.iter().take(UNREAD_LINES) {
        say!("not read: {url}: {reason}");
    }
    if seen.unread.len() > UNREAD_LINES {
        say!("not read: {} more", seen.unread.len() - UNREAD_LINES);
    }
    let left = seen.findings.iter().filter(|finding| finding.place.is_followed).count();
    let (shown, others) = harmless(seen);
    say!(
        "{left} left that a browser would load or follow, in {} of {} pages ({} KiB)",
        pages(seen),
        seen.pages,
        seen.bytes >> 10
    );
    if shown + others > 0 {
        let list = if all { "" } else { "; --all lists them" };
        say!(
            "{shown} shown, harmless (text, comments, inside other URLs); {others} names, ports or paths of no app{list}"
        );
    }
    if seen.left_out > 0 {
        say!("{} URLs were not asked for: --max-pages {}", seen.left_out, walk.pages_max);
    }
    if seen.too_deep > 0 {
        say!("{} URLs lie deeper than --depth {}", seen.too_deep, walk.depth);
    }
}

/// The same as one JSON object.
pub(super) fn json(app: &str, walk: &Walk, seen: &Seen) -> Value {
    let (left, harmless): (Vec<&Finding>, Vec<&Finding>) =
        seen.findings.iter().partition(|finding| finding.place.is_followed);
    let list = |findings: Vec<&Finding>| findings.into_iter().map(one).collect::<Vec<Value>>();
    let unread: Vec<Value> = seen.unread.iter().map(|(url, reason)| json!({"url": url, "reason": reason})).collect();
    json!({
        "app": app, "from": walk.start.as_str(), "depth": walk.depth,
        "pages": seen.pages, "bytes": seen.bytes,
        "left": list(left), "harmless": list(harmless), "unread": unread,
        "not_asked_for": seen.left_out, "too_deep": seen.too_deep,
    })
}

fn one(finding: &Finding) -> Value {
    let position = finding.position.as_ref();
    json!({
        "url": finding.url, "place": finding.place.kind, "address": finding.address,
        "byte": position.map(|at| at.byte), "line": position.map(|at| at.line), "column": position.map(|at| at.column),
    })
}

/// Addresses of apps that no browser acts on, and what is no app's address.
fn harmless(seen: &Seen) -> (usize, usize) {
    let harmless = || seen.findings.iter().filter(|finding| !finding.place.is_followed);
    (harmless().filter(|finding| finding.is_apps).count(), harmless().filter(|finding| !finding.is_apps).count())
}

fn pages(seen: &Seen) -> usize {
    let mut pages: Vec<&str> =
        seen.findings.iter().filter(|finding| finding.place.is_followed).map(|finding| finding.url.as_str()).collect();
    pages.dedup();
    pages.len()
}
