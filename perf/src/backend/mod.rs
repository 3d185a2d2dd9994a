//! The application behind every contender, as one event loop: small bodies, bodies of any size, a
//! page, a sink for uploads, a WebSocket echo.
//!
//! ```text
//!   GET /          66 bytes            POST /sink   reads the body, then 66 bytes
//!   GET /bytes/N   N zeros             GET /echo    WebSocket, every message comes back
//!   GET /page      100 KiB of HTML     GET /answered   how many requests came before
//! ```
//!
//! It refuses to be a web server: bodies have a `Content-Length`, anything else ends the connection.

mod page;
pub mod websocket;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub use page::page;

/// The body of every small answer: 66 bytes.
pub const BODY: &str = "Sixty-six bytes from the backend, the same for every contender. OK";

/// Where a request reads how many requests were answered before it.
pub const COUNT_PATH: &str = "/answered";

/// A head longer than this is none of ours.
const HEAD_BYTES_MAX: usize = 64 * 1024;

const BACKLOG: u32 = 4096;

static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// What is the same for all connections.
struct Bodies {
    small: Vec<u8>,
    page: Vec<u8>,
    zeros: Vec<u8>,
}

/// Serves on the address given as the only argument until it is killed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [address] = arguments else { return Err("backend takes one argument: the address to listen on".into()) };
    let address: SocketAddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, accept(address)).map_err(|error| format!("{address}: {error}"))
}

/// Serves on an address until it is cancelled.
pub async fn accept(address: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let bodies = Rc::new(Bodies {
        small: answer("text/plain", BODY.as_bytes()),
        page: answer("text/html", page(&format!("http://{address}")).as_bytes()),
        zeros: vec![0; 256 * 1024],
    });
    loop {
        let (connection, _) = listener.accept().await?;
        let bodies = Rc::clone(&bodies);
        tokio::task::spawn_local(async move { serve(connection, &bodies).await });
    }
}

/// Answers until the peer goes, or asks for what is not served here.
async fn serve(mut connection: TcpStream, bodies: &Bodies) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut input = Vec::with_capacity(1024);
    loop {
        while let Some(end) = head_end(&input) {
            let head = String::from_utf8_lossy(&input[..end]).into_owned();
            input.drain(..end);
            let path = head.split(' ').nth(1).unwrap_or_default();
            if path == COUNT_PATH {
                let before = ANSWERED.load(Ordering::Relaxed).to_string();
                connection.write_all(&answer("text/plain", before.as_bytes())).await?;
                continue;
            }
            ANSWERED.fetch_add(1, Ordering::Relaxed);
            if path == "/echo" {
                return websocket::echo(connection, &head, input).await;
            }
            if let Some(length) = field(&head, "content-length") {
                swallow(&mut connection, &mut input, length.parse().unwrap_or(0)).await?;
            } else if field(&head, "transfer-encoding").is_some() {
                return Ok(());
            }
            match path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
                Some(count) => zeros(&mut connection, bodies, count).await?,
                None if path == "/page" => connection.write_all(&bodies.page).await?,
                None => connection.write_all(&bodies.small).await?,
            }
        }
        if input.len() > HEAD_BYTES_MAX || connection.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Where the first head ends. Almost always the input is exactly one head.
pub fn head_end(input: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    input.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

/// The value of a field, by its name in lower case.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Reads a body and forgets it.
async fn swallow(connection: &mut TcpStream, input: &mut Vec<u8>, length: u64) -> std::io::Result<()> {
    let held = length.min(input.len() as u64);
    input.drain(..usize::try_from(held).unwrap_or(input.len()));
    let mut left = length - held;
    let mut into = vec![0; 256 * 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(into.len()).min(into.len());
        match connection.read(&mut into[..most]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => left -= count as u64,
        }
    }
    Ok(())
}

async fn zeros(connection: &mut TcpStream, bodies: &Bodies, count: u64) -> std::io::Result<()> {
    connection.write_all(head("application/octet-stream", count).as_bytes()).await?;
    let mut left = count;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(bodies.zeros.len());
        connection.write_all(&bodies.zeros[..piece]).await?;
        left -= piece as u64;
    }
    Ok(())
}

fn answer(kind: &str, body: &[u8]) -> Vec<u8> {
    [head(kind, body.len() as u64).as_bytes(), body].concat()
}

/// Carries a date, so that no contender has to add one to it.
fn head(kind: &str, length: u64) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
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

    #[test]
    fn fields_are_found_whatever_their_case() {
        assert_eq!(field("POST / HTTP/1.1\r\nContent-LENGTH: 12\r\n\r\n", "content-length"), Some("12"));
        assert_eq!(field("GET / HTTP/1.1\r\n\r\n", "content-length"), None);
    }
}
