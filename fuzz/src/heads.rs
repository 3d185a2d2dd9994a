//! Heads of requests and responses: the same at every cut, as a slow reading of RFC 9112 has them, and a fixed point
//! of being written and read again. That last is what a smuggled request would break: the next hop reads what we read.

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, Method};
use lockgate::http::fields::{strip_hop_by_hop, strip_own};
use lockgate::http::h1::lines::{HeadLimits, LineScanner};
use lockgate::http::h1::request::{RequestHead, Target};
use lockgate::http::h1::response::ResponseHead;
use lockgate::http::h1::{Framing, Reject, encode, request, response};
use lockgate::http::{Authority, Scheme, Version, websocket};

use super::cuts;

pub const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ": ",
    ",",
    "\0",
    "\u{b}",
    "\u{e9}",
    "/",
    "//",
    "*",
    "?",
    "#",
    "GET ",
    "POST ",
    "OPTIONS * ",
    "CONNECT ",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 \r\n",
    "http://a.test/",
    "https://a.test:443",
    "Host: a.test\r\n",
    "Host:",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content_Length: 5\r\n",
    "Content-Length: 05\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "chunked",
    "Connection: close\r\n",
    "Connection: Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Expect: 100-continue\r\n",
    "X_Forwarded_For: 1\r\n",
];

/// Above whatever the bounded run makes.
const ROOMY: HeadLimits = HeadLimits { first_line_bytes_max: 1 << 20, head_bytes_max: 1 << 20, header_count_max: 4096 };
/// So tight that a mutation of a seed is often at the border.
const TIGHT: HeadLimits = HeadLimits { first_line_bytes_max: 40, head_bytes_max: 160, header_count_max: 5 };

type Parse<T> = dyn Fn(&mut LineScanner, &mut BytesMut, &HeadLimits) -> Result<Option<T>, Reject>;

/// A head, in words and itself, with the bytes that are left; `None` when it is not whole; or why not.
fn read<T>(parse: &Parse<T>, limits: &HeadLimits, pieces: &[&[u8]]) -> Result<Option<(T, Vec<u8>)>, Reject> {
    let (mut scanner, mut input, mut head) = (LineScanner::default(), BytesMut::new(), None);
    for piece in pieces {
        input.extend_from_slice(piece);
        if head.is_none() {
            head = parse(&mut scanner, &mut input, limits)?;
        }
    }
    Ok(head.map(|head| (head, input.to_vec())))
}

/// Reads `data` in all ways, which agree, and gives what it is within roomy limits.
fn same<T: std::fmt::Debug>(parse: &Parse<T>, data: &[u8]) -> Result<Option<T>, Reject> {
    for limits in [&ROOMY, &TIGHT] {
        let whole = read(parse, limits, &[data]);
        // A limit may be noticed before a broken rule, so which refusal it is may differ, and nothing else.
        let told = |read: &Result<Option<(T, Vec<u8>)>, Reject>| format!("{:?}", read.as_ref().map_err(|_| "refused"));
        for pieces in cuts::of(data) {
            let cut = read(parse, limits, &pieces);
            let first = pieces.first().map_or(0, |piece| piece.len());
            assert_eq!(told(&cut), told(&whole), "cut at {first} of {}: {}", data.len(), data.escape_ascii());
        }
        if let (Ok(Some((head, _))), Ok(None)) | (Ok(None), Ok(Some((head, _)))) =
            (&whole, &read(parse, &ROOMY, &[data]))
        {
            panic!("tight limits make another head: {head:?}");
        }
    }
    Ok(read(parse, &ROOMY, &[data])?.map(|(head, _)| head))
}

