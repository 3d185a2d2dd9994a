//! Configuration files: every fault stands within the file, and an empty line in front moves it by one line and
//! changes nothing else.

use std::path::Path;

use lockgate::config::{ConfigError, parse_connector, parse_edge, parse_manifest};

pub const WORDS: &[&str] = &[
    "\n",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    " = ",
    ",",
    ".",
    "#",
    "true",
    "1",
    "-1",
    "0x",
    "nan",
    "1979-05-27",
    "\\",
    "\\u0000",
    "\u{feff}",
    "\u{fc}",
    "\0",
    "\r\n",
    "\r",
    "[listen]\n",
    "[limits]\n",
    "[log]\n",
    "[[app]]\nname = \"a\"\nexternal_url = \"https://a.test/\"\ninternal_url = \"http://a.corp/\"\n",
    "[app.cookies]\n",
    "[filter.a]\n",
    "[[certificate]]\n",
    "name = \"b\"\n",
    "\"*.a.test\"",
    "\"https://*.a.test/x/\"",
    "\"30s\"",
    "\"64KiB\"",
    "\"10.0.0.0/8\"",
    "\"[::]:443\"",
    "group = \"local\"\n",
    "filters = [\"a\"]\n",
    "workers = 2\n",
];

type Outcome = Result<String, Vec<ConfigError>>;
type Parser = fn(&Path, &str) -> Outcome;

const PARSERS: [Parser; 3] = [
    |file, text| parse_edge(file, text).map(|config| format!("{config:?}")),
    |file, text| parse_connector(file, text).map(|config| format!("{config:?}")),
    |file, text| parse_manifest(file, text).map(|config| format!("{config:?}")),
];

/// Holds a file of each kind.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let file = Path::new("/etc/lockgate/fuzz.toml");
    for parse in PARSERS {
        let outcome = parse(file, &text);
        for error in outcome.as_ref().err().into_iter().flatten() {
            within(error, &text);
        }
        // A byte order mark is one only where the file begins.
        if text.starts_with('\u{feff}') {
            continue;
        }
        // What is said of a file as a whole stands in its first line, wherever that is.
        let back = parse(file, &format!("\n{text}")).map_err(|mut errors| {
            errors.iter_mut().for_each(|error| error.line = (error.line - 1).max(1));
            errors
        });
        assert_eq!(sorted(outcome), sorted(back), "{text}");
    }
}

/// Faults of one place may be told in another order.
fn sorted(outcome: Outcome) -> Result<String, Vec<String>> {
    outcome.map_err(|errors| {
        // A reason may name another line, which moved as well.
        let without_line = |text: String| match text.split_once(" on line ") {
            Some((before, rest)) => format!("{before}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => text,
        };
        let mut told: Vec<String> = errors.iter().map(|error| without_line(format!("{error:?}"))).collect();
        told.sort();
        told
    })
}

fn within(error: &ConfigError, text: &str) {
    let line = text.split('\n').nth(error.line.wrapping_sub(1));
    let line = line.unwrap_or_else(|| panic!("no such line: {error}\n{text}"));
    // One behind the last character is the end of the line, and of the file.
    assert!((1..=line.chars().count() + 1).contains(&error.column), "no such column: {error}\n{text}");
    assert!(!error.reason.is_empty() && !error.to_string().contains('\0'), "{error:?}");
}
