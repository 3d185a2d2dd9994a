//! Vocabulary of HTTP: messages, bodies, names of places, and the two wire formats.
//!
//! Everything that arrives is parsed here into one strict form, and everything that leaves is
//! made from that form; bytes of a head are never passed through. The room refuses to decide
//! anything about an application.

pub mod authority;
pub mod body;
pub mod fields;
pub mod h1;
pub mod h2;
pub mod path;
pub mod patience;
pub mod upload;
pub mod vouched;
pub mod websocket;

use std::net::SocketAddr;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

pub use authority::Authority;
pub use body::{Body, Frame};
pub use upload::Upload;

/// How a client reached us, or how a backend is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The version a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// The received-protocol of `Via` (RFC 9110, 7.6.3).
    #[must_use]
    pub const fn via(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2.0",
        }
    }

    /// The word in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Who is at the other end of a client connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address of the TCP connection.
    pub addr: SocketAddr,
    /// How it reached us.
    pub scheme: Scheme,
    /// What it connected to.
    pub local: SocketAddr,
    /// Which of this process's connections it is.
    pub connection: u64,
    /// What its TLS handshake agreed on, `TLSv1.3` or `TLSv1.2`.
    pub tls_version: Option<&'static str>,
    /// The server name of its TLS handshake, lower case.
    pub server_name: Option<std::sync::Arc<str>>,
    /// Its address as a field value; made once, sent with every request.
    pub client: HeaderValue,
}

/// A request in its strict form.
pub struct Request {
    /// The method; never CONNECT (an extended CONNECT is a GET with `websocket` set).
    pub method: Method,
    /// Host and port the request is for; one place, whatever the form on the wire.
    pub authority: Authority,
    /// The target in normal form; `*` of `OPTIONS *` is answered before this exists.
    pub target: PathAndQuery,
    /// The version it came in.
    pub version: Version,
    /// The fields, without `Host` and without those of the connection itself.
    pub headers: HeaderMap,
    /// The client asked for a WebSocket (RFC 6455 or RFC 8441).
    pub websocket: bool,
    /// The client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// The body; for a WebSocket, the bytes after the handshake.
    pub body: Body,
    /// Where interim responses go.
    pub interim: Interim,
}

/// A request on its way to a backend: mapped to the inside, without what ends at a connection.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The internal target.
    pub target: PathAndQuery,
    /// The value of `Host` the backend sees.
    pub host: HeaderValue,
    /// The fields.
    pub headers: HeaderMap,
    /// Fields beside the map.
    pub vouched: Option<vouched::Vouched>,
    /// A WebSocket is asked for.
    pub websocket: bool,
    /// The body waits for `100 Continue`.
    pub expects_continue: bool,
    /// The body.
    pub body: Body,
    /// Where interim responses go.
    pub interim: Interim,
}

/// A final response.
pub struct Response {
    /// 200 to 599; 101 only with `websocket`.
    pub status: StatusCode,
    /// The fields, without those of the connection itself.
    pub headers: HeaderMap,
    /// The handshake was accepted: body and request body are now the two directions.
    pub websocket: bool,
    /// The body.
    pub body: Body,
    /// What is left to send of the request's body; must be driven beside the response's.
    pub upload: Option<Upload>,
    /// An HTTP/1 connection ends with it: its client broke a rule, and what follows is not trusted.
    pub last: bool,
}

impl Response {
    /// A response of our own.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, body: Body) -> Self {
        Self { status, headers, websocket: false, body, upload: None, last: false }
    }
}

/// Where interim (1xx) responses of a request are sent, on whichever protocol it came in.
pub enum Interim {
    /// On an HTTP/1.1 connection.
    H1(h1::Shared),
    /// On an HTTP/2 stream.
    H2(h2::Responder),
    /// Nowhere: an HTTP/1.0 client, or a test.
    Nowhere,
}

impl Interim {
    /// Sends an interim response; one that cannot be sent is dropped, as interim responses may be.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        match self {
            Self::H1(conn) => conn.borrow_mut().queue_interim(status, headers),
            Self::H2(responder) => responder.send_interim(status, headers),
            Self::Nowhere => {}
        }
    }
}
