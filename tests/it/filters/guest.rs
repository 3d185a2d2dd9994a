//! Tiny guests written as text: a guest of a test is its callbacks, the rest is made here.
//!
//! In a body `@"text"` is address and length of a string, `#7` a constant, `OUT` two addresses for
//! a result and `GOT` what was put there. Each host function is there as `$name` without its
//! `proxy_`, keeps its status in `$st` and returns nothing; only what is called is imported.

use std::fmt::Write;

use lockgate::filters::HOST_FUNCTIONS;

/// Callbacks with the number of their parameters and what they return by themselves.
const CALLBACKS: [(&str, usize, Option<u32>); 15] = [
    ("context_create", 2, None),
    ("vm_start", 2, Some(1)),
    ("configure", 2, Some(1)),
    ("request_headers", 3, Some(0)),
    ("request_body", 3, Some(0)),
    ("request_trailers", 2, Some(0)),
    ("response_headers", 3, Some(0)),
    ("response_body", 3, Some(0)),
    ("response_trailers", 2, Some(0)),
    ("tick", 1, None),
    ("http_call_response", 5, None),
    ("queue_ready", 2, None),
    ("log", 1, None),
    ("done", 1, Some(1)),
    ("delete", 1, None),
];

/// Memory that is the guest's own, an allocator that begins again when it has reached the end, and
/// notes: numbers and texts that `$tell` adds as a field.
const PRELUDE: &str = r#"
(global $st (mut i32) (i32.const 0))
(global $nn (mut i32) (i32.const 0))
(global $heap (mut i32) (i32.const 65536))
(func $say (param $p i32) (param $n i32)
  (memory.copy (i32.add (i32.const 1024) (global.get $nn)) (local.get $p) (local.get $n))
  (global.set $nn (i32.add (global.get $nn) (local.get $n))))
(func $digits (param $v i32)
  (if (i32.ge_u (local.get $v) (i32.const 10)) (then (call $digits (i32.div_u (local.get $v) (i32.const 10)))))
  (i32.store8 (i32.const 32) (i32.add (i32.const 48) (i32.rem_u (local.get $v) (i32.const 10))))
  (call $say (i32.const 32) (i32.const 1)))
(func $note (param $v i32)
  (call $digits (local.get $v))
  (i32.store8 (i32.const 32) (i32.const 32))
  (call $say (i32.const 32) (i32.const 1)))
(func $tell (param $map i32) (param $p i32) (param $n i32)
  (call $add_header_map_value (local.get $map) (local.get $p) (local.get $n) (i32.const 1024) (global.get $nn))
  (global.set $nn (i32.const 0)))
"#;

/// What SDKs have; a test may put another in its place.
const ALLOCATOR: &str = r#"
(func $room (param $n i32) (result i32)
  (i32.le_u (i32.add (global.get $heap) (local.get $n)) (i32.mul (memory.size) (i32.const 65536))))
(func (export "proxy_on_memory_allocate") (param $n i32) (result i32) (local $at i32)
  (if (i32.eqz (call $room (local.get $n))) (then (global.set $heap (i32.const 65536))))
  (if (i32.eqz (call $room (local.get $n))) (then
    (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $n) (i32.const 16)) (i32.const 1))) (i32.const -1))
      (then (return (i32.const 0))))))
  (local.set $at (global.get $heap))
  (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get $n)) (i32.const 7)) (i32.const -8)))
  (local.get $at))
"#;

/// A guest in the making.
#[derive(Clone)]
pub struct Guest {
    text: String,
    marker: &'static str,
    allocator: String,
    pages: u32,
}

impl Guest {
    /// A guest without callbacks.
    pub fn new() -> Self {
        Self { text: String::new(), marker: "proxy_abi_version_0_2_1", allocator: ALLOCATOR.to_owned(), pages: 4 }
    }

    /// A guest with one callback.
    pub fn of(callback: &str, body: &str) -> Self {
        Self::new().on(callback, body)
    }

