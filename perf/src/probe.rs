//! One request by hand, to see that something serves and what: whether a contender is ready, and how
//! many requests the backend has answered. It refuses to measure.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::backend;
use crate::children::ask;

/// One whole answer, head and body.
pub struct Answer(Vec<u8>);

impl Answer {
    pub fn length(&self) -> usize {
        self.0.len()
    }

    pub fn is_the_backends(&self) -> bool {
        self.0.starts_with(b"HTTP/1.1 200 ") && self.0.ends_with(format!("\r\n\r\n{}", backend::BODY).as_bytes())
    }

    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.0).split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    pub fn status_line(&self) -> String {
        String::from_utf8_lossy(&self.0).lines().next().unwrap_or_default().to_owned()
    }
}

/// One GET on a connection kept alive, as wrk asks.
pub fn ask_once(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let patience = Duration::from_secs(3);
    let mut connection = TcpStream::connect_timeout(&address, patience)?;
    connection.set_read_timeout(Some(patience))?;
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut input = [0; 16 * 1024];
    while !is_whole(&answer) {
        let count = connection.read(&mut input)?;
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&input[..count]);
    }
    Ok(Answer(answer))
}

/// Whether the body is there as far as its head promises.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = backend::head_end(answer) else { return false };
    let head = String::from_utf8_lossy(&answer[..end]);
    match backend::field(&head, "content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => answer.len() - end >= length,
        None => answer.ends_with(b"\r\n0\r\n\r\n"),
    }
}

/// The same from within a network namespace, by a process there.
pub fn ask_within(space: &str, address: SocketAddr) -> Result<Answer, String> {
    let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let arguments = ["netns", "exec", space, &this.to_string_lossy(), "ask", &address.to_string()];
    let output = ask(std::path::Path::new("ip"), &arguments)?;
    match output.status.success() {
        true => Ok(Answer(output.stdout)),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The process of [`ask_within`]: prints the answer to GET / of the address given.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [address] = arguments else { return Err("ask takes one argument: an address".into()) };
    let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let answer = ask_once(address, "/").map_err(|error| format!("{address}: {error}"))?;
    std::io::stdout().write_all(&answer.0).map_err(|error| error.to_string())
}

/// How many requests the backend has answered so far.
pub fn answered(backend: SocketAddr) -> Result<u64, String> {
    let answer = ask_once(backend, backend::COUNT_PATH).map_err(|error| format!("backend: {error}"))?;
    let body = answer.body();
    // Ours says the number; nginx's stub_status has "accepts handled requests" in its third line.
    let line = body.lines().nth(2).unwrap_or(&body);
    let count = line.split_whitespace().last().and_then(|count| count.parse().ok());
    count.ok_or_else(|| format!("the backend does not say what it answered: {body}"))
}
