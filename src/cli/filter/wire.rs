//! HTTP/1.1 on loopback, one exchange per connection: the client and the backends that a comparison needs.
//!
//! For messages of our own and of a proxy we started; nothing here stands in anybody's network.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};

use super::message::{RequestText, ResponseText};
use super::scripted::Answer;

/// How long one read may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Of a message; what is larger is no case to look at by eye.
const MESSAGE_BYTES_MAX: u64 = 64 << 20;

/// A backend that answers every request the same way.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: mpsc::Receiver<RequestText>,
}

impl Server {
    /// Listens on a port of the system's choosing, until the process ends.
    pub(super) fn start(answer: Answer, method: Method) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            // Connections that are not answered stay open, as those of a service that hangs.
            let mut hanging = Vec::new();
            for connection in listener.incoming().map_while(Result::ok) {
                let Ok(request) = read_request(&connection) else { continue };
                if sender.send(request).is_err() {
                    return;
                }
                match &answer {
                    Answer::Response(response) => drop(write_response(&connection, response, &method)),
                    Answer::Timeout => hanging.push(connection),
                }
            }
        });
        Ok(Self { address, requests })
    }

    /// The first request that came.
    pub(super) fn asked(&self) -> Option<RequestText> {
        self.requests.try_recv().ok()
    }
}

/// Sends `request` and reads the response to its end.
pub(super) fn ask(address: SocketAddr, request: &RequestText) -> Result<ResponseText, String> {
    let told = |error: std::io::Error| format!("{address}: {error}");
    let mut connection = TcpStream::connect(address).map_err(told)?;
    let mut text = format!("{} {} HTTP/1.1\r\nhost: ", request.method, request.path).into_bytes();
    text.extend_from_slice(request.authority.as_bytes());
    text.extend_from_slice(b"\r\nconnection: close\r\n");
    let body = !request.body.is_empty();
    write_fields(&mut text, &request.headers, body.then_some(&request.body));
    connection.write_all(&text).map_err(told)?;
    let (head, mut reader) = read_head(&connection).map_err(told)?;
    let mut response = ResponseText::parse(&head)?;
    let bodiless = request.method == Method::HEAD || is_bodiless(response.status);
    if !bodiless {
        response.body = read_body(&mut reader, &response.headers, true).map_err(told)?;
    }
    Ok(response)
}

fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || status.is_informational()
}

fn read_request(connection: &TcpStream) -> Result<RequestText, String> {
    let (head, mut reader) = read_head(connection).map_err(|error| error.to_string())?;
    let mut request = RequestText::parse(&head)?;
    request.body = read_body(&mut reader, &request.headers, false).map_err(|error| error.to_string())?;
    Ok(request)
}

fn write_response(mut connection: &TcpStream, response: &ResponseText, method: &Method) -> std::io::Result<()> {
    let reason = response.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\n", response.status.as_str()).into_bytes();
    let bodiless = *method == Method::HEAD || is_bodiless(response.status);
    write_fields(&mut text, &response.headers, (!bodiless).then_some(&response.body));
    connection.write_all(&text)
}

/// The fields, the empty line and the body: with its length where the fields say one, else chunked.
fn write_fields(text: &mut Vec<u8>, headers: &HeaderMap, body: Option<&Bytes>) {
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];
    for (name, value) in headers.iter().filter(|(name, _)| !framing.contains(name)) {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    match body {
        Some(body) if headers.contains_key(header::CONTENT_LENGTH) || body.is_empty() => {
            text.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            text.extend_from_slice(body);
        }
        Some(body) => {
            text.extend_from_slice(format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len()).as_bytes());
            text.extend_from_slice(body);
            text.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        None => text.extend_from_slice(b"\r\n"),
    }
}

type Reader<'a> = BufReader<std::io::Take<&'a TcpStream>>;

fn read_head(connection: &TcpStream) -> std::io::Result<(Vec<u8>, Reader<'_>)> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(connection.take(MESSAGE_BYTES_MAX));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, reader))
}

fn read_body(reader: &mut Reader<'_>, headers: &HeaderMap, to_the_end: bool) -> std::io::Result<Bytes> {
    let mut body = Vec::new();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(header::TRANSFER_ENCODING) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            if size == 0 {
                break;
            }
            reader.by_ref().take(size).read_to_end(&mut body)?;
            reader.read_line(&mut line)?;
        }
    } else if let Some(length) = length {
        reader.by_ref().take(length).read_to_end(&mut body)?;
    } else if to_the_end {
        reader.read_to_end(&mut body)?;
    }
    Ok(Bytes::from(body))
}