    /// Adds `proxy_on_CALLBACK`, whose parameters are `$id $a $b $c $d`.
    pub fn on(mut self, callback: &str, body: &str) -> Self {
        let (_, count, result) = CALLBACKS.iter().find(|(name, ..)| *name == callback).expect("a callback");
        let parameters: String =
            ["id", "a", "b", "c", "d"][..*count].iter().map(|name| format!(" (param ${name} i32)")).collect();
        let (kind, value) = match result {
            Some(value) => (" (result i32)", format!("(i32.const {value})")),
            None => ("", String::new()),
        };
        writeln!(self.text, "(func (export \"proxy_on_{callback}\"){parameters}{kind}\n{body}\n{value})").unwrap();
        self
    }

    /// Adds anything.
    pub fn with(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Announces another version, or with "" none.
    pub fn marked(mut self, marker: &'static str) -> Self {
        self.marker = marker;
        self
    }

    /// Another allocator; its parameter is `$n`.
    pub fn allocator(mut self, body: &str) -> Self {
        self.allocator = format!("(func (export \"proxy_on_memory_allocate\") (param $n i32) (result i32)\n{body})");
        self
    }

    /// Without an allocator.
    pub fn without_allocator(mut self) -> Self {
        self.allocator.clear();
        self
    }

    /// Begins with so many pages of memory.
    pub fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// The whole module as text.
    pub fn wat(&self) -> String {
        let mut strings = String::new();
        let text = expand(&format!("{}{}{}", PRELUDE, self.allocator, self.text), &mut strings);
        let (mut imports, mut wrappers) = (String::new(), String::new());
        for function in HOST_FUNCTIONS {
            let name = function.name.trim_start_matches("proxy_");
            if !calls(&text, name) {
                continue;
            }
            let parameters: Vec<&str> = function.parameters.to_vec();
            let last_is_wide = matches!(name, "increment_metric" | "record_metric");
            let kind = |at: usize| if last_is_wide && at + 1 == parameters.len() { "i64" } else { "i32" };
            let kinds: String = (0..parameters.len()).map(|at| format!(" (param {})", kind(at))).collect();
            let arguments: String = (0..parameters.len()).map(|at| format!(" (local.get {at})")).collect();
            writeln!(imports, "(import \"env\" \"proxy_{name}\" (func $proxy_{name}{kinds} (result i32)))").unwrap();
            writeln!(wrappers, "(func ${name}{kinds} (global.set $st (call $proxy_{name}{arguments})))").unwrap();
        }
        let marker = match self.marker {
            "" => String::new(),
            marker => format!("(func (export \"{marker}\"))"),
        };
        let pages = self.pages;
        // Imports stand before everything else.
        let (own, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("(import"));
        format!(
            "(module {imports}{}\n(memory (export \"memory\") {pages})\n{marker}{wrappers}{}{strings})",
            own.join("\n"),
            rest.join("\n")
        )
    }

    /// The module.
    pub fn wasm(&self) -> Vec<u8> {
        let text = self.wat();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

fn calls(text: &str, name: &str) -> bool {
    let call = format!("call ${name}");
    text.match_indices(&call)
        .any(|(at, _)| !text[at + call.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Replaces the shorthands; `strings` becomes the data segments, from 32 KiB on.
fn expand(text: &str, strings: &mut String) -> String {
    let text = text
        .replace("OUT", "(i32.const 16) (i32.const 20)")
        .replace("GOT", "(i32.load (i32.const 16)) (i32.load (i32.const 20))");
    let (mut out, mut rest, mut at) = (String::new(), &text[..], 32 * 1024);
    while let Some(found) = rest.find(['@', '#', ';']) {
        out.push_str(&rest[..found]);
        let sign = rest.as_bytes()[found];
        rest = &rest[found + 1..];
        match sign {
            b'@' => {
                let body = rest.strip_prefix('"').expect("@\"text\"");
                let end = body.find('"').expect("the end of a text");
                let length = body[..end].len() - 2 * body[..end].matches('\\').count();
                write!(strings, "\n(data (i32.const {at}) \"{}\")", &body[..end]).unwrap();
                write!(out, "(i32.const {at}) (i32.const {length})").unwrap();
                at += length;
                rest = &body[end + 1..];
            }
            b'#' => {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
                write!(out, "(i32.const {})", &rest[..end]).unwrap();
                rest = &rest[end..];
            }
            _ => out.push(char::from(sign)),
        }
    }
    assert!(at < 64 * 1024, "the strings of a guest reach its heap");
    out + rest
}
