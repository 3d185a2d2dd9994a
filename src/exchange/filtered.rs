//! The corridor's way through the filters of an app: into them, beside the relay, and back.
//!
//! Apps without a chain never come here. What filters made of a request is judged again before it
//! goes on: its path must still be this app's, and what frames a message is the next hop's business.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::record::Record;
use super::{App, Corridor, Stop, received};
use crate::error::{Error, Kind, Result};
use crate::filters::{Data, Facts, Passage, Passed};
use crate::http::fields::strip_hop_by_hop;
use crate::http::{Body, Interim, Outgoing, Peer, Request, Response, Version};
use crate::id::RequestId;

/// Bytes of all fields of a head that filters have written: twice what a client may send by default,
/// and half of what would end a link's connection.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// A request behind its filters.
struct Filtered {
    passage: Rc<Passage>,
    method: Method,
    target: PathAndQuery,
    /// The `Host` that a filter has chosen.
    host: Option<HeaderValue>,
    headers: HeaderMap,
    body: Body,
    /// The client still waits for `100 Continue`.
    expects_continue: bool,
}

impl Corridor {
    /// A response that concerns filters which the request did not.
    pub(super) async fn filter_late(
        &self,
        app: &App,
        from: (&Peer, RequestId),
        late: Late,
        response: Response,
        record: &mut Record,
    ) -> Result<Response> {
        let head_only = late.method == Method::HEAD;
        let passage = self.late_passage(app, from, late).await?;
        record.keep(passage.clone());
        filter_response(&passage, response, head_only).await
    }

    /// Passes a request through its filters, the relay, and its filters again.
    pub(super) async fn pass_filtered(
        &self,
        app: &Arc<App>,
        label: Option<&str>,
        from: (&Peer, RequestId),
        (host, mut request): (HeaderValue, Request),
        record: &mut Record,
    ) -> Result<Response, Stop> {
        let (version, websocket) = (request.version, request.websocket);
        let head_only = request.method == Method::HEAD;
        let interim = std::mem::replace(&mut request.interim, Interim::Nowhere);
        let filtered = self.filter_request(app, from, request, &interim, |passage| record.keep(passage)).await?;
        let passage = filtered.passage;
        let outgoing = Box::new(Outgoing {
            method: filtered.method,
            target: app.internal_target(&filtered.target)?,
            host: filtered.host.unwrap_or(host),
            headers: filtered.headers,
            vouched: None,
            websocket,
            expects_continue: filtered.expects_continue,
            body: filtered.body,
            interim,
        });
        let relaying = self.relay.send(&app.destination, label, outgoing);
        let relayed = match passage.beside(relaying).await? {
            Ok(relayed) => relayed,
            Err(reply) => return Err(Stop::Reply(framed(reply, head_only))),
        };
        let response = received(relayed, websocket, version, record)?;
        Ok(filter_response(&passage, response, head_only).await?)
    }

    /// Takes a prepared request through the filters of `app`.
    async fn filter_request(
        &self,
        app: &Arc<App>,
        (peer, id): (&Peer, RequestId),
        request: Request,
        interim: &Interim,
        keep: impl FnOnce(Rc<Passage>),
    ) -> Result<Filtered, Stop> {
        let Request { method, authority, target, version, headers, websocket, expects_continue, body, .. } = request;
        let facts = facts(app, (peer, id), version);
        let head_only = method == Method::HEAD;
        let host = authority.header_value().unwrap_or_else(|| HeaderValue::from_static(""));
        let ended = body.is_empty() && !websocket;
        let mut data = Data::new(facts, method, host, target, headers);
        data.is_websocket = websocket;
        show_framing(&mut data.headers[0], &body, websocket);
        let passage = Passage::begin(&self.filters, &app.chain, data).await?;
        keep(passage.clone());
        let mut expects_continue = expects_continue;
        if expects_continue && app.chain.holds_head() {
            // A filter wants the body before the relay is asked, so nobody else will say it.
            interim.send(StatusCode::CONTINUE, &HeaderMap::new());
            expects_continue = false;
        }
        let body = match passage.request(body, ended).await? {
            Passed::Reply(response) => return Err(Stop::Reply(framed(response, head_only))),
            Passed::On(body) => body,
        };
        let (method, path, path_changed, host, mut headers) = passage.take_head(|data| {
            let host = data.authority_changed.then(|| data.authority.clone());
            (data.method.clone(), data.path.clone(), data.path_changed, host, data.headers[0].clone())
        })?;
        let target = if path_changed { judge_again(app, &path)? } else { path };
        hide_framing(&mut headers);
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        if size > HEAD_BYTES_MAX {
            let detail = format!("filters made a head of {size} bytes; {HEAD_BYTES_MAX} may leave");
            return Err(Error::new(Kind::FilterFailed, detail).into());
        }
        Ok(Filtered { passage, method, target, host, headers, body, expects_continue })
    }
}

