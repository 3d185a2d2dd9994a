//! The WebSocket echo of the backend: every data frame comes back with its opcode and payload.
//!
//! It refuses continuation of any kind: a frame is a message, as the generator sends them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::field;

/// What comes in beyond this has to wait until it was echoed.
const INPUT_BYTES: usize = 128 * 1024;

/// A frame within some input.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    /// Where the payload begins, and where the frame ends.
    pub payload: usize,
    pub end: usize,
}

/// The first frame, if its header is there as a whole; its payload may not be.
pub fn frame(input: &[u8]) -> Option<Frame> {
    let (&first, &second) = (input.first()?, input.get(1)?);
    let (length, mut at) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?), 10),
        length => (u64::from(length), 2),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        mask = Some(input.get(at..at + 4)?.try_into().ok()?);
        at += 4;
    }
    Some(Frame { opcode: first & 0x0f, mask, payload: at, end: at.checked_add(usize::try_from(length).ok()?)? })
}

/// The header of a frame that is a whole message; with `masked`, a mask of zeros, which changes nothing.
pub fn header(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut header = vec![0x80 | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => header.push(bit | length),
        (_, Ok(length)) => {
            header.push(bit | 126);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(bit | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header.extend_from_slice(if masked { &[0; 4] } else { &[] });
    header
}

/// Takes the handshake in `head` and echoes until the client closes. `input` came behind the head.
pub async fn echo(mut connection: TcpStream, head: &str, mut input: Vec<u8>) -> std::io::Result<()> {
    let accept = derive_accept_key(field(head, "sec-websocket-key").unwrap_or_default().as_bytes());
    let switching = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    connection.write_all(switching.as_bytes()).await?;
    let mut output = Vec::new();
    loop {
        let mut done = 0;
        while let Some(frame) = frame(&input[done..]).filter(|frame| done + frame.end <= input.len()) {
            output.extend(header(frame.opcode, frame.end - frame.payload, false));
            let payload = &input[done + frame.payload..done + frame.end];
            match frame.mask {
                Some(mask) if mask != [0; 4] => {
                    output.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
                }
                _ => output.extend_from_slice(payload),
            }
            done += frame.end;
        }
        input.drain(..done);
        if !output.is_empty() {
            connection.write_all(&output).await?;
            output.clear();
        }
        // An idle stream keeps nothing: there are thousands of them.
        if input.is_empty() {
            (input, output) = (Vec::new(), Vec::new());
            connection.readable().await?;
            input.reserve(if done > 1024 { INPUT_BYTES } else { 1024 });
        }
        match connection.read_buf(&mut input).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_written() {
        for length in [0, 20, 125, 126, 65_535, 65_536] {
            for masked in [false, true] {
                let header = header(2, length, masked);
                let expected = Frame {
                    opcode: 2,
                    mask: masked.then_some([0; 4]),
                    payload: header.len(),
                    end: header.len() + length,
                };
                assert_eq!(frame(&header), Some(expected), "{length} {masked}");
                assert_eq!(frame(&header[..header.len() - 1]), None, "{length} {masked}");
            }
        }
    }
}
