//! From a request to the page that answers it: the sample's one corridor of branches.
//!
//! Which paths exist, which methods each takes, and which numbers a query may hold. Paths are compared as sent, without
//! decoding: the sample refuses to guess, so `/%68ealth` is a 404 here and shows what the proxy passed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::mirror::{cookie_page, cookies_forgotten, headers_json, headers_page};
use super::pages::{Asset, Pages, STATUS_NOTE};
use super::streams::{Body, Events, Pattern, Tally, Trailed};
use super::websocket;

/// Larger than any disk a browser's download should fill by accident, small enough to finish.
const DOWNLOAD_BYTES_MAX: u64 = 8 << 30;
/// 1 MiB.
const DOWNLOAD_BYTES_DEFAULT: u64 = 1 << 20;
/// Five minutes: longer than the `long` backend timeout (180 s), so that it can be seen to strike.
const SLOW_MS_MAX: u64 = 300_000;
const EVENTS_MAX: u64 = 10_000;
const EVENT_INTERVAL_MS_MIN: u64 = 10;
/// A minute between events; beyond it a stream only holds a connection.
const EVENT_INTERVAL_MS_MAX: u64 = 60_000;

/// Everything the sample answers.
#[derive(Clone, Copy)]
enum Route<'a> {
    Asset(Asset),
    Redirect,
    Cookies,
    Headers,
    HeadersJson,
    WebSocket,
    Events,
    Upload,
    Download,
    Chunked,
    Slow,
    Status(&'a str),
    Echo,
    Trailers,
    Health,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        if let Some(code) = path.strip_prefix("/status/") {
            return Some(Self::Status(code));
        }
        Some(match path {
            "/redirect" => Self::Redirect,
            "/cookies" => Self::Cookies,
            "/headers" => Self::Headers,
            "/headers.json" => Self::HeadersJson,
            "/ws" => Self::WebSocket,
            "/events" => Self::Events,
            "/upload" => Self::Upload,
            "/download" => Self::Download,
            "/chunked" => Self::Chunked,
            "/slow" => Self::Slow,
            "/echo" => Self::Echo,
            "/trailers" => Self::Trailers,
            "/health" => Self::Health,
            other => Self::Asset(Asset::at(other)?),
        })
    }

    /// The methods it takes, as an `Allow` value; `None`: any.
    fn allow(self) -> Option<&'static str> {
        match self {
            Self::Echo => None,
            Self::Upload => Some("PUT, POST"),
            Self::Cookies => Some("GET, HEAD, POST"),
            Self::WebSocket => Some("GET"),
            _ => Some("GET, HEAD"),
        }
    }

    fn refuses(self, method: &Method) -> Option<&'static str> {
        self.allow().filter(|allow| !allow.split(", ").any(|name| name == method.as_str()))
    }
}

/// Answers one request.
///
/// # Errors
///
/// When the client goes away while its upload is read; the connection then ends without an answer.
pub async fn respond(pages: Arc<Pages>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let uri = request.uri().clone();
    let Some(route) = Route::of(uri.path()) else {
        return Ok(pages.not_found(uri.path()));
    };
    if let Some(allow) = route.refuses(request.method()) {
        return Ok(pages.method_not_allowed(uri.path(), request.method(), allow));
    }
    let answer = match route {
        Route::Upload => return upload(request).await,
        Route::Echo => Ok(echo(request)),
        Route::WebSocket => Ok(websocket::accept(request)),
        Route::Asset(asset) => Ok(pages.asset(asset)),
        Route::Redirect => Ok(pages.redirect()),
        Route::Cookies if request.method() == Method::POST => Ok(cookies_forgotten()),
        Route::Cookies => Ok(cookie_page(&pages, request.headers())),
        Route::Headers => Ok(headers_page(&pages, &request)),
        Route::HeadersJson => Ok(headers_json(&request)),
        Route::Events => events(&request),
        Route::Download => download(&request, true),
        Route::Chunked => download(&request, false),
        Route::Slow => slow(&pages, &request).await,
        Route::Status(code) => status(&pages, uri.path(), code),
        Route::Trailers => Ok(trailers()),
        Route::Health => Ok(plain("text/plain; charset=utf-8", "ok\n")),
    };
    Ok(answer.unwrap_or_else(|Rule(rule)| pages.bad_request(uri.path(), &rule)))
}

/// The rule a request broke, in a sentence for the 400 page.
struct Rule(String);

