//! The corridor: one request from its head to its record. Every branch of a request's way is here.
//!
//! ```text
//!   Request ─route▶ Routed ─admit▶ Admitted ─(filters)─relay▶ Relayed ─(filters)▶ Response
//!       └────────┴──────────────┴───────────────┴─▶ Stop: a reply of ours, or a fault
//! ```
//!
//! Nothing can be relayed that was not admitted: only `admit` makes the ticket that `relay` takes.
//! Rooms never call each other. The corridor refuses to know sockets: edge and tests hand it
//! requests and write the responses it returns.

mod filtered;
mod headers;
mod page;
mod record;
mod rooms;

use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

pub use filtered::{hide_framing, show_framing};
pub use headers::Identity;
pub use rooms::{App, Network, Rooms};

use crate::auth::Person;
use crate::error::{Error, Kind, Result};
use crate::filters::{Host, When};
use crate::http::path::Normal;
use crate::http::{Authority, Body, Interim, Outgoing, Peer, Request, Response, Scheme, Version};
use crate::id::RequestId;
use crate::io::memory;
use crate::metrics::Shard;
use crate::relay::{Relay, Relayed};
use crate::routing::Outcome;
use crate::trace::AccessLog;
use record::Record;

/// The corridor of one worker.
pub struct Corridor {
    rooms: Arc<ArcSwap<Rooms>>,
    filters: Rc<Host>,
    relay: Relay,
    shard: Rc<Shard>,
    access: Option<Rc<AccessLog>>,
    identity: Identity,
}

/// A request as the edge parsed it, before anything was decided.
pub struct Arrived {
    /// Who sent it.
    pub peer: Rc<Peer>,
    /// The host it is for; `None` only for HTTP/1.0 without `Host`.
    pub authority: Option<Authority>,
    /// The target in origin form, as sent.
    pub target: bytes::Bytes,
    /// `OPTIONS *`.
    pub asterisk: bool,
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The fields, without Host and framing.
    pub headers: HeaderMap,
    /// A WebSocket is asked for.
    pub websocket: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// The body.
    pub body: Body,
    /// Where interim responses go.
    pub interim: Interim,
}

/// Why a request goes no further.
enum Stop {
    /// A reply of our own.
    Reply(Box<Response>),
    /// A failure, turned into a page in one place.
    Fault(Error),
}

