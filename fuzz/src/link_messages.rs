//! What is said on a link beside HTTP/2: the lines before it, and the messages of its control stream.

use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lockgate::limits::HELLO_BYTES;
use lockgate::tunnel::control::{self, Decoder, ToConnector, ToEdge};
use lockgate::tunnel::hello::{self, Answer, Hello, Join, Joined, Welcome};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cuts;

pub const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "\n",
    "\0",
    "\0\0\0",
    "\0\0\0\u{2}{}",
    "null",
    "true",
    "1",
    "-1",
    "1e9",
    "65536",
    "18446744073709551616",
    "\"protocol\":2",
    "\"slot\":0",
    "\"ok\":",
    "\"refused\":",
    "\"ack\":1",
    "\"draining\"",
    "\"config\":",
    "\"apps\":[]",
    "\"generation\":7",
    "\"target\":{}",
    "\"renew\":\"\"",
    "\u{e9}",
    "PRI * HTTP/2.0",
];

/// Holds a line, as each of the messages that it may be.
pub fn hello(data: &[u8]) {
    line::<Hello>(data);
    line::<Join>(data);
    line::<Answer<Welcome>>(data);
    line::<Answer<Joined>>(data);
}

fn line<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let mut left = data;
    // All of it is there already, so it is never waited for.
    let read = {
        let reading = pin!(hello::read::<T>(&mut left));
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read,
            Poll::Pending => panic!("waits for bytes that are there"),
        }
    };
    let end = data.iter().position(|&byte| byte == b'\n').filter(|end| *end <= HELLO_BYTES);
    match (read, end) {
        (Ok(message), Some(end)) => {
            assert_eq!(left, &data[end + 1..], "a byte behind the line was taken");
            let written = serde_json::to_vec(&message).expect("a message is JSON");
            assert!(!written.contains(&b'\n'), "it would end its own line");
            let again: T = serde_json::from_slice(&written).expect("our own line");
            assert_eq!(written, serde_json::to_vec(&again).expect("a message is JSON"));
        }
        (Ok(_), None) => panic!("a message without an end"),
        (Err(_), Some(end)) => assert!(serde_json::from_slice::<T>(&data[..end]).is_err(), "a message was refused"),
        (Err(_), None) => {}
    }
}

/// Holds bytes of a control stream, in both directions.
pub fn control(data: &[u8]) {
    for_each_cut::<ToEdge>(data);
    for_each_cut::<ToConnector>(data);
}

fn for_each_cut<T: Serialize + DeserializeOwned + Debug>(data: &[u8]) {
    let (whole, ended) = taken::<T>(&[data]);
    for pieces in cuts::of(data) {
        let (messages, refused) = taken::<T>(&pieces);
        assert_eq!((format!("{messages:?}"), &refused), (format!("{whole:?}"), &ended), "{}", data.escape_ascii());
    }
    let framed: Vec<u8> = whole.iter().flat_map(|message| control::encode(message).to_vec()).collect();
    let (again, refused) = taken::<T>(&[&framed]);
    assert_eq!((format!("{again:?}"), refused), (format!("{whole:?}"), None), "{}", data.escape_ascii());
}

/// The messages up to the first that is refused, and that refusal.
fn taken<T: DeserializeOwned>(pieces: &[&[u8]]) -> (Vec<T>, Option<String>) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.take() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(refusal) => return (messages, Some(refusal)),
            }
        }
    }
    (messages, None)
}
