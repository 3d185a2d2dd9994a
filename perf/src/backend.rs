//! The application behind every contender: answers each HTTP/1.1 request head with the same 66
//! bytes and keeps the connection.
//!
//! One blocking thread per connection: a request is one read and one write, nothing to tune. It
//! refuses to be a web server: no bodies in, no parsing beyond the blank line that ends a head.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

/// The body of every answer: 66 bytes.
pub const BODY: &str = "Sixty-six bytes from the backend, the same for every contender. OK";

/// Where a request reads how many requests were answered before it.
pub const COUNT_PATH: &str = "/answered";

static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// Serves on the address given as the only argument until it is killed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [address] = arguments else { return Err("backend takes one argument: the address to listen on".into()) };
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    for connection in listener.incoming() {
        let connection = connection.map_err(|error| format!("accept: {error}"))?;
        // 128 KiB hold the frames of `serve` and its buffer with room to spare.
        let thread = std::thread::Builder::new().stack_size(128 * 1024);
        thread.spawn(move || drop(serve(connection))).map_err(|error| format!("thread: {error}"))?;
    }
    Ok(())
}

fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let answer = answer(BODY);
    let mut input = [0; 16 * 1024];
    let mut held = 0;
    loop {
        let count = connection.read(&mut input[held..])?;
        if count == 0 {
            return Ok(());
        }
        held += count;
        while let Some(end) = head_end(&input[..held]) {
            if input.starts_with(b"GET /answered ") {
                let before = ANSWERED.load(Ordering::Relaxed).to_string();
                connection.write_all(self::answer(&before).as_bytes())?;
            } else {
                ANSWERED.fetch_add(1, Ordering::Relaxed);
                connection.write_all(answer.as_bytes())?;
            }
            input.copy_within(end..held, 0);
            held -= end;
        }
        if held == input.len() {
            return Ok(()); // a head this long is none of ours
        }
    }
}

/// Where the first head ends. Almost always the input is exactly one head.
fn head_end(input: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    input.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

/// Carries a date, so that no contender has to add one to it.
fn answer(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_the_promises_say() {
        assert_eq!(BODY.len(), 66);
    }

    #[test]
    fn heads_end_at_the_blank_line() {
        assert_eq!(head_end(b"GET / HTTP/1.1\r\n\r\nrest"), Some(18));
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nA: b\r\n"), None);
    }
}