/// Holds a request head.
pub fn request(data: &[u8]) {
    let parsed = same(&|scanner, input, limits| request::parse(scanner, input, limits), data);
    let Some(plain) = whole_head(data) else {
        assert!(!matches!(parsed, Ok(Some(_))), "a head out of what has no end: {}", data.escape_ascii());
        return;
    };
    match (&parsed, judge(plain)) {
        (Ok(Some(head)), Ok((fields, framing))) => {
            assert_eq!(head.framing, framing, "{}", data.escape_ascii());
            let taken = |name: &str| matches!(name, "host" | "expect" | "sec-websocket-key");
            let kept: Vec<_> = fields.iter().filter(|(name, _)| !taken(name)).collect();
            let chunked = usize::from(framing == Framing::Chunked);
            let removed = |name: &str| head.headers.get_all(name).iter().count();
            let left = head.headers.len() - removed("expect") - removed("sec-websocket-key");
            assert_eq!(left + chunked, kept.len(), "{head:?}\n{}", data.escape_ascii());
            for (name, value) in kept.iter().filter(|(name, _)| name != "transfer-encoding") {
                let mut all = head.headers.get_all(name.as_str()).iter();
                assert!(all.any(|seen| seen.as_bytes() == *value), "{name} of {}", data.escape_ascii());
            }
            rewritten(head);
        }
        (Err(_), Err(_)) => {}
        (parsed, judged) => panic!("parsed {parsed:?}\njudged {judged:?}\n{}", data.escape_ascii()),
    }
}

/// What we write of a head is read by our own strict parser as the same request.
fn rewritten(head: &RequestHead) {
    let Some(host) = head.authority.as_ref().and_then(Authority::header_value) else { return };
    let target = match &head.target {
        Target::Origin(target) | Target::Absolute(_, target) => target.clone(),
        Target::Asterisk => "*".into(),
    };
    let Ok(target) = std::str::from_utf8(&target) else { panic!("a target that is no ASCII: {head:?}") };
    // A target of two slashes at its beginning never gets here as it is: `path::normalise` has made it one.
    let mut headers = head.headers.clone();
    strip_hop_by_hop(&mut headers);
    strip_own(&mut headers);
    let mut out = BytesMut::new();
    encode::request_head(&mut out, &head.method, target, host.as_bytes(), &headers, None, head.framing);
    let written = out.clone();
    let back = request::parse(&mut LineScanner::default(), &mut out, &ROOMY);
    let Ok(Some(back)) = back else { panic!("{back:?} of {}", written.escape_ascii()) };
    assert!(out.is_empty(), "a second message: {}", written.escape_ascii());
    assert_eq!((&back.method, back.framing), (&head.method, head.framing), "{}", written.escape_ascii());
    assert_eq!(back.authority, head.authority, "{}", written.escape_ascii());
    assert!(back.websocket_key.is_none() && back.keep_alive, "{}", written.escape_ascii());
    assert_eq!(unframed(back.headers), unframed(headers), "{}", written.escape_ascii());
}

fn unframed(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_LENGTH);
    headers
}

/// Holds a response head, as the answer to a GET and to a HEAD.
pub fn response(data: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let of = method.clone();
        let parsed = same(&move |scanner, input, limits| response::parse(scanner, input, limits, &of), data);
        let Ok(Some(head)) = parsed else { continue };
        let ResponseHead { status, version, headers, framing, keep_alive } = head;
        assert!(status.as_u16() < 600 && !headers.contains_key("transfer-encoding"), "{}", data.escape_ascii());
        assert!(framing != Framing::UntilClose || !keep_alive, "{}", data.escape_ascii());
        if version == Version::Http10 {
            assert_ne!(framing, Framing::Chunked, "{}", data.escape_ascii());
        }
        let mut headers = headers;
        strip_hop_by_hop(&mut headers);
        let mut out = BytesMut::new();
        encode::response_head(&mut out, Version::Http11, status, &headers, framing, keep_alive);
        let written = out.clone();
        let back = response::parse(&mut LineScanner::default(), &mut out, &ROOMY, &method);
        let Ok(Some(mut back)) = back else { panic!("{back:?} of {}", written.escape_ascii()) };
        assert!(out.is_empty() && back.status == status, "{}", written.escape_ascii());
        if framing != Framing::None {
            assert_eq!(back.framing, framing, "{}", written.escape_ascii());
        }
        back.headers.remove(CONNECTION);
        assert_eq!(unframed(back.headers), unframed(headers), "{}", written.escape_ascii());
    }
}