impl Stop {
    fn reply(response: Response) -> Self {
        Self::Reply(Box::new(response))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

/// A request whose app is known.
struct Routed {
    app: Arc<App>,
    label: Option<String>,
    request: Request,
}

/// A request that may enter.
struct Admitted {
    routed: Routed,
    #[expect(dead_code, reason = "passthrough knows nobody; filters and sign-in read it")]
    person: Person,
}

impl Corridor {
    /// A corridor over one worker's relay.
    #[must_use]
    pub fn new(
        rooms: Arc<ArcSwap<Rooms>>,
        (filters, relay): (Rc<Host>, Relay),
        shard: Rc<Shard>,
        access: Option<Rc<AccessLog>>,
        identity: Identity,
    ) -> Self {
        Self { rooms, filters, relay, shard, access, identity }
    }

    /// The answer to bytes that never became a request.
    #[must_use]
    pub fn refuse(&self, error: &Error) -> Response {
        self.shard.error(error);
        let id = RequestId::random();
        tracing::debug!(id = id.as_str(), %error, "refused");
        let mut page = page::render(error, id, None, false);
        headers::mark_response(&mut page.headers, id, &self.identity);
        page
    }

    /// The snapshot in force.
    #[must_use]
    pub fn rooms(&self) -> Arc<Rooms> {
        self.rooms.load_full()
    }

    /// Walks one request through the rooms; whatever happens, there is a response.
    pub async fn walk(&self, arrived: Arrived) -> Response {
        let rooms = self.rooms.load_full();
        let trusted = rooms.trusts(arrived.peer.addr.ip());
        let id = headers::request_id(&arrived.headers, trusted);
        let mut record = Record::begin(&self.shard, self.access.clone(), id, &arrived);
        let head_only = arrived.method == Method::HEAD;
        let accept = arrived.headers.get(header::ACCEPT).cloned();
        let response = match self.walk_rooms(&rooms, trusted, id, arrived, &mut record).await {
            Ok(response) => response,
            Err(Stop::Reply(response)) => *response,
            Err(Stop::Fault(error)) => {
                self.shard.error(&error);
                let page = page::render(&error, id, accept.as_ref(), head_only);
                record.fail(error);
                page
            }
        };
        record.finish(response, id, &self.identity)
    }

    async fn walk_rooms(
        &self,
        rooms: &Rooms,
        trusted: bool,
        id: RequestId,
        arrived: Arrived,
        record: &mut Record,
    ) -> Result<Response, Stop> {
        if memory::is_short() {
            return Err(Error::new(Kind::Overloaded, "limits.memory is taken").into());
        }
        let peer = arrived.peer.clone();
        let routed = route(rooms, arrived)?;
        record.found(&self.shard, &routed.app);
        let admitted = admit(routed)?;
        self.pass(admitted, &peer, trusted, id, record).await
    }

    /// From here on the request is the app's: filtered if it has filters, and relayed.
    async fn pass(
        &self,
        admitted: Admitted,
        peer: &Peer,
        trusted: bool,
        id: RequestId,
        record: &mut Record,
    ) -> Result<Response, Stop> {
        let Routed { app, label, mut request } = admitted.routed;
        let host = app.internal_host(label.as_deref(), &request.authority);
        let forwarding =
            headers::Forwarding { peer, trusted, id, authority: &request.authority, version: request.version };
        headers::prepare_request(&mut request.headers, &forwarding, &self.identity, app.forwarded_header)?;
        app.chain.limit_codings(&mut request.headers);
        request.body = record.watch_request(request.body);
        let version = request.version;
        let when = match app.chain.concerned(&request.headers, !request.body.is_empty()) {
            When::Later if request.websocket => When::Now,
            when => when,
        };
        if when == When::Now {
            return Box::pin(self.pass_filtered(&app, label.as_deref(), (peer, id), (host, request), record)).await;
        }
        let late = (when == When::Later).then(|| filtered::Late::of(&request));
        let outgoing = Box::new(Outgoing {
            method: request.method,
            target: app.internal_target(&request.target)?,
            host,
            headers: request.headers,
            vouched: None,
            websocket: request.websocket,
            expects_continue: request.expects_continue,
            body: request.body,
            interim: request.interim,
        });
        let relayed = self.relay.send(&app.destination, label.as_deref(), outgoing).await?;
        let response = received(relayed, request.websocket, version, record)?;
        match late {
            Some(late) if app.chain.concerned_by_response(&response.headers) => {
                Ok(Box::pin(self.filter_late(&app, (peer, id), late, response, record)).await?)
            }
            _ => Ok(response),
        }
    }
}

/// Notes who answered, and refuses an answer that cannot be given on.
fn received(relayed: Relayed, websocket: bool, version: Version, record: &mut Record) -> Result<Response, Stop> {
    if let Some(link) = &relayed.connector {
        record.via(link.name.clone());
    }
    if websocket && !relayed.response.websocket && version == Version::Http2 && relayed.response.status.is_success() {
        // RFC 8441, 5: a 2xx would tell the client that the WebSocket is open.
        let detail = format!("the backend answered {} to a WebSocket handshake", relayed.response.status);
        return Err(Error::new(Kind::BackendInvalid, detail).into());
    }
    Ok(relayed.response)
}

/// Finds the app, and everything that is answered before one is asked.
fn route(rooms: &Rooms, arrived: Arrived) -> Result<Routed, Stop> {
    if arrived.asterisk {
        return Err(Stop::reply(options_of_the_server()));
    }
    let Some(authority) = arrived.authority else {
        return Err(Error::new(Kind::NotPublished, "an HTTP/1.0 request without Host").into());
    };
    let normal = crate::http::path::normalise(&arrived.target).map_err(Error::bad_request)?;
    let (app, label) = match rooms.routes.find(arrived.peer.scheme, &authority, &normal) {
        Outcome::Found(app, label) => (app.clone(), label.map(str::to_owned)),
        Outcome::MissingSlash => return Err(Stop::reply(redirect(&with_slash(&normal)))),
        Outcome::Disputed => {
            return Err(
                Error::bad_request("the path can be read as two different applications' (%2F, %5C or ;)").into()
            );
        }
        Outcome::NotPublished => return Err(unpublished(rooms, &arrived.peer, &authority, &normal)),
    };
    if app.maintenance {
        return Err(Error::new(Kind::Maintenance, format!("{} is in maintenance", app.name)).into());
    }
    let request = Request {
        method: arrived.method,
        authority,
        target: normal.target,
        version: arrived.version,
        headers: arrived.headers,
        websocket: arrived.websocket,
        expects_continue: arrived.expects_continue,
        body: arrived.body,
        interim: arrived.interim,
    };
    Ok(Routed { app, label, request })
}

/// Decides who may enter.
fn admit(routed: Routed) -> Result<Admitted, Stop> {
    let person = routed.app.policy.admit()?;
    Ok(Admitted { routed, person })
}

/// On the plain listener, an app published with TLS is one redirect away (RFC 9110, 15.4.9).
fn unpublished(rooms: &Rooms, peer: &Peer, authority: &Authority, normal: &Normal) -> Stop {
    if peer.scheme == Scheme::Http
        && let Outcome::Found(app, _) = rooms.routes.find(Scheme::Https, authority, normal)
    {
        let port = match app.external_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        return Stop::reply(redirect(&format!("https://{}{port}{}", authority.host(), normal.target)));
    }
    Error::new(Kind::NotPublished, format!("no app for {authority}{}", normal.target.path())).into()
}

fn with_slash(normal: &Normal) -> String {
    match normal.target.query() {
        Some(query) => format!("{}/?{query}", normal.target.path()),
        None => format!("{}/", normal.target.path()),
    }
}

fn redirect(location: &str) -> Response {
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(header::LOCATION, location);
    }
    Response::new(StatusCode::PERMANENT_REDIRECT, headers, Body::Empty)
}

/// `OPTIONS *` asks about the server itself (RFC 9110, 9.3.7).
fn options_of_the_server() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    Response::new(StatusCode::OK, headers, Body::Empty)
}

impl App {
    /// The target inside: the published path's prefix exchanged for the internal one's.
    fn internal_target(&self, external: &PathAndQuery) -> Result<PathAndQuery> {
        if self.external_path == self.internal_path {
            return Ok(external.clone());
        }
        let rest = external.as_str().strip_prefix(&*self.external_path).unwrap_or_default();
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(format!("{}{rest}", self.internal_path)))
            .map_err(|_| Error::new(Kind::Internal, "an internal target that is no path"))
    }
}

/// Whether a connection opened for `server_name` may carry requests for `host`.
///
/// # Errors
/// `misdirected` (RFC 9110, 15.5.20) when another certificate answers for the host.
pub fn check_coalescing(
    server_name: Option<&str>,
    authority: Option<&Authority>,
    same_certificate: impl Fn(&str, &str) -> bool,
) -> Result<()> {
    let (Some(name), Some(authority)) = (server_name, authority) else { return Ok(()) };
    if name == authority.host() || same_certificate(name, authority.host()) {
        return Ok(());
    }
    Err(Error::new(Kind::Misdirected, format!("a connection for {name} carries a request for {authority}")))
}
