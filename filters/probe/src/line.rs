//! One line of the log per call, and the masks that make two runs comparable.
//!
//! A line is `PROBE phase call(arguments) -> STATUS value`. What differs by run (times, ports, ids) or by proxy
//! (headers of its own, how many there are) is masked here; nothing is dropped because it is unexpected.

use crate::host::{Out, UNWRITTEN, parse, raw, span};

/// What every line begins with, so that it is found in any log.
const MARK: &str = "PROBE ";

/// Most bytes of a value that are shown.
const SHOWN_BYTES_MAX: usize = 96;

/// Headers shown in lists, besides pseudo-headers and `x-t-…`: those the requests of the conformance run set.
const SHOWN_HEADERS: [&str; 7] =
    ["content-type", "content-length", "host", "user-agent", "trailer", "x-probe", "www-authenticate"];

/// Writes a line to the proxy's log at level INFO.
pub fn write(text: &str) {
    let line = format!("{MARK}{text}");
    let (address, length) = span(line.as_bytes());
    raw::proxy_log(2, address, length);
}

/// Logs a call that returned a status only.
pub fn status(phase: &str, call: &str, status: u32) {
    write(&format!("{phase} {call} -> {}", status_name(status)));
}

/// Logs a call that returned a status and, if it succeeded, a value.
pub fn value(phase: &str, call: &str, status: u32, value: &str) {
    match status {
        0 => write(&format!("{phase} {call} -> OK {value}")),
        _ => self::status(phase, call, status),
    }
}

/// The name of a status.
pub fn status_name(status: u32) -> String {
    let names = [
        "OK",
        "NOT_FOUND",
        "BAD_ARGUMENT",
        "SERIALIZATION_FAILURE",
        "PARSE_FAILURE",
        "BAD_EXPRESSION",
        "INVALID_MEMORY_ACCESS",
        "EMPTY",
        "CAS_MISMATCH",
        "RESULT_MISMATCH",
        "INTERNAL_FAILURE",
        "BROKEN_CONNECTION",
        "UNIMPLEMENTED",
    ];
    names.get(status as usize).map_or_else(|| format!("status {status}"), |name| (*name).to_owned())
}

/// Bytes the host returned: quoted, or how it said that there are none.
pub fn returned(out: &Out) -> String {
    match (out.number(), out.second()) {
        (UNWRITTEN, UNWRITTEN) => "unwritten".to_owned(),
        (0, 0) => "empty".to_owned(),
        _ => out.bytes().map_or_else(|| "address and length disagree".to_owned(), |bytes| quoted(&bytes)),
    }
}

/// Bytes in quotes, unprintable ones as `\xNN`, long ones cut with their length.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes.iter().take(SHOWN_BYTES_MAX) {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    if bytes.len() > SHOWN_BYTES_MAX {
        text.push_str(&format!("…{}", bytes.len()));
    }
    text
}

/// The value of a property: an address without its port, eight bytes that are no text as a number, a time masked.
pub fn property(path: &str, out: &Out) -> String {
    let Some(bytes) = out.bytes() else { return returned(out) };
    let masked = match path {
        "request.id" | "connection.id" | "source.port" | "upstream.port" => Some("<id>"),
        "request.duration" | "request.time" | "destination.port" => Some("<number>"),
        "request.total_size" | "response.total_size" | "request.headers_bytes" | "response.headers_bytes" => {
            Some("<number>")
        }
        _ => None,
    };
    if let Some(mask) = masked {
        return format!("{mask} of {} bytes", bytes.len());
    }
    if path.ends_with(".address") {
        let text = String::from_utf8_lossy(&bytes);
        let (host, port) = text.rsplit_once(':').unwrap_or((&text, ""));
        return if port.is_empty() { host.to_owned() } else { format!("{host}:#") };
    }
    match <[u8; 8]>::try_from(bytes.as_slice()) {
        Ok(word) if !bytes.iter().all(u8::is_ascii_graphic) => format!("u64 {}", u64::from_le_bytes(word)),
        _ => quoted(&bytes),
    }
}

/// The pairs of a serialised map: pseudo-headers and those of the tests, in their order.
pub fn pairs(bytes: &[u8]) -> String {
    shown(bytes).map_or_else(|| format!("malformed {}", quoted(bytes)), |shown| format!("{{{}}}", shown.join(", ")))
}

/// The same in alphabetical order.
pub fn sorted_pairs(bytes: &[u8]) -> String {
    shown(bytes).map_or_else(
        || format!("malformed {}", quoted(bytes)),
        |mut shown| {
            shown.sort();
            format!("{{{}}}", shown.join(", "))
        },
    )
}

fn shown(bytes: &[u8]) -> Option<Vec<String>> {
    let pairs = parse(bytes)?;
    let shown = pairs
        .iter()
        .filter(|(name, _)| {
            name.starts_with(b":") || name.starts_with(b"x-t-") || SHOWN_HEADERS.iter().any(|h| h.as_bytes() == name)
        })
        .map(|(name, value)| format!("{}: {}", String::from_utf8_lossy(name), quoted(value)))
        .collect();
    Some(shown)
}

/// Whether a count is zero; how many headers there are is the proxy's business.
pub fn some(count: u32) -> &'static str {
    if count == 0 { "0" } else { "some" }
}
