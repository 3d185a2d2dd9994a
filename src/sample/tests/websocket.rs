//! The echo endpoint, by the sections of RFC 6455.

use std::io::{Read, Write};

use super::{Sample, ask, connect, handshake, pattern};

/// A client's frame: final, masked with a key of zeros, under 126 bytes.
fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[test]
fn rfc6455_1_3_handshake_and_echo() {
    let sample = Sample::start().unwrap();
    let (mut stream, head) = handshake(&sample, "Sec-WebSocket-Protocol: chat, echo\r\n");
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert!(head.contains("sec-websocket-protocol: echo"));
    assert!(head.contains("set-cookie: sample_ws=seen"));
    // Text, binary and a ping in one write; then a fragmented text; then close 1000.
    let burst = [client_frame(1, b"hello"), client_frame(2, b"\x00\x01"), client_frame(9, b"p")].concat();
    stream.write_all(&burst).unwrap();
    let mut answer = [0; 7 + 4 + 3];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x81\x05hello\x82\x02\x00\x01\x8a\x01p");
    stream.write_all(b"\x01\x82\0\0\0\0ab").unwrap();
    stream.write_all(&client_frame(0, b"cd")).unwrap();
    let mut joined = [0; 6];
    stream.read_exact(&mut joined).unwrap();
    assert_eq!(&joined, b"\x81\x04abcd");
    stream.write_all(&client_frame(8, b"\x03\xe8")).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\x88\x02\x03\xe8");
}

#[test]
fn rfc6455_5_2_message_over_many_reads() {
    let sample = Sample::start().unwrap();
    let (mut stream, _) = handshake(&sample, "");
    let payload = pattern(1 << 20);
    let length = (1_u64 << 20).to_be_bytes();
    let frame = [&[0x82, 0xff][..], &length, &[0; 4], &payload].concat();
    stream.write_all(&frame).unwrap();
    let mut answer = vec![0; 10 + payload.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == [&[0x82, 0x7f][..], &length, &payload].concat());
}

#[test]
fn rfc6455_7_4_1_close_codes() {
    let sample = Sample::start().unwrap();
    let too_long = [&[0x82, 0xff][..], &(17_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    let cases: [(&str, Vec<u8>, u16); 3] = [
        ("not UTF-8", client_frame(1, b"\xff"), 1007),
        ("reserved opcode", client_frame(3, b""), 1002),
        ("too long", too_long, 1009),
    ];
    for (what, bytes, code) in cases {
        let (mut stream, _) = handshake(&sample, "");
        stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest[..2], [0x88, 2], "{what}");
        assert_eq!(u16::from_be_bytes([rest[2], rest[3]]), code, "{what}");
    }
}

#[test]
fn rfc6455_4_2_2_refused_handshakes() {
    let sample = Sample::start().unwrap();
    let bare = ask(&sample, "/ws");
    assert_eq!(bare.status(), 426);
    assert_eq!(bare.values("upgrade"), ["websocket"]);
    assert_eq!(bare.values("sec-websocket-version"), ["13"]);
    let mut stream = connect(&sample);
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 400");
}