/// A whole number from the query: absent means `default`, anything outside `min..=max` is refused, not clamped, so
/// that what was asked for is what happens.
fn number<B>(request: &Request<B>, name: &str, default: u64, min: u64, max: u64) -> Result<u64, Rule> {
    let query = request.uri().query().unwrap_or_default();
    let given = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    let Some((_, text)) = given else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| Rule(format!("“{name}” takes a whole number from {min} to {max}.")))
}

fn plain(content_type: &'static str, text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn events(request: &Request<Incoming>) -> Result<Response<Body>, Rule> {
    let count = number(request, "n", EVENTS_MAX, 1, EVENTS_MAX)?;
    let interval_ms = number(request, "ms", 500, EVENT_INTERVAL_MS_MIN, EVENT_INTERVAL_MS_MAX)?;
    let seen = last_event_id(request).unwrap_or(0);
    if seen >= count {
        // The one answer after which a browser's EventSource does not come back (WHATWG HTML, 9.2).
        let mut done = Response::new(Body::whole(""));
        *done.status_mut() = StatusCode::NO_CONTENT;
        return Ok(done);
    }
    let mut response = plain("text/event-stream", "");
    *response.body_mut() = Body::Events(Events::new(seen, count, Duration::from_millis(interval_ms)));
    Ok(response)
}

/// Sent by an EventSource that reconnects; the sequence goes on from there.
fn last_event_id(request: &Request<Incoming>) -> Option<u64> {
    request.headers().get("last-event-id")?.to_str().ok()?.parse().ok()
}

fn download(request: &Request<Incoming>, announced: bool) -> Result<Response<Body>, Rule> {
    let bytes = number(request, "bytes", DOWNLOAD_BYTES_DEFAULT, 0, DOWNLOAD_BYTES_MAX)?;
    let mut response = plain("application/octet-stream", "");
    let headers = response.headers_mut();
    if announced {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    let disposition = HeaderValue::from_static("attachment; filename=\"sample.bin\"");
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    *response.body_mut() = Body::Pattern(Pattern::new(bytes, announced));
    Ok(response)
}

async fn slow(pages: &Pages, request: &Request<Incoming>) -> Result<Response<Body>, Rule> {
    let delay_ms = number(request, "ms", 2000, 0, SLOW_MS_MAX)?;
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    let note = format!("This answer was held back for {delay_ms} ms. The connection was idle all that time.");
    Ok(pages.notice(StatusCode::OK, "/slow", "A slow answer", &note))
}

fn status(pages: &Pages, path: &str, code: &str) -> Result<Response<Body>, Rule> {
    let refused = || Rule("/status/ takes a final status code, 200 to 599.".to_owned());
    let status = code.parse::<StatusCode>().map_err(|_| refused())?;
    if !(200..600).contains(&status.as_u16()) {
        return Err(refused());
    }
    let title = match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => format!("Status {}", status.as_u16()),
    };
    let mut response = pages.notice(status, path, &title, STATUS_NOTE);
    let required = match status {
        // Required by RFC 9110, 15.5.2 and 15.5.8. A made-up scheme, so that no browser asks for a password.
        StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Sample")),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some((header::PROXY_AUTHENTICATE, "Sample")),
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, "GET, HEAD")),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "5")),
        _ => None,
    };
    if let Some((name, value)) = required {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Reads the body frame by frame and keeps only its length and checksum.
async fn upload(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let started = Instant::now();
    let (head, mut body) = request.into_parts();
    let mut tally = Tally::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            tally.add(&data);
        }
    }
    let text = |name: HeaderName| {
        let value = head.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let report = serde_json::json!({
        "method": head.method.as_str(),
        "content_type": text(header::CONTENT_TYPE),
        "content_length": text(header::CONTENT_LENGTH),
        "bytes": tally.bytes(),
        "fnv1a_64": tally.fnv1a_64(),
        "elapsed_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    Ok(plain("application/json", format!("{report:#}\n")))
}

/// Sends the body back while it is still arriving. The request line comes back in headers, so that the body is
/// untouched.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Body::Echo(body));
    let headers = response.headers_mut();
    let line = [
        ("x-echo-method", head.method.as_str()),
        ("x-echo-path", head.uri.path()),
        ("x-echo-query", head.uri.query().unwrap_or_default()),
    ];
    for (name, value) in line {
        // A URI may hold nothing that a field value may not; should that change, the header is left out.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.insert(name, value);
        }
    }
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::TRAILER] {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    // The body is a stranger's: it must not run as a page of this site, whatever type it claims.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn trailers() -> Response<Body> {
    let mut response = plain("text/plain; charset=utf-8", "");
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static(Trailed::FIELDS));
    *response.body_mut() = Body::Trailed(Trailed::default());
    response
}