/// The head without empty lines before it, when its end is there.
fn whole_head(mut data: &[u8]) -> Option<&[u8]> {
    while let Some(rest) = data.strip_prefix(b"\r\n") {
        data = rest;
    }
    let end = data.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(&data[..end])
}

type Fields<'h> = Vec<(String, &'h [u8])>;

/// The slow reading: the rules one after the other, over the whole head.
fn judge(head: &[u8]) -> Result<(Fields<'_>, Framing), &'static str> {
    let lines = split(head)?;
    let parts: Vec<&[u8]> = lines[0].split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err("not three parts") };
    let version_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err("version"),
    };
    let of_method = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(byte);
    if !(1..=32).contains(&method.len())
        || !method.iter().all(of_method)
        || [&b"CONNECT"[..], b"TRACE"].contains(&method)
    {
        return Err("method");
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err("target");
    }
    let fields: Fields<'_> = lines[1..].iter().map(|line| field(line)).collect::<Result<_, _>>()?;
    let all = |wanted: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect()
    };
    let framing = framing(&fields, version_11)?;
    let host = match all("host")[..] {
        [host] => Some(Authority::parse(&host.to_vec().into()).map_err(|_| "host")?),
        [] if !version_11 => None,
        _ => return Err("not one host"),
    };
    aim(method, target, host.as_ref())?;
    match all("expect")[..] {
        [] => {}
        [value] if value.eq_ignore_ascii_case(b"100-continue") => {}
        _ => return Err("expect"),
    }
    let token =
        |value: &[u8]| value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let asks = matches!(all("upgrade")[..], [value] if value.eq_ignore_ascii_case(b"websocket"));
    if version_11 && asks && all("connection").into_iter().any(token) {
        let keyed = matches!(all("sec-websocket-key")[..], [key] if websocket::is_key(key));
        let versioned = all("sec-websocket-version") == [b"13"];
        if method != b"GET" || framing != Framing::None || !keyed || !versioned {
            return Err("handshake");
        }
    }
    Ok((fields, framing))
}

fn split(head: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    let bare = lines.iter().any(|line| line.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
    if bare { Err("a bare CR or LF") } else { Ok(lines) }
}

fn field(line: &[u8]) -> Result<(String, &[u8]), &'static str> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or("no colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(token) {
        return Err("name");
    }
    if value.iter().any(|&byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        return Err("value");
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |at| at + 1);
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), &value[from..to]))
}

fn framing(fields: &Fields<'_>, version_11: bool) -> Result<Framing, &'static str> {
    let all =
        |wanted: &str| fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect::<Vec<_>>();
    let look_alike =
        |name: &str| name.contains('_') && ["content-length", "transfer-encoding"].contains(&&*name.replace('_', "-"));
    if fields.iter().any(|(name, _)| look_alike(name)) {
        return Err("look-alike");
    }
    match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], []) => Ok(Framing::None),
        ([coding], []) if version_11 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([], [length]) => {
            let text = String::from_utf8_lossy(length);
            let number: u64 = text.parse().map_err(|_| "length")?;
            // 19 digits are as many as every one of which is a number of 64 bits.
            if number.to_string() != text || text.len() > 19 {
                return Err("length");
            }
            Ok(if number == 0 { Framing::None } else { Framing::Length(number) })
        }
        _ => Err("framing"),
    }
}

/// Where a request is aimed: a path, `*` of OPTIONS, or a URL that agrees with `Host`.
fn aim(method: &[u8], target: &[u8], host: Option<&Authority>) -> Result<(), &'static str> {
    if target[0] == b'/' || (target == b"*" && method == b"OPTIONS") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(target);
    let (scheme, rest) = text.split_once("://").ok_or("form")?;
    let scheme = match &*scheme.to_ascii_lowercase() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err("scheme"),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default().to_owned();
    let authority = Authority::parse(&authority.into()).map_err(|_| "authority")?;
    let place = |authority: &Authority| (authority.host().to_owned(), authority.effective_port(scheme));
    match host {
        Some(host) if place(host) != place(&authority) => Err("two places"),
        _ => Ok(()),
    }
}
