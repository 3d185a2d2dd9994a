//! A client of one origin: GET after GET over one connection of HTTP/1.1, each with a deadline.
//!
//! ```text
//!   URL ─▶ (connect, TLS) ─▶ GET ─▶ head ─▶ body, its coding undone, up to a limit ─▶ Answer
//! ```
//!
//! It refuses to follow redirects, to keep cookies, and to read more of a body than is looked at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use url::Url;

use crate::filters::{Coding, Decoder};
use crate::tls::{self, Stream};

/// 8 MiB of one body, decoded, are looked at: eight times the largest page of the Rust book.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;

pub(super) struct Client {
    /// Where the edge is.
    pub(super) addr: SocketAddr,
    /// For an origin with TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Further fields, such as a cookie.
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// For one request.
    pub(super) timeout: Duration,
    pub(super) open: Option<SendRequest<Empty<Bytes>>>,
}

/// A response.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Decoded.
    pub(super) body: Vec<u8>,
    /// Why not all of it is there.
    pub(super) unread: Option<String>,
}

impl Client {
    /// Asks for a URL of the origin. Of bodies that are not `wanted` only the head is read.
    pub(super) async fn get(&mut self, url: &Url, wanted: fn(&HeaderMap) -> bool) -> Result<Answer, String> {
        let asked = tokio::time::timeout(self.timeout, self.ask(url, wanted)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {} s", self.timeout.as_secs())));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn ask(&mut self, url: &Url, wanted: fn(&HeaderMap) -> bool) -> Result<Answer, String> {
        // A kept connection may have been closed meanwhile; a fresh one is asked once.
        if let Some(mut open) = self.open.take()
            && open.ready().await.is_ok()
            && let Ok(response) = open.send_request(self.request(url)?).await
        {
            return self.read(open, response, wanted).await;
        }
        let mut open = self.connect(url).await?;
        let response = open.send_request(self.request(url)?).await.map_err(|error| because(&error))?;
        self.read(open, response, wanted).await
    }

    async fn connect(&self, url: &Url) -> Result<SendRequest<Empty<Bytes>>, String> {
        let addr = self.addr;
        let tcp = TcpStream::connect(addr).await.map_err(|error| format!("no connection to {addr}: {error}"))?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp.into()),
            Some(config) => {
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
                let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
                tls::connect(tcp, config.clone(), name).await.map_err(|error| format!("TLS with {addr}: {error}"))?
            }
        };
        let (open, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| because(&error))?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(open)
    }

    fn request(&self, url: &Url) -> Result<http::Request<Empty<Bytes>>, String> {
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = http::Request::get(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("lockgate-check/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .header(header::ACCEPT_ENCODING, "gzip, br, zstd");
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        request.body(Empty::new()).map_err(|error| error.to_string())
    }

    async fn read(
        &mut self,
        open: SendRequest<Empty<Bytes>>,
        response: http::Response<Incoming>,
        wanted: fn(&HeaderMap) -> bool,
    ) -> Result<Answer, String> {
        let (head, body) = response.into_parts();
        let mut answer = Answer { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), unread: None };
        if wanted(&answer.headers) && fill(&mut answer, body).await? {
            // Only behind a body that was read to its end may another request follow.
            self.open = Some(open);
        }
        Ok(answer)
    }
}

/// Reads a body, decoded; says whether all of it came.
async fn fill(answer: &mut Answer, mut body: Incoming) -> Result<bool, String> {
    let codings = match Coding::list(&answer.headers) {
        Ok(codings) => codings,
        Err(unknown) => {
            answer.unread = Some(unknown.to_string());
            return Ok(false);
        }
    };
    let mut decoder = Decoder::new(&codings);
    while let Some(frame) = body.frame().await {
        let Ok(mut piece) = frame.map_err(|error| because(&error))?.into_data() else { continue };
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(decoded)) => answer.body.extend_from_slice(&decoded),
                Ok(None) => break,
                Err(error) => {
                    answer.unread = Some(error.to_string());
                    return Ok(false);
                }
            }
            if answer.body.len() > BODY_BYTES_MAX {
                answer.body.truncate(BODY_BYTES_MAX);
                answer.unread = Some(format!("longer than {} MiB", BODY_BYTES_MAX >> 20));
                return Ok(false);
            }
        }
    }
    if let Err(error) = decoder.finish() {
        answer.unread = Some(error.to_string());
    }
    Ok(true)
}

/// An error and what lies beneath it.
fn because(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
