//! The sample, spoken to over plain TCP, so that what is asserted is what is on the wire.

mod pages;
mod streams;
mod websocket;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Sample;

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn connect(sample: &Sample) -> TcpStream {
    let stream = TcpStream::connect(sample.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends one request on a connection of its own; `extra` is header lines, each with its CRLF.
fn ask_with(sample: &Sample, method: &str, target: &str, extra: &str, body: &[u8]) -> Answer {
    let mut stream = connect(sample);
    let head = format!("{method} {target} HTTP/1.1\r\nHost: intranet\r\nConnection: close\r\n{extra}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).unwrap();
    split(&raw)
}

fn split(raw: &[u8]) -> Answer {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    Answer { head: String::from_utf8(raw[..end].to_vec()).unwrap(), body: raw[end + 4..].to_vec() }
}

fn ask(sample: &Sample, target: &str) -> Answer {
    ask_with(sample, "GET", target, "", b"")
}

/// Undoes the chunked coding; answers the content and the trailer section.
fn unchunk(mut raw: &[u8]) -> (Vec<u8>, String) {
    let mut content = Vec::new();
    loop {
        let end = raw.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        raw = &raw[end + 2..];
        if size == 0 {
            return (content, String::from_utf8(raw.to_vec()).unwrap());
        }
        content.extend_from_slice(&raw[..size]);
        raw = &raw[size + 2..];
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn handshake(sample: &Sample, extra: &str) -> (TcpStream, String) {
    let mut stream = connect(sample);
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    (stream, String::from_utf8(seen).unwrap().to_lowercase())
}

#[test]
fn drop_cuts_open_connections_and_frees_the_port() {
    let sample = Sample::start().unwrap();
    let addr = sample.addr();
    let mut open: Vec<_> = ["/events?ms=60000", "/slow?ms=300000", "/download?bytes=8589934592"]
        .iter()
        .map(|target| {
            let mut stream = connect(&sample);
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
            stream
        })
        .collect();
    let (websocket, _) = handshake(&sample, "");
    open.push(websocket);
    let started = Instant::now();
    drop(sample);
    assert!(started.elapsed() < Duration::from_secs(5));
    for mut stream in open {
        // Ends, by end of stream or reset, and not by the read timeout.
        let ended = std::io::copy(&mut stream, &mut std::io::sink());
        assert!(!matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
    }
    assert!(TcpStream::connect(addr).is_err());
}
