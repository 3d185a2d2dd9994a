//! A message body: a stream of frames, pulled by whoever writes it to the next hop.
//!
//! Nothing is read before it is asked for, so back-pressure runs from socket to socket. Dropping
//! a body cancels what it came from. It refuses to collect: nobody here needs a whole body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;

use super::h1::{Framing, Inbound, Shared};
use crate::error::Error;

/// A piece of a body: bytes or trailers.
pub type Frame = http_body::Frame<Bytes>;

/// A frame of bytes.
#[must_use]
pub fn data(bytes: Bytes) -> Frame {
    Frame::data(bytes)
}

/// A frame of trailers.
#[must_use]
pub fn trailers(fields: HeaderMap) -> Frame {
    Frame::trailers(fields)
}

/// A body on its way.
pub enum Body {
    /// No bytes at all.
    Empty,
    /// Bytes of our own.
    Full(Bytes),
    /// Read from an HTTP/1.1 connection.
    H1(H1Body),
    /// Read from an HTTP/2 stream.
    H2(super::h2::H2Body),
    /// Another body, watched or changed on its way.
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>),
    /// Whatever is put into a channel, until its last sender is gone.
    Channel(mpsc::Receiver<Bytes>),
}

/// The body of an HTTP/1.1 message.
pub struct H1Body {
    /// Until its last byte was read. From then on the connection may be another exchange's, and this
    /// body has no business with it, however late it is asked again.
    conn: Option<Shared>,
    length: Option<u64>,
    /// Called when the body has been read or is dropped: a backend connection goes back to its
    /// pool, or is closed.
    on_end: Option<OnEnd>,
}

/// What happens with the connection once the body has been read or dropped.
type OnEnd = Box<dyn FnOnce(&Shared)>;

impl H1Body {
    /// The body that `conn` expects next; call after [`super::h1::Conn::expect_body`].
    #[must_use]
    pub fn new(conn: Shared, framing: Framing) -> Self {
        let length = if let Framing::Length(length) = framing { Some(length) } else { None };
        Self { conn: Some(conn), length, on_end: None }
    }

    /// The same body, with something to do at its end.
    #[must_use]
    pub fn on_end(mut self, on_end: OnEnd) -> Self {
        self.on_end = Some(on_end);
        self
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let Some(conn) = &self.conn else { return Poll::Ready(None) };
        let polled = conn.borrow_mut().poll_body(cx);
        // As soon as the last byte is out the connection is free for the next request.
        if polled.is_ready() && self.is_read() {
            self.end();
        }
        polled
    }

    /// Nothing of it is left to read.
    fn is_read(&self) -> bool {
        self.conn.as_ref().is_none_or(|conn| matches!(conn.borrow().inbound, Inbound::Done))
    }

    fn end(&mut self) {
        if let (Some(conn), Some(on_end)) = (self.conn.take(), self.on_end.take()) {
            on_end(&conn);
        }
    }
}

impl Drop for H1Body {
    fn drop(&mut self) {
        self.end();
    }
}

impl Body {
    /// The next frame; `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(data(bytes))))
            }
            Self::H1(body) => body.poll_frame(cx),
            Self::H2(body) => body.poll_frame(cx),
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
            Self::Channel(receiver) => receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(data(bytes)))),
        }
    }

    /// Whether the body is known to be empty without reading it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::H1(body) => body.is_read(),
            Self::Channel(_) => false,
            Self::H2(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    /// Its length in bytes, when known before it is read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::H1(body) => body.length,
            Self::H2(body) => body.length(),
            Self::Boxed(body) => body.size_hint().exact(),
            Self::Channel(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        Self::poll_frame(self.get_mut(), cx)
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length().map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::error::Side;
    use crate::http::h1::Conn;
    use crate::tls::Stream;

    /// A body that waits for its last piece to be taken may be asked again when its connection is in use for another.
    #[tokio::test]
    async fn a_body_that_was_read_leaves_the_next_one_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let conn = Rc::new(RefCell::new(Conn::new(Stream::Plain(socket.into()), Side::Backend)));
        peer.write_all(b"firstnext").await.unwrap();
        let expect = |length| {
            conn.borrow_mut().expect_body(Framing::Length(length));
            H1Body::new(conn.clone(), Framing::Length(length))
        };
        let all = async |body: &mut Body| {
            let mut bytes = Vec::new();
            while let Some(frame) = std::future::poll_fn(|cx| body.poll_frame(cx)).await {
                bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
            }
            bytes
        };
        let given_back = Rc::new(RefCell::new(false));
        let seen = given_back.clone();
        let mut first = Body::H1(expect(5).on_end(Box::new(move |_| *seen.borrow_mut() = true)));
        assert!(!first.is_empty());
        let mut bytes = Vec::new();
        while bytes.len() < 5 {
            let frame = std::future::poll_fn(|cx| first.poll_frame(cx)).await.unwrap().unwrap();
            bytes.extend_from_slice(frame.data_ref().unwrap());
        }
        assert!(bytes == b"first" && *given_back.borrow());
        let mut next = Body::H1(expect(4));
        assert!(first.is_empty(), "it is not what the connection is busy with");
        assert!(all(&mut first).await.is_empty());
        assert_eq!(all(&mut next).await, b"next");
    }
}