/// What is kept of a request whose response may concern a filter.
pub(super) struct Late {
    pub(super) method: Method,
    target: PathAndQuery,
    host: Option<HeaderValue>,
    version: Version,
}

impl Late {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            method: request.method.clone(),
            target: request.target.clone(),
            host: request.authority.header_value(),
            version: request.version,
        }
    }
}

impl Corridor {
    /// A passage that begins with the response; its filters see no fields of the request, since none
    /// of those they named was there.
    async fn late_passage(&self, app: &App, from: (&Peer, RequestId), late: Late) -> Result<Rc<Passage>> {
        let Late { method, target, host, version } = late;
        let host = host.unwrap_or_else(|| HeaderValue::from_static(""));
        let data = Data::new(facts(app, from, version), method, host, target, HeaderMap::new());
        Passage::begin(&self.filters, &app.chain, data).await
    }
}

fn facts(app: &App, (peer, id): (&Peer, RequestId), version: Version) -> Facts {
    Facts {
        app: app.name.clone(),
        id,
        protocol: version.as_str(),
        scheme: peer.scheme.as_str(),
        peer: peer.addr,
        local: peer.local,
        connection: peer.connection,
        tls_version: peer.tls_version,
        server_name: peer.server_name.clone(),
        began: SystemTime::now(),
    }
}

/// Takes a response back through the filters.
async fn filter_response(passage: &Rc<Passage>, mut response: Response, head_only: bool) -> Result<Response> {
    let (status, websocket) = (response.status, response.websocket);
    if websocket {
        // On HTTP/2 an accepted WebSocket is a 200 (RFC 8441, 5); filters see one form.
        response.status = StatusCode::SWITCHING_PROTOCOLS;
    }
    let told = response.headers.get(header::CONTENT_LENGTH).cloned();
    let mut response = passage.response(response, head_only).await?;
    frame_response(&mut response, told, head_only);
    if websocket && response.status == StatusCode::SWITCHING_PROTOCOLS {
        response.status = status;
    } else if websocket {
        // A filter refused it after all: the backend's half is dropped.
        response.websocket = false;
        response.upload = None;
    }
    Ok(response)
}

/// What frames a response is not a filter's word (RFC 9112, 6; RFC 9113, 8.2.2).
fn frame_response(response: &mut Response, told: Option<HeaderValue>, head_only: bool) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    strip_hop_by_hop(&mut response.headers);
    if !response.headers.contains_key(header::CONTENT_LENGTH) {
        return;
    }
    let length = match response.body.length() {
        // Without a body it is the backend's word about another answer (RFC 9110, 8.6).
        Some(0) if head_only || response.status == StatusCode::NOT_MODIFIED => told,
        length => length.map(HeaderValue::from),
    };
    match length {
        Some(length) => drop(response.headers.insert(header::CONTENT_LENGTH, length)),
        None => drop(response.headers.remove(header::CONTENT_LENGTH)),
    }
}

/// A filter's own reply, as it may leave.
pub(super) fn framed(mut reply: Box<Response>, head_only: bool) -> Box<Response> {
    let told = reply.headers.get(header::CONTENT_LENGTH).cloned();
    frame_response(&mut reply, told, head_only);
    reply
}

/// Filters see what Envoy's see: the length of a body, and an upgrade in the form of HTTP/1.1.
pub fn show_framing(headers: &mut HeaderMap, body: &Body, websocket: bool) {
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    } else if let Some(length) = body.length().filter(|&length| length > 0) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

/// What frames a message is the next hop's business, whatever a filter wrote.
pub fn hide_framing(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::HOST);
    strip_hop_by_hop(headers);
}

/// A path that a filter has set must lead to the same app, however it is read.
fn judge_again(app: &App, path: &PathAndQuery) -> Result<PathAndQuery> {
    let refused = |why: &str| {
        let detail = format!("a filter set :path to {path}, which {why} ({})", app.external_path);
        Error::new(Kind::FilterFailed, detail)
    };
    let bytes = Bytes::copy_from_slice(path.as_str().as_bytes());
    let normal = crate::http::path::normalise(&bytes).map_err(|_| refused("cannot be read in one way"))?;
    let inside = |path: &str| path.starts_with(&*app.external_path);
    if !inside(normal.target.path()) || !normal.judged.as_deref().is_none_or(inside) {
        return Err(refused("lies outside the app's published path"));
    }
    Ok(normal.target)
}
